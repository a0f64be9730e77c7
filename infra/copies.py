"""How many replicas topics really have, beside how many are wanted; and giving them more.

Never takes a replica away, and never moves one: what is there stays where it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest

from infra.cluster import wanted_copies
from infra.kafka import admin, topic_name
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.topics import TOPICS

_TIMEOUT_MS = 30_000
_POLL_S = 1.0


INTERNAL = ("__consumer_offsets", "__transaction_state", "__share_group_state")
"""Topics of Kafka's own, as far as there are any: without them no group reads."""


@dataclass(frozen=True, slots=True)
class TopicCopies:
    """One topic: the brokers of each partition's replicas and of those in sync, and how many replicas are wanted."""

    topic: str
    partitions: Mapping[int, tuple[tuple[int, ...], tuple[int, ...]]]
    wanted: int

    @property
    def replicas(self) -> int:
        """Of the partition that has the fewest."""
        return min((len(replicas) for replicas, _ in self.partitions.values()), default=0)

    @property
    def in_sync(self) -> int:
        """Likewise."""
        return min((len(in_sync) for _, in_sync in self.partitions.values()), default=0)


def real_name(settings: Settings, topic: str) -> str:
    """A topic's name in Kafka."""
    return topic if topic in INTERNAL else topic_name(settings, topic)


async def read_copies(settings: Settings) -> list[TopicCopies]:
    """Every topic of ours and of Kafka's own that there is; raises `UnavailableError`."""
    copies, _ = await _read(settings)
    return copies


async def _read(settings: Settings) -> tuple[list[TopicCopies], list[int]]:
    """And the numbers of the brokers now."""
    client = admin(settings)
    try:
        await client.start()
        brokers = [broker["node_id"] for broker in (await client.describe_cluster())["brokers"]]
        found = await client.describe_topics([real_name(settings, topic) for topic in (*TOPICS, *INTERNAL)])
    except (KafkaError, OSError) as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not answer: {error}") from error
    finally:
        await client.close()
    wanted, _ = wanted_copies(settings, len(brokers))
    rows = {row["topic"]: row["partitions"] for row in found if row["error_code"] == 0}
    named = {topic: rows.get(real_name(settings, topic)) for topic in (*TOPICS, *INTERNAL)}
    return [TopicCopies(topic, _places(each), wanted) for topic, each in named.items() if each], brokers


def _places(partitions: Sequence[Mapping[str, Any]]) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    return {it["partition"]: (tuple(it["replicas"]), tuple(it["isr"])) for it in partitions}


def plan_growth(copies: Sequence[TopicCopies], brokers: Sequence[int]) -> dict[str, dict[int, list[int]]]:
    """By topic and partition, the replicas of those that lack some: as they are, and more where the fewest are."""
    load = Counter(dict.fromkeys(brokers, 0))
    load.update(broker for it in copies for replicas, _ in it.partitions.values() for broker in replicas)
    plan: dict[str, dict[int, list[int]]] = {}
    for it in copies:
        for partition, (replicas, _) in sorted(it.partitions.items()):
            grown = list(replicas)
            while len(grown) < min(it.wanted, len(brokers)):
                grown.append(min((one for one in brokers if one not in grown), key=lambda one: (load[one], one)))
                load[grown[-1]] += 1
            if len(grown) > len(replicas):
                plan.setdefault(it.topic, {})[partition] = grown
    return plan


async def grow_topics(settings: Settings, *, within_s: float) -> list[str]:
    """Give each topic as many replicas as are wanted, and wait until they are in sync; the topics that got more.

    `min.insync.replicas` follows last, when there are enough. Raises `UnavailableError`, also when time is over: then
    the brokers go on by themselves, and it may be called again.
    """
    copies, brokers = await _read(settings)
    if not copies:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} has no topics yet: start a sink, or wait")
    plan = plan_growth(copies, brokers)
    if plan:
        await _reassign(settings, plan)
    try:
        async with asyncio.timeout(within_s):
            while any(it.in_sync < min(it.wanted, len(brokers)) for it in await read_copies(settings)):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)  # only the brokers know, and tell when they are asked
    except TimeoutError:
        raise UnavailableError(f"replicas are not in sync within {within_s:.0f} s: they go on; say it again") from None
    await asyncio.to_thread(_want_insync, settings, [it.topic for it in copies], len(brokers))
    return list(plan)


async def _reassign(settings: Settings, plan: Mapping[str, Mapping[int, Sequence[int]]]) -> None:
    topics: list[Any] = [
        (real_name(settings, topic), [(number, list(replicas), {}) for number, replicas in partitions.items()], {})
        for topic, partitions in plan.items()
    ]
    client = admin(settings)
    try:
        await client.start()
        answer = await client._send_to_controller(  # noqa: SLF001  # it has no method for this request
            AlterPartitionReassignmentsRequest(_TIMEOUT_MS, topics, {})
        )
    except (KafkaError, OSError) as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not answer: {error}") from error
    finally:
        await client.close()
    rows = [row for _, partitions, _ in answer.responses for row in partitions]
    codes = [answer.error_code, *(code for _, code, *_ in rows)]
    if refused := [for_code(code).__name__ for code in codes if code]:
        raise UnavailableError(f"Kafka gives topics no more replicas: {', '.join(sorted(set(refused)))}")


def _want_insync(settings: Settings, topics: Sequence[str], brokers: int) -> None:
    """Set `min.insync.replicas` alone: what else somebody set of a topic stays."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    _, min_insync = wanted_copies(settings, brokers)
    entry = ConfigEntry("min.insync.replicas", str(min_insync), incremental_operation=AlterConfigOpType.SET)
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap}, logger=logging.getLogger("librdkafka"))
    resources = [
        ConfigResource(ResourceType.TOPIC, real_name(settings, topic), incremental_configs=[entry]) for topic in topics
    ]
    try:
        for done in client.incremental_alter_configs(resources, request_timeout=_TIMEOUT_MS / 1000).values():
            done.result()
    except KafkaException as error:
        raise UnavailableError(f"Kafka does not take min.insync.replicas = {min_insync}: {error}") from error
