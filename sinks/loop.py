"""The consumer loop of every sink: poll, write, settle rejects, commit the next offset.

Never commits before the sink has flushed, and is the only place that adds one to an offset.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from schemas.errors import UnavailableError
from sinks.batch import Batch
from sinks.meter import Meter
from sinks.sink import Reject, Sink, StandbyError

log = structlog.get_logger(__name__)
Step = Callable[[], Awaitable[list[Reject]]]
Perform = Callable[[Step], Awaitable[list[Reject]]]
Places = Callable[[], Awaitable[Mapping[tuple[str, int], int]]]
"""The next offset of each topic (without prefix) and partition that the store itself knows; `UnavailableError`."""

STANDBY_S = 2.0
"""How often a sink that stands by looks whether the store is free."""


class Consumer(Protocol):
    """What the loop uses of `aiokafka.AIOKafkaConsumer`; `sinks.memory` has another."""

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None:
        """Join the group for these topics."""

    async def getmany(
        self, *, timeout_ms: int, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """Records of the assigned partitions that are not paused; waits that long for the first."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Make these the group's next offsets."""

    def assignment(self) -> Collection[TopicPartition]:
        """Partitions that are ours."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Poll, but get nothing of these."""

    def resume(self, *partitions: TopicPartition) -> None:
        """The way back."""

    def highwater(self, partition: TopicPartition) -> int | None:
        """The offset that the next record of this partition will have."""

    async def committed(self, partition: TopicPartition) -> int | None:
        """The group's next offset of a partition that is ours."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Poll from there on."""


class DeadLetters(Protocol):
    """Where rejects are kept."""

    async def put(self, rejects: Sequence[Reject], stage: str) -> None:
        """Return when all are durable; raises `UnavailableError`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is written: as soon as it has so many bytes, or its first record so many seconds."""

    flush_bytes: int = 8 * 1024 * 1024
    flush_s: float = 1.0
    poll_records: int = 5000
    poll_s: float = 1.0
    retry_s: float = 0.5
    max_retry_s: float = 15.0
    revoke_s: float = 10.0
    commit_s: float = 30.0


