"""How far each consumer group is behind, partition by partition.

Never joins a group: looking at lag must not disturb who reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from infra import kafka
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.topics import HEARTBEATS


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition that a group reads; `next_offset` is what it would read if it began again now."""

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
        standing = {group: await _standing(client, group) for group in groups}
        newest_only = kafka.topic_name(settings, HEARTBEATS.name)  # read from its end on: an old heartbeat says nothing
        there = {place for offsets in standing.values() for place in offsets if place.topic.startswith(prefix)}
        wanted = {place for place in there if place.topic != newest_only}
        starts, ends = await _extents(reader, wanted)
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
            starts[place] if next_offset is None else next_offset,
            ends[place],
        )
        for group, offsets in standing.items()
        for place, next_offset in sorted(offsets.items())
        if place in ends
    ]


def lag_by_group(rows: list[PartitionLag]) -> dict[str, int]:
    """The sum of each group."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.group] = sums.get(row.group, 0) + row.lag
    return sums


async def _standing(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int | None]:
    """Where a group stands in each partition that it has or ever committed; none where it has committed nothing yet."""
    standing: dict[TopicPartition, int | None] = {}
    for response in await client.describe_consumer_groups([group]):
        for _error, _group, _state, _type, _protocol, members, *_ in response.groups:
            for member in members:
                standing |= dict.fromkeys(assigned_partitions(member[4]))
    committed = await client.list_consumer_group_offsets(group)
    return standing | {place: at.offset for place, at in committed.items() if at.offset >= 0}


def assigned_partitions(assignment: bytes) -> list[TopicPartition]:
    """The partitions that a member of a group was given."""
    if not assignment:
        return []
    rows = ConsumerProtocolMemberAssignment.decode(assignment).assignment
    return [TopicPartition(topic, partition) for topic, partitions in rows for partition in partitions]


async def _extents(
    reader: AIOKafkaConsumer, wanted: set[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Starts and ends of the partitions that there still are: a group may remember a topic that was deleted."""
    there = await reader.topics()
    present = [place for place in wanted if place.topic in there]
    if not present:
        return {}, {}
    return dict(await reader.beginning_offsets(present)), dict(await reader.end_offsets(present))
