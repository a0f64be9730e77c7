"""How far each consumer group is behind, partition by partition.

Never joins a group: looking at lag must not disturb who reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Member:
    """Who reads in a group: its client's name, where it connects from, and the partitions that it was given."""

    client: str
    host: str
    partitions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A consumer group now: the broker's word for its state, its members, and where it stands in each partition."""

    group: str
    state: str
    members: tuple[Member, ...]
    rows: tuple[PartitionLag, ...]


class LagReader:
    """Measures again and again with clients that stay open; `close` it. Not for two tasks at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.kafka.topic_prefix
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None

    async def read(self, groups: Collection[str] = ()) -> list[GroupStanding]:
        """Every group of this deployment, or of `groups` those there are; names without prefix. `UnavailableError`."""
        try:
            client, reader = await self._open()
            wanted = {self._prefix + group for group in groups}
            names = sorted(
                group
                for group, *_ in await client.list_consumer_groups()
                if (group in wanted if wanted else group.startswith(self._prefix))
            )
            standing = {group: await _standing(client, group) for group in names}
            newest_only = kafka.topic_name(
                self._settings, HEARTBEATS.name
            )  # read from its end on: old ones say nothing
            there = {
                place for one in standing.values() for place in one.offsets if place.topic.startswith(self._prefix)
            }
            starts, ends = await _extents(reader, {place for place in there if place.topic != newest_only})
        except KafkaError as error:
            await self.close()
            raise UnavailableError(f"Kafka at {self._settings.kafka.bootstrap} does not tell lag: {error}") from error
        return [self._told(group, one, starts, ends) for group, one in standing.items()]

    async def read_ends(self, topics: Collection[str]) -> dict[str, int]:
        """How many records each topic has had in all, of those that there are. Raises `UnavailableError`."""
        try:
            names = {kafka.topic_name(self._settings, topic): topic for topic in topics}
            places, reader = await self._places(names)
            ends = await reader.end_offsets(places) if places else {}
        except KafkaError as error:
            await self.close()
            raise UnavailableError(
                f"Kafka at {self._settings.kafka.bootstrap} does not tell its topics: {error}"
            ) from error
        sums: dict[str, int] = {}
        for place, end in ends.items():
            sums[names[place.topic]] = sums.get(names[place.topic], 0) + end
        return sums

    async def read_extents(self, topic: str) -> dict[int, tuple[int, int]]:
        """Of each partition of a topic: its first offset, and the one after its last. Raises `UnavailableError`."""
        try:
            places, reader = await self._places([kafka.topic_name(self._settings, topic)])
            starts, ends = await _extents(reader, set(places))
        except KafkaError as error:
            await self.close()
            raise UnavailableError(
                f"Kafka at {self._settings.kafka.bootstrap} does not tell {topic}: {error}"
            ) from error
        return {place.partition: (starts[place], ends[place]) for place in ends}

    async def close(self) -> None:
        """Close the clients; the next reading opens others."""
        client, reader = self._admin, self._reader
        self._admin = self._reader = None
        if reader is not None:
            await reader.stop()
        if client is not None:
            await client.close()

    async def _open(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._admin is None or self._reader is None:
            self._admin, self._reader = kafka.admin(self._settings), kafka.consumer(self._settings, None)
            await self._admin.start()
            await self._reader.start()
        return self._admin, self._reader

    async def _places(self, names: Collection[str]) -> tuple[list[TopicPartition], AIOKafkaConsumer]:
        """The partitions of those topics that there are, and who can tell their offsets."""
        client, reader = await self._open()
        described = await client.describe_topics(list(names))
        return [TopicPartition(one["topic"], it["partition"]) for one in described for it in one["partitions"]], reader

    def _told(
        self,
        group: str,
        standing: _Standing,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> GroupStanding:
        name = group.removeprefix(self._prefix)
        rows = tuple(
            PartitionLag(
                name,
                kafka.strip_prefix(self._settings, place.topic),
                place.partition,
                starts[place] if next_offset is None else next_offset,
                ends[place],
            )
            for place, next_offset in sorted(standing.offsets.items())
            if place in ends
        )
        members = tuple(
            Member(client, host, tuple((kafka.strip_prefix(self._settings, it.topic), it.partition) for it in places))
            for client, host, places in standing.members
        )
        return GroupStanding(name, standing.state, members, rows)


async def read_lag(settings: Settings) -> list[PartitionLag]:
    """The lag of every group of this deployment, measured once. Raises `UnavailableError`."""
    reader = LagReader(settings)
    try:
        return [row for group in await reader.read() for row in group.rows]
    finally:
        await reader.close()


def lag_by_group(rows: list[PartitionLag]) -> dict[str, int]:
    """The sum of each group."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.group] = sums.get(row.group, 0) + row.lag
    return sums


@dataclass(slots=True)
class _Standing:
    """Where a group stands in each partition that it has or ever committed; none where it has committed nothing yet."""

    state: str = ""
    members: list[tuple[str, str, list[TopicPartition]]] = field(default_factory=list)
    offsets: dict[TopicPartition, int | None] = field(default_factory=dict)


async def _standing(client: AIOKafkaAdminClient, group: str) -> _Standing:
    standing = _Standing()
    for response in await client.describe_consumer_groups([group]):
        for _error, _group, state, _type, _protocol, members, *_ in response.groups:
            standing.state = state
            for _member, name, host, _metadata, assignment, *_more in members:
                places = assigned_partitions(assignment)
                standing.members.append((name, host.removeprefix("/"), places))
                standing.offsets |= dict.fromkeys(places)
    committed = await client.list_consumer_group_offsets(group)
    standing.offsets |= {place: at.offset for place, at in committed.items() if at.offset >= 0}
    return standing


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