class Loop:
    """Fills one sink until `stop` is called. A store that is away is waited for, with the partitions held."""

    def __init__(
        self,
        consumer: Consumer,
        sink: Sink,
        dead_letters: DeadLetters,
        *,
        topic_prefix: str = "",
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        meter: Meter | None = None,
        places: Places | None = None,
    ) -> None:
        self._consumer, self._sink, self._dead_letters = consumer, sink, dead_letters
        self._prefix = topic_prefix
        self._limits = limits or Limits()
        self._clock = clock
        self._meter = meter or Meter()
        self._places = places
        self._unplaced: set[TopicPartition] = set()
        self._pending, self._flight = Batch(), Batch()
        self._settling = asyncio.Lock()
        self._stopping = asyncio.Event()
        self.opened = asyncio.Event()
        """The store has been opened: set once."""
        self.stands_by = False
        """Another process fills the store; nothing is wrong with that."""
        self.waits_for = ""
        """What it is waiting for, for health checks; empty when all is well."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What it reads, without prefix."""
        return self._sink.topics

    @property
    def writing(self) -> bool:
        """Whether a batch is being written."""
        return self._settling.locked()

    @property
    def held(self) -> dict[TopicPartition, int]:
        """The first record of each partition that was polled and is not committed."""
        return {**self._pending.first_offsets(), **self._flight.first_offsets()}

    @property
    def held_since_ms(self) -> dict[TopicPartition, int]:
        """The time of that record."""
        return {**self._pending.first_times_ms(), **self._flight.first_times_ms()}

    @property
    def held_bytes(self) -> int:
        """Bytes of records that are not committed."""
        return self._pending.size + self._flight.size

    def stop(self) -> None:
        """Write what was polled, commit, and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Open the sink, join the group, and fill the sink; raises what the sink raises for its own mistakes."""
        try:
            if not await self._open():
                return
            self.opened.set()
            topics = [self._prefix + topic for topic in self._sink.topics]
            self._consumer.subscribe(topics, listener=_Listener(self))
            while not self._stopping.is_set():
                await self._turn()
            await self._settle()
        except UnavailableError as error:
            # Only when stopping: what is not committed is read again by whoever comes next.
            log.warning("stopped_while_away", sink=self._sink.name, reason=str(error))
        finally:
            await self._sink.close()

    async def _open(self) -> bool:
        attempt = 0
        while not self._stopping.is_set():
            try:
                await self._sink.open()
            except StandbyError as error:
                self._note_standby(error)
                await self._rest(STANDBY_S)
            except UnavailableError as error:
                self._note_wait(error)
                await self._rest(self._backoff_s(attempt))
                attempt += 1
            else:
                self._note_end_of_wait()
                return True
        return False

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _turn(self) -> None:
        polled = await self._consumer.getmany(
            timeout_ms=int(self._until_due_s() * 1000), max_records=self._limits.poll_records
        )
        self._pending.add(polled, self._clock(), prefix=self._prefix)
        if self._unplaced:
            await self._patiently(self._place)
        if self._pending and (self._pending.size >= self._limits.flush_bytes or self._until_due_s() <= 0):
            await self._settle()

    def _until_due_s(self) -> float:
        if not self._pending:
            return self._limits.poll_s
        return max(0.0, self._pending.since_s + self._limits.flush_s - self._clock())

    async def _settle(self, perform: Perform | None = None) -> None:
        """Write, flush, keep rejects, commit whatever is pending; patiently unless told otherwise."""
        perform = perform or self._patiently
        async with self._settling:
            self._flight, self._pending = self._pending, Batch()
            try:
                rejects = await perform(self._store)
                if rejects:
                    await perform(lambda: self._keep(rejects))
                await self._commit()
            except BaseException:
                self._flight.extend(self._pending)
                self._pending = self._flight
                raise
            finally:
                self._flight = Batch()

    async def _keep(self, rejects: list[Reject]) -> list[Reject]:
        await self._dead_letters.put(rejects, f"sink-{self._sink.name}")
        return []

    async def _place(self) -> list[Reject]:
        """Read again what was committed and the store has not: it may have come back as an older copy of itself."""
        assert self._places is not None
        stored = await self._places()
        for partition in self._unplaced & set(self._consumer.assignment()):
            place = stored.get((partition.topic.removeprefix(self._prefix), partition.partition))
            committed = await self._consumer.committed(partition)
            if partition not in self._consumer.assignment() or place is None or committed is None:
                continue
            if place < committed:
                log.warning("store_went_back", sink=self._sink.name, partition=partition, records=committed - place)
                self._flight.drop([partition])
                self._pending.drop([partition])
                self._consumer.seek(partition, place)
        self._unplaced.clear()
        return []

    async def _store(self) -> list[Reject]:
        if self._unplaced:
            await self._place()
        records, started_s = self._flight.records(), self._clock()
        if not records:
            return []
        rejects = await self._sink.write(records)
        await self._sink.flush()
        oldest_ms = min(self._flight.first_times_ms().values(), default=0)
        self._meter.stored(len(records), self._flight.size, self._clock() - started_s, oldest_ms)
        self._meter.rejected([reject.reason for reject in rejects])
        return rejects

    async def _commit(self) -> None:
        offsets = {partition: record.offset + 1 for partition, record in self._flight.last_records()}
        if not offsets:
            return
        try:
            async with asyncio.timeout(self._limits.commit_s):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            # The partitions are somebody else's by now, who will write the same records again: no harm.
            log.warning("commit_refused", sink=self._sink.name, reason=str(error))
            return
        except TimeoutError:
            log.warning("commit_timed_out", sink=self._sink.name)
            return
        for partition, next_offset in offsets.items():
            end = self._consumer.highwater(partition)
            self._meter.lag(partition.topic.removeprefix(self._prefix), partition.partition, (end or 0) - next_offset)

    async def _patiently(self, step: Step) -> list[Reject]:
        """`step`, again and again while what it needs is away; raises `UnavailableError` only when stopping."""
        attempt = 0
        while True:
            try:
                result = await step()
            except UnavailableError as error:
                if self._stopping.is_set():
                    raise
                self._note_wait(error)
                self._doubt(self._consumer.assignment())
                await self._hold(self._backoff_s(attempt))
                attempt += 1
            else:
                if self.waits_for:
                    self._consumer.resume(*self._consumer.assignment())
                    self._note_end_of_wait()
                return result

    async def _hold(self, seconds: float) -> None:
        """Let time pass and stay in the group: a consumer that does not poll is thrown out of it."""
        self._consumer.pause(*self._consumer.assignment())
        polled = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=self._limits.poll_records)
        self._pending.add(polled, self._clock(), prefix=self._prefix)  # of partitions assigned since

    def _backoff_s(self, attempt: int) -> float:
        return min(self._limits.retry_s * 2.0 ** min(attempt, 30), self._limits.max_retry_s)

    def _note_standby(self, error: StandbyError) -> None:
        if not self.stands_by:
            log.info("sink_stands_by", sink=self._sink.name, reason=str(error))
        self._note_end_of_wait()
        self.stands_by = True

    def _note_wait(self, error: UnavailableError) -> None:
        if not self.waits_for:
            log.warning("waiting_for_store", sink=self._sink.name, reason=str(error))
        self.waits_for = str(error) or "the store"
        self._meter.waiting(True)

    def _note_end_of_wait(self) -> None:
        self.stands_by = False
        if self.waits_for:
            log.info("store_is_back", sink=self._sink.name)
        self.waits_for = ""
        self._meter.waiting(False)

    def _doubt(self, partitions: Collection[TopicPartition]) -> None:
        if self._places is not None:
            self._unplaced.update(partitions)

    def note_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions were given anew."""
        log.info("partitions_assigned", sink=self._sink.name, partitions=len(partitions))
        self._doubt(partitions)
        self._meter.assigned()

    async def revoke(self, partitions: Collection[TopicPartition]) -> None:
        """Partitions are about to be taken away: finish what is in flight if the store answers, or forget it."""
        self._pending.drop(self._unplaced)
        try:
            if not self.waits_for:
                async with asyncio.timeout(self._limits.revoke_s):
                    await self._settle(_once)
        except (UnavailableError, TimeoutError) as error:
            log.warning("flush_before_rebalance_failed", sink=self._sink.name, reason=str(error))
        finally:
            dropped = self._flight.drop(partitions) + self._pending.drop(partitions)
            if dropped:
                log.info("records_left_to_next_owner", sink=self._sink.name, records=dropped)


async def _once(step: Step) -> list[Reject]:
    return await step()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._loop.revoke(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._loop.note_assigned(assigned)
