"""A Kafka broker in memory: topics, groups, rebalances and outages, for tests and dry runs.

Never used by a running worker. It speaks the part of aiokafka's consumer and producer that `streams` uses.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from aiokafka.errors import CommitFailedError, KafkaConnectionError
from aiokafka.structs import OffsetAndTimestamp, TopicPartition


class MemoryRecord(NamedTuple):
    """A record as consumers get it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


class MemoryBroker:
    """Topics of `partitions` partitions each. `away` makes every call fail as an absent broker does."""

    def __init__(self, partitions: int = 2) -> None:
        self.partitions = partitions
        self.logs: dict[TopicPartition, list[MemoryRecord]] = defaultdict(list)
        self.committed: dict[tuple[str, TopicPartition], int] = {}
        self.members: dict[str, list[MemoryConsumer]] = defaultdict(list)
        self.away = False
        self.arrived = asyncio.Event()

    def append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int = 0,
        partition: int | None = None,
    ) -> MemoryRecord:
        """Put a record at the end of its partition."""
        number = crc32(key or b"") % self.partitions if partition is None else partition
        log = self.logs[TopicPartition(topic, number)]
        record = MemoryRecord(topic, number, len(log), key, value, timestamp_ms, headers)
        log.append(record)
        self.arrived.set()
        return record

    def records(self, topic: str) -> list[MemoryRecord]:
        """Every record of a topic, partition after partition."""
        return [record for at, log in sorted(self.logs.items()) if at.topic == topic for record in log]

    def require(self) -> None:
        """Raise as a client does whose broker is away."""
        if self.away:
            raise KafkaConnectionError("the broker is away")

    async def rebalance(self, group: str) -> None:
        """Share out the group's partitions among its members again: revoke all, then assign."""
        members = self.members[group]
        for member in members:
            await member.revoke()
        topics = sorted({topic for member in members for topic in member.topics})
        places = [TopicPartition(topic, number) for topic in topics for number in range(self.partitions)]
        for index, member in enumerate(members):
            await member.assign_shared({place for place in places if place.partition % len(members) == index})


class MemoryProducer:
    """A producer whose second await tells of the delivery."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, **others: Any
    ) -> asyncio.Future[MemoryRecord]:
        """Queue a record."""
        future: asyncio.Future[MemoryRecord] = asyncio.get_running_loop().create_future()
        try:
            self._broker.require()
            future.set_result(self._broker.append(topic, value, key, headers=others.get("headers") or ()))
        except KafkaConnectionError as error:
            future.set_exception(error)
        return future


class MemoryConsumer:
    """A consumer of a group, or of chosen partitions when `group` is empty."""

    def __init__(self, broker: MemoryBroker, group: str = "") -> None:
        self._broker = broker
        self._group = group
        self._listener: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self.topics: tuple[str, ...] = ()

    async def start(self) -> None:
        """Connect."""
        self._broker.require()

    async def stop(self) -> None:
        """Leave the group, handing partitions over."""
        members = self._broker.members[self._group]
        if self in members:
            await self.revoke()
            members.remove(self)
            if members:
                await self._broker.rebalance(self._group)

    def kill(self) -> None:
        """Vanish from the group as a killed process does: nothing is committed, nobody is told."""
        self._broker.members[self._group].remove(self)
        self._positions.clear()

    def subscribe(self, topics: Iterable[str] = (), listener: Any = None) -> None:
        """Join the group; the next `getmany` gets what `MemoryBroker.rebalance` assigned."""
        self.topics, self._listener = tuple(topics), listener
        self._broker.members[self._group].append(self)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions, without a group."""
        self._positions = {place: self._positions.get(place, 0) for place in partitions}

    async def revoke(self) -> None:
        """Lose all partitions."""
        if self._listener is not None:
            await self._listener.on_partitions_revoked(set(self._positions))
        self._positions.clear()
        self._paused.clear()

    async def assign_shared(self, partitions: set[TopicPartition]) -> None:
        """Get a share of the group's partitions."""
        self._positions = {place: self._broker.committed.get((self._group, place), 0) for place in partitions}
        await self._listener.on_partitions_assigned(partitions)

    def assignment(self) -> set[TopicPartition]:
        """The partitions that are this member's now."""
        return set(self._positions)

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch nothing of these until resumed."""
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch them again."""
        self._paused -= set(partitions)
        self._broker.arrived.set()

    def paused(self) -> set[TopicPartition]:
        """What is paused."""
        return set(self._paused)

    async def position(self, partition: TopicPartition) -> int:
        """The next offset to be fetched."""
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch from `offset` on."""
        self._positions[partition] = offset

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[MemoryRecord]]:
        """Records there are, waiting for some at most `timeout_ms`."""
        found = self._take(partitions, max_records)
        if not found and timeout_ms:
            self._broker.arrived.clear()
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._broker.arrived.wait()
            except TimeoutError:
                return {}
            found = self._take(partitions, max_records)
        await asyncio.sleep(0)
        return found

    def _take(
        self, partitions: Sequence[TopicPartition], max_records: int | None
    ) -> dict[TopicPartition, list[MemoryRecord]]:
        found: dict[TopicPartition, list[MemoryRecord]] = {}
        if self._broker.away:
            return found
        for place, position in self._positions.items():
            if place in self._paused or (partitions and place not in partitions):
                continue
            records = self._broker.logs[place][position:][: max_records or None]
            if records:
                found[place] = records
                self._positions[place] = records[-1].offset + 1
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Note the group's next offsets."""
        self._broker.require()
        if not set(offsets) <= set(self._positions):
            raise CommitFailedError
        self._broker.committed.update({(self._group, place): offset for place, offset in offsets.items()})

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each."""
        self._broker.require()
        return {place: len(self._broker.logs[place]) for place in partitions}

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first record of each."""
        return dict.fromkeys(partitions, 0)

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """The first record of each at or after a time."""
        self._broker.require()
        found: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        for place, time_ms in timestamps.items():
            later = (record for record in self._broker.logs[place] if record.timestamp >= time_ms)
            first = next(later, None)
            found[place] = None if first is None else OffsetAndTimestamp(first.offset, first.timestamp)
        return found
