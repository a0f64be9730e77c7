"""Where a replay's records come from: a range of a topic in Kafka, or the archive.

Never knows what becomes of them; it yields them in the order in which each agent made them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.errors import UnavailableError
from streams.incoming import Incoming, Partition, incoming
from streams.past import PATIENCE_MS, Past
from streams.replay.ledger import Run
from streams.replay.reached import Mark, Reached
from streams.warmup import REACH_MS

_POLL_MS = 500
_BATCH = 200
_NOTHING = Reached()


@dataclass(frozen=True, slots=True)
class Fed:
    """A record of the range: `wanted` to be mined, `shown` to be taken for what it leaves behind, or else passed by.

    `mark` is where a record of the archive stands in it.
    """

    record: Incoming
    wanted: bool
    shown: bool = False
    mark: Mark | None = None


class Feed(Protocol):
    """A source of records. `prepare` fixes the run's ranges when they are not known yet."""

    async def prepare(self, run: Run) -> None:
        """Fix what the run reads; raises `UnavailableError`."""
        ...

    def batches(self, run: Run) -> AsyncIterator[list[Fed]]:
        """From where the run stands to the end of its ranges."""
        ...


class KafkaFeed:
    """A range of one topic, by the times at which records were received, or by offsets."""

    def __init__(self, consumer: Any, past: Past, partitions: Iterable[int], prefix: str = "") -> None:
        self._consumer = consumer
        self._past = past
        self._partitions = tuple(partitions)
        self._prefix = prefix

    async def prepare(self, run: Run) -> None:
        """As `Feed` says. The end is fixed now: what arrives from now on is live."""
        if run.ranges:
            return
        topic = run.request.topic
        places = {number: TopicPartition(self._prefix + topic, number) for number in self._partitions}
        try:
            firsts = await self._consumer.beginning_offsets(list(places.values()))
            ends = await self._consumer.end_offsets(list(places.values()))
        except KafkaError as error:
            raise UnavailableError(f"the offsets of {topic} are not to be had: {type(error).__name__}") from error
        for number, at in places.items():
            first, end = await self._range(run, Partition(topic, number), firsts[at], ends[at])
            if first < end:
                run.ranges[number] = (first, end)

    async def _range(self, run: Run, place: Partition, first: int, end: int) -> tuple[int, int]:
        request = run.request
        if request.offsets:
            begin, stop = request.offsets.get(place.number, (end, end))
            return max(first, begin), end if stop < 0 else min(end, stop)
        begin_at = await self._past.offset_at(place, request.since_ms) if request.since_ms else first
        stop_at = None if request.until_ms is None else await self._past.offset_at(place, request.until_ms)
        return end if begin_at is None else max(first, begin_at), end if stop_at is None else min(end, stop_at)

    async def batches(self, run: Run) -> AsyncIterator[list[Fed]]:
        """As `Feed` says."""
        topic = self._prefix + run.request.topic
        ends = {TopicPartition(topic, number): end for number, (_, end) in run.ranges.items()}
        starts = {TopicPartition(topic, n): run.next.get(n, first) for n, (first, _) in run.ranges.items()}
        left = {at for at, start in starts.items() if start < ends[at]}
        self._consumer.assign(left)
        for at in left:
            self._consumer.seek(at, starts[at])
        idle_ms = 0
        while left:
            found = await self._consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_BATCH)
            idle_ms = 0 if found else idle_ms + _POLL_MS
            if idle_ms > PATIENCE_MS:
                raise UnavailableError(f"reading {run.request.topic} again comes no further")
            for at, records in found.items():
                within = [incoming(record, self._prefix) for record in records if record.offset < ends[at]]
                if within:
                    yield [Fed(record, run.request.wants(record)) for record in within]
            for at in tuple(left):
                if await self._consumer.position(at) >= ends[at]:
                    left.discard(at)
                    self._consumer.pause(at)


class ArchiveFeed:
    """Envelopes of the archive, by the times at which they were captured.

    `read` gives the archived envelopes from a time on, in the order of each agent's recording.
    """

    def __init__(self, read: Any, prefix: str = "") -> None:
        self._read = read
        self._prefix = prefix

    async def prepare(self, run: Run) -> None:
        """As `Feed` says: how much it is shows only in reading, which begins anew each time."""
        run.ranges, run.next = {0: (0, 0)}, {0: 0}

    async def batches(self, run: Run) -> AsyncIterator[list[Fed]]:
        """As `Feed` says. What was captured shortly before is shown to the processor, not mined."""
        since_ms, reached = run.request.since_ms, deepcopy(run.reached)
        batch: list[Fed] = []
        index = 0
        for archived in self._read(max(0, since_ms - REACH_MS)):
            mark = Mark(archived.day, archived.id.epoch_id.hex(), archived.id.sequence)
            before = reached.get((archived.key or b"").decode(), _NOTHING)
            done = before.has(mark)
            if done and archived.capture_ms < before.capture_ms - REACH_MS:
                continue
            record = Incoming(
                archived.topic.removeprefix(self._prefix),
                0,
                index,
                archived.key or b"",
                archived.value,
                archived.capture_ms,
                dict(archived.headers),
            )
            others = bool(run.request.epochs) and mark.epoch not in run.request.epochs
            shown = done or others or archived.capture_ms < since_ms
            batch.append(Fed(record, wanted=run.request.wants(record) and not shown, shown=shown, mark=mark))
            index += 1
            if len(batch) >= _BATCH:
                run.ranges[0] = (0, index)
                yield batch
                batch = []
        if batch:
            run.ranges[0] = (0, index)
            yield batch
