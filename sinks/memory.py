"""A broker, a sink and dead letters in memory, with a clock that only moves when somebody waits.

Never used by a running node: for tests, and for trying the loop without Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError

from schemas.errors import UnavailableError
from sinks.sink import Reject, SinkRecord


class MemoryClock:
    """Seconds that pass only by `advance`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Now, in seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class MemoryBroker:
    """Topics of one consumer group. `on_idle` is called at every poll that finds nothing, before time passes."""

    def __init__(self, clock: MemoryClock | None = None) -> None:
        self.clock = clock or MemoryClock()
        self.logs: dict[TopicPartition, list[ConsumerRecord]] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.on_idle: Callable[[], None] = lambda: None

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Add a record to a topic; its offset."""
        kept = self.logs.setdefault(TopicPartition(topic, partition), [])
        offset = len(kept)
        now_ms = int(self.clock() * 1000)
        record = ConsumerRecord(
            topic, partition, offset, now_ms, 0, key, value, None, len(key or b""), len(value or b""), tuple(headers)
        )
        kept.append(record)
        return offset


class MemoryConsumer:
    """One member of the group; `assign` and `revoke` are what a rebalance does."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._listener: ConsumerRebalanceListener | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self.polls_while_paused = 0

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None:
        """Become the owner of every partition of these topics."""
        self._listener = listener
        self.assign([partition for partition in self._broker.logs if partition.topic in topics])

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Own exactly these, from their committed offsets on."""
        self._positions = {partition: self._broker.committed.get(partition, 0) for partition in partitions}
        self._paused.clear()

    async def rebalance(self, partitions: Collection[TopicPartition]) -> None:
        """Lose what is owned, as aiokafka does it, then own `partitions`."""
        assert self._listener is not None
        await self._listener.on_partitions_revoked(set(self._positions))
        self.assign(partitions)
        await self._listener.on_partitions_assigned(set(partitions))

    async def getmany(
        self, *, timeout_ms: int, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """Whatever there is, at most `max_records`; when there is nothing, `timeout_ms` pass on the clock."""
        await asyncio.sleep(0)
        left = max_records or 500
        polled: dict[TopicPartition, list[ConsumerRecord]] = {}
        for partition, position in self._positions.items():
            if partition in self._paused or left <= 0:
                continue
            records = self._broker.logs[partition][position : position + left]
            left -= len(records)
            self._positions[partition] = position + len(records)
            polled[partition] = records
        self.polls_while_paused += bool(self._paused)
        if not any(polled.values()):
            self._broker.on_idle()
            self._broker.clock.advance(timeout_ms / 1000)
        return polled

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep the group's next offsets; refuses those of partitions that are not owned."""
        for partition in offsets:
            if partition not in self._positions:
                raise IllegalStateError(f"{partition} is not assigned")
        self._broker.committed.update(offsets)

    async def committed(self, partition: TopicPartition) -> int | None:
        """The group's next offset."""
        return self._broker.committed.get(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Poll from there on."""
        self._positions[partition] = offset

    def assignment(self) -> set[TopicPartition]:
        """Partitions that are owned."""
        return set(self._positions)

    def pause(self, *partitions: TopicPartition) -> None:
        """Stop fetching these."""
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch these again."""
        self._paused.difference_update(partitions)

    def highwater(self, partition: TopicPartition) -> int | None:
        """The end of the partition."""
        return len(self._broker.logs[partition])


class MemorySink:
    """A store that keeps records by topic, partition and offset. Set `away_for` to make it fail so many times."""

    name = "memory"

    def __init__(self, topics: tuple[str, ...] = ("documents",), refuses: bytes = b"refuse") -> None:
        self.topics = topics
        self.stored: dict[tuple[str, int, int], SinkRecord] = {}
        self.away_for = 0
        self.opened = False
        self._refuses = refuses
        self._written: list[SinkRecord] = []

    def _answer(self) -> None:
        if self.away_for > 0:
            self.away_for -= 1
            raise UnavailableError("the memory sink was told to be away")

    async def open(self) -> None:
        """Open, unless away."""
        self._answer()
        self.opened = True

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """Take the batch; what has the value `refuses` is rejected."""
        self._written = [record for record in batch if record.value != self._refuses]
        self._answer()
        return [Reject(record, "rejected") for record in batch if record.value == self._refuses]

    async def flush(self) -> None:
        """Keep what was written."""
        self._answer()
        self.stored.update({(r.topic, r.partition, r.offset): r for r in self._written})
        self._written = []

    async def close(self) -> None:
        """Close."""
        self.opened = False


class MemoryDeadLetters:
    """Keeps rejects in a list."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Reject]] = []
        self.away_for = 0

    async def put(self, rejects: Sequence[Reject], stage: str) -> None:
        """Append them, unless away."""
        if self.away_for > 0:
            self.away_for -= 1
            raise UnavailableError("dead letters are away")
        self.kept.extend((stage, reject) for reject in rejects)
