"""How far each consumer group is behind, partition by partition.

Never joins a group: looking at lag must not disturb who reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra import kafka
from infra.settings import Settings
from schemas.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition that a group reads; `next_offset` is what the group would read next."""

    group: str
    topic: str
    partition: int
    next_offset: int
    end_offset: int

    @property
    def lag(self) -> int:
        """Records that wait."""
        return max(0, self.end_offset - self.next_offset)


async def read_lag(settings: Settings) -> list[PartitionLag]:
    """The lag of every group of this deployment; names come without prefix. Raises `UnavailableError`."""
    prefix = settings.kafka.topic_prefix
    client, reader = kafka.admin(settings), kafka.consumer(settings, None)
    try:
        await client.start()
        await reader.start()
        groups = sorted(group for group, *_ in await client.list_consumer_groups() if group.startswith(prefix))
        committed = {group: await client.list_consumer_group_offsets(group) for group in groups}
        wanted = {place for offsets in committed.values() for place in offsets if place.topic.startswith(prefix)}
        ends = await _end_offsets(reader, wanted)
    except KafkaError as error:
        raise UnavailableError(f"Kafka at {settings.kafka.bootstrap} does not tell lag: {error}") from error
    finally:
        await reader.stop()
        await client.close()
    return [
        PartitionLag(
            group.removeprefix(prefix),
            kafka.strip_prefix(settings, place.topic),
            place.partition,
            at.offset,
            ends[place],
        )
        for group, offsets in committed.items()
        for place, at in sorted(offsets.items())
        if place in ends
    ]


def lag_by_group(rows: list[PartitionLag]) -> dict[str, int]:
    """The sum of each group."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.group] = sums.get(row.group, 0) + row.lag
    return sums


async def _end_offsets(reader: AIOKafkaConsumer, wanted: set[TopicPartition]) -> dict[TopicPartition, int]:
    """Ends of the partitions that there still are: a group may remember a topic that was deleted."""
    there = await reader.topics()
    present = [place for place in wanted if place.topic in there]
    return dict(await reader.end_offsets(present)) if present else {}
