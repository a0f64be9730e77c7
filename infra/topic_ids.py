"""Which log a topic's name stands for: the id that Kafka gave it when it was made (KIP-516).

Never makes a topic, and never remembers one: a name may stand for another log tomorrow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

from infra.kafka import strip_prefix, topic_name
from infra.settings import Settings
from schemas.errors import UnavailableError

_TIMEOUT_S = 15.0
_HALF = 1 << 64


async def read_topic_ids(settings: Settings, names: Sequence[str]) -> Mapping[str, UUID]:
    """The id of each topic of ours that there is, by its name without prefix; raises `UnavailableError`."""
    return await asyncio.to_thread(_describe, settings, names)


def _describe(settings: Settings, names: Sequence[str]) -> dict[str, UUID]:
    from confluent_kafka import KafkaException, TopicCollection  # aiokafka does not tell topic ids
    from confluent_kafka.admin import AdminClient

    client = AdminClient(
        {"bootstrap.servers": settings.kafka.bootstrap, "client.id": settings.node.id},
        logger=logging.getLogger("librdkafka"),  # it would write lines of its own form
    )
    wanted = TopicCollection([topic_name(settings, name) for name in names])
    found: dict[str, UUID] = {}
    try:
        for name, future in client.describe_topics(wanted, request_timeout=_TIMEOUT_S).items():
            told = future.result(_TIMEOUT_S).topic_id
            number = told.get_most_significant_bits() % _HALF * _HALF + told.get_least_significant_bits() % _HALF
            found[strip_prefix(settings, name)] = UUID(int=number)
    except (KafkaException, TimeoutError) as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not tell topic ids: {error}") from error
    return found
