"""Everything a worker is made of, put together: clients, processors, lanes, health, lifecycle.

Decides nothing by itself, and is the only place where processors meet settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from infra.health import HealthServer
from infra.holding import read_holding
from infra.kafka import admin, consumer, producer, topic_name
from infra.keys.keyring import load_opener
from infra.lifecycle import Reporter
from infra.metrics import Metrics
from infra.monitoring.serving import serving_of
from infra.ocr.pool import OcrPool
from infra.rules.book import rule_book
from infra.settings import Settings
from infra.tracing import tracing_of
from infra.watchdog import Holding, keep_held, keep_watch
from schemas.errors import UnavailableError
from schemas.topics import HEARTBEATS
from streams import activity, alerts, gaps, nodes
from streams.activity import ActivityProcessor
from streams.alerts import AlertProcessor
from streams.body import Body
from streams.delivery import BATCHED, Delivery, KeyPartitioner
from streams.gaps import GapProcessor
from streams.intake import Intake
from streams.lane import Lane
from streams.metrics import METRICS, Measuring, Parts
from streams.mine import MINED_TOPICS, Miner
from streams.past import KafkaPast
from streams.readings import FaustReading, LaneReading, faust_assignment
from streams.rewind import keep_within_log
from streams.sizes import SizeWatch, sizes_of
from streams.sole import SoleAssignor
from streams.standby import Standby
from streams.turnstile import Turnstile
from streams.warmup import WarmUp

log = structlog.get_logger(__name__)

MINE_GROUP = "mine"
FAUST_GROUP = "streams"
ALERT_GROUP = "alerts"
FAUST_STAGES = ("activity", "gaps")
FAUST_TOPICS = (activity.TOPIC, gaps.TOPIC)
FAUST_STAGE_OF = dict(zip(FAUST_TOPICS, FAUST_STAGES, strict=True))
SESSION_MS = 10_000


class Assembly:
    """A worker's parts. As an asynchronous context it has them connected, announced and watched over."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.name = name
        self.prefix = settings.kafka.topic_prefix
        self.opener = load_opener(settings)
        self.rules = rule_book(settings)
        self.lanes: list[Lane] = []
        self.started = asyncio.Event()
        self.metrics = Metrics(METRICS)
        self.bodies: dict[str, Body] = {}
        self.intakes: dict[str, Intake] = {}
        self.tasks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._stack = AsyncExitStack()

    async def start(self, app: Any) -> None:
        """Connect, announce, and be ready to work. Raises `UnavailableError` when Kafka is away."""
        settings = self.settings
        self.producer = await self._started(producer(settings, partitioner=KeyPartitioner(), **BATCHED))
        self.delivery = Delivery(self.producer, self.prefix)
        self._ends = await self._started(consumer(settings, None))
        self._admin = await self._started(admin(settings), stop="close")
        self._reporter = await self._stack.enter_async_context(Reporter(settings, self.name, self.producer))
        self._standby = Standby(settings, self._reporter)
        self.tasks["wishes"] = self._standby.follow
        pool = OcrPool(settings.streams.ocr_workers)
        self._stack.push_async_callback(pool.close)
        self._add_bodies(pool)
        await self._add_lane("mine", MINE_GROUP, MINED_TOPICS, RangePartitionAssignor)
        await self._add_lane("alerts", ALERT_GROUP, alerts.TOPICS, SoleAssignor)
        self._add_tasks(app)
        await self._add_nodes()
        await self._stack.enter_async_context(
            HealthServer(
                settings.data, self.name, {"kafka": self._check_kafka}, self.metrics, serving=serving_of(settings)
            )
        )
        self.started.set()
        await self._reporter.ready()
        log.info("worker_ready", worker=self.name)

    @property
    def drained(self) -> bool:
        """Whether the worker ends because somebody wished it drained."""
        return self.started.is_set() and self._standby.drained

    async def stop(self) -> None:
        """Say good-bye and disconnect, in the reverse order."""
        if self.started.is_set():
            await self._reporter.draining()
        await self._stack.aclose()

    async def _started(self, client: Any, stop: str = "stop") -> Any:
        try:
            await client.start()
        except KafkaError as error:
            await getattr(client, stop)()
            raise UnavailableError(f"Kafka at {self.settings.kafka.bootstrap} does not answer: {error}") from error
        self._stack.push_async_callback(getattr(client, stop))
        return client

    def _add_bodies(self, pool: OcrPool) -> None:
        past = KafkaPast(lambda: consumer(self.settings, None), self.prefix)
        self._stack.push_async_callback(past.close)
        self.judge = AlertProcessor(self.rules, past)
        turnstile = Turnstile(pool, self.settings.streams.ocr_workers)
        told = GapProcessor(self.opener, self._reporter.node_id)
        for processor in (
            Miner(self.opener, turnstile, WarmUp(past)),
            ActivityProcessor(self.opener),
            told,
            self.judge,
        ):
            self.bodies[processor.stage] = Body(processor, self.delivery)
            self.bodies[processor.stage].tracing = tracing_of(self.settings, self.name)
        self.intakes = {stage: Intake(self.bodies[stage], self.prefix) for stage in FAUST_STAGES}
        self.parts = Parts(
            self.bodies, turnstile, pool.meter, told, self.judge, self.rules, lanes=self.lanes, intakes=self.intakes
        )

    async def _add_lane(self, stage: str, group: str, topics: Sequence[str], assignor: type) -> None:
        """A lane of its own for a processor that Faust would hold back."""
        client = await self._started(
            consumer(self.settings, group, session_timeout_ms=SESSION_MS, partition_assignment_strategy=(assignor,))
        )
        lane = Lane(stage, topics, client, self.bodies[stage], prefix=self.prefix)
        self.lanes.append(lane)
        reading = LaneReading(lane, self.delivery, lambda: self._ends, self.prefix)
        self.parts.readings.append((lambda _place: stage, reading))
        self.tasks[stage] = lane.run
        self.tasks[f"watch_{stage}"] = lambda: keep_watch(reading)
        self.tasks[f"held_{stage}"] = self._keep_held(group, topics, client.assignment)

    def _add_tasks(self, app: Any) -> None:
        others = {stage: self.bodies[stage] for stage in self.intakes}
        faust_reading = FaustReading(
            app, others, self.intakes, delivery=self.delivery, ends=lambda: self._ends, prefix=self.prefix
        )
        sizes = SizeWatch(self.rules, sizes_of(self.settings), self.delivery, lambda: self.judge.holds)
        self.tasks["watch_faust"] = lambda: keep_watch(faust_reading)
        self.tasks["held_faust"] = self._keep_held(FAUST_GROUP, FAUST_TOPICS, lambda: faust_assignment(app))
        self.tasks["rewind"] = lambda: keep_within_log(app, lambda: self._ends)
        self.parts.readings.append((lambda place: FAUST_STAGE_OF[place.topic], faust_reading))
        self.parts.faust, self.parts.describe = app, self._admin.describe_topics
        self.tasks["measure"] = Measuring(self.settings, self.metrics, self.parts).run
        self.tasks["keys"] = self.opener.follow
        self.tasks["rules"] = self.rules.follow
        self.tasks["sizes"] = sizes.run

    async def _add_nodes(self) -> None:
        heartbeats = await self._started(
            consumer(self.settings, nodes.GROUP, auto_offset_reset="latest", session_timeout_ms=SESSION_MS)
        )
        watcher = nodes.NodeWatcher(
            heartbeats,
            lambda: consumer(self.settings, None),
            self.delivery,
            reporter=self._reporter.node_id,
            prefix=self.prefix,
        )
        self.parts.watcher = watcher
        self.tasks["nodes"] = watcher.run
        self.tasks["held_nodes"] = self._keep_held(nodes.GROUP, (HEARTBEATS.name,), heartbeats.assignment)

    def _keep_held(
        self, group: str, topics: Sequence[str], ours: Callable[[], Collection[TopicPartition]]
    ) -> Callable[[], Awaitable[None]]:
        """Watches that every partition of the topics belongs to a member of the group."""
        names = [topic_name(self.settings, topic) for topic in topics]

        async def read() -> Holding[TopicPartition]:
            held_by = {TopicPartition(at.topic, at.partition) for at in ours()}
            return await read_holding(self._admin, topic_name(self.settings, group), names, held_by)

        return lambda: keep_held(group, read)

    async def _check_kafka(self) -> str:
        try:
            await self._ends.topics()
        except KafkaError as error:
            return f"Kafka does not answer: {type(error).__name__}"
        return "waits for Kafka to take results" if self.delivery.waiting else ""
