"""A replay put together: clients, processor and engine for one run.

Decides nothing by itself; `infra.cli.replay` gives it the archive, which streams may not import.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from infra.kafka import admin, consumer, producer, topic_name
from infra.keys.keyring import load_opener
from infra.ocr.pool import OcrPool
from infra.settings import Settings
from schemas.errors import ConfigError, UnavailableError
from streams.activity import ActivityProcessor
from streams.assembly import MINE_GROUP
from streams.body import Body
from streams.delivery import BATCHED, Delivery, KeyPartitioner
from streams.mine import Miner
from streams.past import KafkaPast, NoPast
from streams.processor import Processor
from streams.replay.courtesy import Courtesy
from streams.replay.engine import Engine
from streams.replay.feed import ArchiveFeed, Feed, KafkaFeed
from streams.replay.ledger import Ledger, Run
from streams.replay.missing import MissingDelivery, ReadVersions
from streams.replay.request import Request
from streams.turnstile import Turnstile
from streams.warmup import WarmUp

NICENESS = 10

ReadArchive = Callable[[int], Iterator[Any]]
"""Archived envelopes of the request captured from a time (ms) on."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a replay would read: ranges by partition, and records and bytes that it would process."""

    ranges: dict[int, tuple[int, int]]
    records: int
    bytes: int


class Session:
    """Clients for one run; an asynchronous context."""

    def __init__(self, settings: Settings, request: Request, read_archive: ReadArchive | None = None) -> None:
        self._settings = settings
        self._request = request
        self._read_archive = read_archive
        self._prefix = settings.kafka.topic_prefix
        self._stack = AsyncExitStack()
        self.comparing: MissingDelivery | None = None

    async def __aenter__(self) -> Self:
        if self._read_archive is not None:
            self.feed: Feed = ArchiveFeed(self._read_archive, self._prefix)
            return self
        reader = await self._started(consumer(self._settings, None))
        topic = topic_name(self._settings, self._request.topic)
        [described] = await (await self._started(admin(self._settings), stop="close")).describe_topics([topic])
        partitions = sorted(one["partition"] for one in described["partitions"])
        if not partitions:
            await self._stack.aclose()
            raise ConfigError(f"Kafka has no topic {topic}")
        self.feed = KafkaFeed(reader, self._past(), partitions, self._prefix)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def estimate(self) -> Estimate:
        """Read the range without processing anything."""
        run = Run("estimate", self._request)
        await self.feed.prepare(run)
        records = size = 0
        async for batch in self.feed.batches(run):
            wanted = [fed.record for fed in batch if fed.wanted]
            records += len(wanted)
            size += sum(len(record.value) for record in wanted)
        return Estimate(run.ranges, records, size)

    async def run(
        self,
        run: Run,
        ledger: Ledger,
        told: Callable[[Run, bool], None],
        *,
        records_per_s: float = 0.0,
        ocr_workers: int = 0,
        read_versions: ReadVersions | None = None,
    ) -> Run:
        """Run to the end, or until cancelled. `told` gets the run and whether it stands back for live traffic.

        With `read_versions` only what a store lacks is delivered; `comparing` says afterwards what that was.
        """
        os.nice(NICENESS)
        client = producer(self._settings, partitioner=KeyPartitioner(), **BATCHED)
        delivery = Delivery(await self._started(client), self._prefix)
        if read_versions is not None:
            delivery = self.comparing = MissingDelivery(delivery, read_versions)
        lag = await self._live_lag()
        courtesy = Courtesy(lag, records_per_s=records_per_s)
        processor = await self._processor(ocr_workers or self._settings.streams.ocr_workers)
        engine = Engine(
            self.feed,
            Body(processor, delivery),
            ledger,
            courtesy,
            told=lambda one: told(one, courtesy.paused),
            shown=processor if isinstance(processor, Miner) else None,
        )
        return await engine.run(run)

    async def _processor(self, ocr_workers: int) -> Processor:
        opener = load_opener(self._settings)
        if self._request.processor == "activity":
            return ActivityProcessor(opener)
        pool = OcrPool(ocr_workers)
        self._stack.push_async_callback(pool.close)
        past = NoPast() if self._request.from_archive else self._past()
        return Miner(opener, Turnstile(pool, ocr_workers), WarmUp(past, agents=self._request.agents))

    def _past(self) -> KafkaPast:
        past = KafkaPast(lambda: consumer(self._settings, None), self._prefix)
        self._stack.push_async_callback(past.close)
        return past

    async def _live_lag(self) -> Callable[[], Any]:
        """Reads the lag of the group that mines live."""
        client = await self._started(admin(self._settings), stop="close")
        ends_of = await self._started(consumer(self._settings, None))
        group = topic_name(self._settings, MINE_GROUP)

        async def lag() -> tuple[int, int]:
            try:
                committed = await client.list_consumer_group_offsets(group)
                offsets = {TopicPartition(*at): one.offset for at, one in committed.items() if one.offset >= 0}
                ends = await ends_of.end_offsets(list(offsets)) if offsets else {}
            except KafkaError as error:
                raise UnavailableError(f"the live group's lag is not to be had: {type(error).__name__}") from error
            return sum(ends[at] - offset for at, offset in offsets.items()), sum(offsets.values())

        return lag

    async def _started(self, client: Any, stop: str = "stop") -> Any:
        try:
            await client.start()
        except KafkaError as error:
            await getattr(client, stop)()
            raise UnavailableError(f"Kafka at {self._settings.kafka.bootstrap} does not answer: {error}") from error
        self._stack.push_async_callback(getattr(client, stop))
        return client
