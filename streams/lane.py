"""The consumer loop of a processor: read, process, deliver, then commit the next offset.

Never commits past a record whose results are not durable, and lets nothing escape but what the worker must crash of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from schemas.errors import LocalError, UnavailableError
from streams.backoff import Backoff
from streams.body import Body
from streams.incoming import Partition, incoming
from streams.share import Share

log = structlog.get_logger(__name__)


class Consumer(Protocol):
    """What is used of a Kafka consumer."""

    def subscribe(self, topics: Sequence[str] = (), *, listener: Any = None) -> None:
        """Join the group."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Records there are."""
        ...

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch nothing of these."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch them again."""

    async def position(self, partition: TopicPartition) -> int:
        """The next offset to be fetched."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch from there on."""

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The oldest record of each."""
        ...

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Note the group's next offsets."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a lane holds, and how often it looks."""

    records: int = 128
    """Records of one partition under way."""
    bytes: int = 8 * 1024 * 1024
    """Bytes of one partition under way."""
    poll_ms: int = 100
    room_ms: int = 10
    """How long it waits for records while a partition that has enough under way may have room again."""
    commit_s: float = 0.5
    finish_s: float = 5.0
    """How long records under way may go on when their partition is revoked."""


class Lane(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """Feeds one processor from its topics, as a member of one consumer group."""

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        consumer: Consumer,
        body: Body,
        *,
        prefix: str = "",
        limits: Limits | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self._topics = [prefix + topic for topic in topics]
        self._prefix = prefix
        self._consumer = consumer
        self.body = body
        self._limits = limits or Limits()
        self._backoff = backoff or Backoff()
        self._shares: dict[TopicPartition, Share] = {}
        self._preparing: dict[TopicPartition, asyncio.Task[None]] = {}
        self._full: set[TopicPartition] = set()
        self.rebalances = 0

    @property
    def offsets(self) -> dict[Partition, int]:
        """The next offset of each partition in hand."""
        return {self._place(at): share.next_offset for at, share in self._shares.items()}

    @property
    def standings(self) -> dict[Partition, tuple[int, bool]]:
        """The next offset of each partition that was given to it, and whether it works on the record there.

        One that is still being prepared stands before its beginning, and that is work.
        """
        preparing = {self._place(at): (-1, True) for at in self._preparing}
        return preparing | {self._place(at): (share.next_offset, share.busy) for at, share in self._shares.items()}

    @property
    def committed(self) -> dict[Partition, int]:
        """The group's next offset of each partition in hand: what was delivered, and told to the broker since."""
        shares = self._shares.items()
        return {self._place(at): share.next_offset if share.committed < 0 else share.committed for at, share in shares}

    @property
    def oldest_ms(self) -> dict[Partition, int | None]:
        """Time of the first record of each partition in hand that was read and is not settled."""
        return {self._place(at): share.oldest_ms for at, share in self._shares.items()}

    @property
    def held(self) -> tuple[int, int]:
        """Records under way, and their bytes."""
        shares = self._shares.values()
        return sum(share.held_records for share in shares), sum(share.held_bytes for share in shares)

    async def run(self) -> None:
        """Read until cancelled; raises what a worker must crash of."""
        self._consumer.subscribe(self._topics, listener=self)
        committing_at = time.monotonic()
        try:
            while True:
                patience_ms = self._limits.room_ms if self._full else self._limits.poll_ms
                batches = await self._consumer.getmany(timeout_ms=patience_ms, max_records=self._limits.records)
                for at, records in batches.items():
                    if at in self._shares:
                        for record in records:
                            self._shares[at].take(incoming(record, self._prefix))
                self._balance()
                if time.monotonic() - committing_at >= self._limits.commit_s:
                    await self.commit()
                    committing_at = time.monotonic()
        finally:
            await self._release(set(self._shares) | set(self._preparing))

    def _balance(self) -> None:
        """Stop fetching for partitions that have enough under way, and go on with those that have room again."""
        for at, task in self._preparing.items():
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise LocalError(f"{at.topic}/{at.partition} could not be begun") from task.exception()
        for at, share in self._shares.items():
            if share.failure is not None:
                raise LocalError(f"processing {at.topic}/{at.partition} failed") from share.failure
            full = share.held_records >= self._limits.records or share.held_bytes >= self._limits.bytes
            room = share.held_records <= self._limits.records // 2 and share.held_bytes <= self._limits.bytes // 2
            if full and at not in self._full:
                self._full.add(at)
                self._consumer.pause(at)
            elif room and at in self._full:
                self._full.discard(at)
                self._consumer.resume(at)

    async def commit(self, places: Collection[TopicPartition] | None = None) -> None:
        """Commit the next offset of each partition that moved; what fails is committed with the next."""
        shares = {at: s for at, s in self._shares.items() if places is None or at in places}
        moved = {at: share.next_offset for at, share in shares.items() if share.next_offset > share.committed}
        if not moved:
            return
        try:
            await self._consumer.commit(moved)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            log.warning("commit_failed", lane=self.name, error=type(error).__name__)
            return
        for at, offset in moved.items():
            shares[at].committed = offset

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish what is under way, commit it, and let the partitions go."""
        await self._release(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Take partitions; each is held until its processor is ready for it."""
        self.rebalances += 1
        for at in assigned:
            self._consumer.pause(at)
            self._preparing[at] = asyncio.create_task(self._prepare(at), name=f"prepare {at.topic}/{at.partition}")

    async def _prepare(self, at: TopicPartition) -> None:
        attempt = 0
        while True:
            try:
                committed = await self._consumer.position(at)
                position = await self._within_log(at, committed)
                await self.body.processor.begin(self._place(at), position)
                break
            except (UnavailableError, KafkaError) as error:
                attempt += 1
                log.warning("partition_waits", lane=self.name, partition=at.partition, error=type(error).__name__)
                await self._backoff.wait(attempt)
        share = self._shares[at] = Share(position, self.body)
        if position < committed:
            share.committed = -1  # what the group knows is wrong: say so with the next commit
        self._preparing.pop(at, None)
        self._consumer.resume(at)
        log.info("partition_begun", lane=self.name, topic=at.topic, partition=at.partition, offset=position)

    async def _within_log(self, at: TopicPartition, position: int) -> int:
        """`position`, or the oldest record's when the log ends before it: then the broker has lost its end.

        What was written since stands below the committed offset. To read what there is again changes nothing.
        """
        ends = await self._consumer.end_offsets([at])
        if position <= ends[at]:
            return position
        oldest = (await self._consumer.beginning_offsets([at]))[at]
        log.error(
            "log_lost_its_end", lane=self.name, topic=at.topic, partition=at.partition, committed=position,
            end=ends[at], begins_at=oldest,
        )  # fmt: skip
        self._consumer.seek(at, oldest)
        return oldest

    async def _release(self, places: Collection[TopicPartition]) -> None:
        preparing = [self._preparing.pop(at) for at in places if at in self._preparing]
        for task in preparing:
            task.cancel()
        await asyncio.gather(*preparing, return_exceptions=True)
        shares = [self._shares[at] for at in places if at in self._shares]
        await asyncio.gather(*(share.finish(self._limits.finish_s) for share in shares))
        await self.commit(places)
        for at in places:
            share = self._shares.pop(at, None)
            self._full.discard(at)
            if share is not None:
                self.body.processor.end(self._place(at), share.next_offset)

    def _place(self, at: TopicPartition) -> Partition:
        return Partition(at.topic.removeprefix(self._prefix), at.partition)
