"""Who holds the partitions of a consumer group, as the broker sees it.

Never joins a group, and believes nothing that a client remembers of topics: it asks the broker each time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from infra.lag import assigned_partitions
from infra.watchdog import Holding


async def read_holding(
    client: AIOKafkaAdminClient, group: str, topics: Sequence[str], ours: Collection[TopicPartition]
) -> Holding[TopicPartition]:
    """The holding of `group` over `topics` (both with prefix); raises `KafkaError`."""
    wanted = {
        TopicPartition(topic["topic"], partition["partition"])
        for topic in await client.describe_topics(list(topics))
        for partition in topic["partitions"]
    }
    held: set[TopicPartition] = set()
    for response in await client.describe_consumer_groups([group]):
        for _error, _group, _state, _type, _protocol, members, *_ in response.groups:
            for member in members:
                held.update(assigned_partitions(member[4]))
    return Holding(wanted, held & wanted, set(ours))
