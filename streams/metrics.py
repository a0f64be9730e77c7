"""The table of a worker's metrics, and the task that keeps them true.

Only looks; never moves an offset. Never labelled by agent, person or text.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from aiokafka.errors import KafkaError

from infra.kafka import topic_name
from infra.lifecycle import wall_clock_ms
from infra.metrics import Kind, Metric, Metrics, Rows
from infra.ocr.meter import OcrMeter
from infra.replication import count_conditions
from infra.settings import Settings
from schemas.topics import TOPICS
from streams.alerts import AlertProcessor
from streams.body import Body
from streams.gaps import GapProcessor
from streams.incoming import Partition
from streams.nodes import NodeWatcher
from streams.readings import Waits
from streams.turnstile import Turnstile

log = structlog.get_logger(__name__)

_AGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0)
_PLACE = ("stage", "topic", "partition")

METRICS = (
    Metric("streams_records_settled_total", Kind.COUNTER, "records whose results are durable", ("stage",)),
    Metric("streams_record_bytes_total", Kind.COUNTER, "bytes of those records", ("stage",)),
    Metric("streams_results_delivered_total", Kind.COUNTER, "results delivered", ("stage",)),
    Metric("streams_dead_letters_total", Kind.COUNTER, "records that could not be processed", ("stage", "reason")),
    Metric("streams_settle_seconds", Kind.HISTOGRAM, "from Kafka until results are durable", ("stage",), _AGES),
    Metric("streams_waiting", Kind.GAUGE, "records that wait for a dependency", ("stage",)),
    Metric("streams_lag_records", Kind.GAUGE, "records of partitions in hand that are not committed", _PLACE),
    Metric("streams_oldest_seconds", Kind.GAUGE, "for which the oldest of them has waited", _PLACE),
    Metric("streams_next_offset", Kind.GAUGE, "next offset of each partition of lane in hand", ("topic", "partition")),
    Metric("streams_partitions_held", Kind.GAUGE, "partitions in hand", ("stage",)),
    Metric("streams_rebalances_total", Kind.COUNTER, "times that partitions were given anew", ("stage",)),
    Metric("streams_under_way_records", Kind.GAUGE, "records in memory that are not settled", ("stage",)),
    Metric("streams_under_way_bytes", Kind.GAUGE, "bytes of those records", ("stage",)),
    Metric("streams_ocr_waiting_frames", Kind.GAUGE, "frames that wait for OCR or are being read"),
    Metric("streams_ocr_oldest_seconds", Kind.GAUGE, "for which the oldest of them has waited"),
    Metric("streams_ocr_busy_processes", Kind.GAUGE, "OCR processes that read now"),
    Metric("streams_ocr_frames_total", Kind.COUNTER, "frames that were read"),
    Metric("streams_ocr_frame_seconds", Kind.HISTOGRAM, "to read a frame, the mean of each request's frames"),
    Metric("streams_ocr_deaths_total", Kind.COUNTER, "OCR processes that died or were given up while they read"),
    Metric("streams_gaps_total", Kind.COUNTER, "holes that agents told of, by the stream they are in", ("stream",)),
    Metric("streams_nodes", Kind.GAUGE, "processes of all nodes, by state, where heartbeats are judged", ("state",)),
    Metric("streams_node_lost", Kind.GAUGE, "1 for each process that was lost within the last day", ("node",)),
    Metric("streams_node_clock_seconds", Kind.GAUGE, "by which a node's clock is behind this worker's", ("node",)),
    Metric("streams_kafka_partitions", Kind.GAUGE, "partitions that are not replicated as they should", ("condition",)),
    Metric("streams_rules", Kind.GAUGE, "rules of alerts in force"),
    Metric("streams_rules_age_seconds", Kind.GAUGE, "since rules were read; grows while PostgreSQL is away"),
    Metric("streams_rule_windows", Kind.GAUGE, "windows that rules count in"),
)

LOOK_S = 1.0
LAG_S = 5.0
REPLICATION_S = 30.0
TIMEOUT_S = 4.0
LOST_FOR_MS = 24 * 3_600_000


class Reading(Protocol):
    """What tells what waits: `streams.readings`."""

    async def waits(self) -> Mapping[Partition, Waits]:
        """By partition; raises `KafkaError`."""
        ...


class Lane(Protocol):
    """What is asked of a lane."""

    name: str
    rebalances: int

    @property
    def offsets(self) -> Mapping[Partition, int]:
        """Next offsets."""
        ...

    @property
    def held(self) -> tuple[int, int]:
        """Records and bytes under way."""
        ...


@dataclass
class Parts:
    """What a worker's metrics are read from; lists grow while the worker is put together."""

    bodies: Mapping[str, Body]
    turnstile: Turnstile
    ocr: OcrMeter
    gaps: GapProcessor
    judge: AlertProcessor
    rules: Any
    lanes: list[Any] = field(default_factory=list)
    readings: list[tuple[Callable[[Partition], str], Reading]] = field(default_factory=list)
    """With what tells a partition's stage."""
    watcher: NodeWatcher | None = None
    describe: Callable[[Sequence[str]], Awaitable[Any]] | None = None
    """Kafka's description of topics; raises `KafkaError`."""
    intakes: Mapping[str, Any] = field(default_factory=dict)
    faust: Any = None


class Measuring:
    """Copies the parts' own counters into the metrics, again and again."""

    def __init__(self, settings: Settings, metrics: Metrics, parts: Parts) -> None:
        self._settings = settings
        self._metrics = metrics
        self._parts = parts
        self._counted: dict[Hashable, float] = defaultdict(float)
        self._noticed: dict[tuple[str, Partition], int] = {}
        self._lags = Rows[tuple[str, Partition]](metrics.gauge("streams_lag_records"), _place_labels)
        self._ages = Rows[tuple[str, Partition]](metrics.gauge("streams_oldest_seconds"), _place_labels)
        self._next = Rows[Partition](metrics.gauge("streams_next_offset"), lambda at: (at.topic, str(at.number)))
        self._nodes = Rows[str](metrics.gauge("streams_nodes"), _label)
        self._lost = Rows[str](metrics.gauge("streams_node_lost"), _label)
        self._clocks = Rows[str](metrics.gauge("streams_node_clock_seconds"), _label)
        for stage, body in parts.bodies.items():
            body.observe = metrics.histogram("streams_settle_seconds").labels(stage).observe
        parts.ocr.observe = metrics.histogram("streams_ocr_frame_seconds").observe

    async def run(self) -> None:
        """Keep them true until cancelled."""
        lag_at = replication_at = 0.0
        while True:
            self.look()
            now = time.monotonic()
            if now >= lag_at:
                lag_at = now + LAG_S
                await self.look_at_lag()
            if now >= replication_at:
                replication_at = now + REPLICATION_S
                await self._look_at_replication()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """What needs nobody to be asked."""
        parts, metrics = self._parts, self._metrics
        for stage, body in parts.bodies.items():
            self._count("streams_records_settled_total", body.settled, stage)
            self._count("streams_record_bytes_total", body.bytes, stage)
            self._count("streams_results_delivered_total", body.results, stage)
            for reason, dead in body.dead.items():
                self._count("streams_dead_letters_total", dead, stage, reason)
            metrics.gauge("streams_waiting").labels(stage).set(body.waiting)
        for stream, told in parts.gaps.told.items():
            self._count("streams_gaps_total", told, stream)
        self._look_at_readers()
        self._count("streams_ocr_frames_total", parts.ocr.frames)
        self._count("streams_ocr_deaths_total", parts.ocr.deaths)
        metrics.gauge("streams_ocr_busy_processes").set(parts.ocr.busy)
        metrics.gauge("streams_ocr_waiting_frames").set(parts.turnstile.waiting_frames)
        metrics.gauge("streams_ocr_oldest_seconds").set(parts.turnstile.oldest_s)
        metrics.gauge("streams_rules").set(parts.rules.rules)
        metrics.gauge("streams_rules_age_seconds").set(parts.rules.age_s)
        metrics.gauge("streams_rule_windows").set(parts.judge.windows)
        self._look_at_nodes()

    def _look_at_readers(self) -> None:
        parts = self._parts
        held = {lane.name: lane.held for lane in parts.lanes} | {s: intake.held for s, intake in parts.intakes.items()}
        for stage, (records, size) in held.items():
            self._metrics.gauge("streams_under_way_records").labels(stage).set(records)
            self._metrics.gauge("streams_under_way_bytes").labels(stage).set(size)
        for lane in parts.lanes:
            self._count("streams_rebalances_total", lane.rebalances, lane.name)
        if parts.faust is not None:
            self._count("streams_rebalances_total", parts.faust.rebalancing_count, "faust")
        self._next.show({place: offset for lane in parts.lanes for place, offset in lane.offsets.items()})

    async def look_at_lag(self) -> None:
        """What waits in each partition in hand, which Kafka has to be asked; what it does not answer stays."""
        waits: dict[tuple[str, Partition], Waits] = {}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for stage_of, reading in self._parts.readings:
                    waits |= {(stage_of(place), place): one for place, one in (await reading.waits()).items()}
        except (KafkaError, TimeoutError) as error:
            log.debug("lag_not_measured", error=type(error).__name__)
            return
        now_ms = wall_clock_ms()
        waiting = {place: one for place, one in waits.items() if one.lag}
        self._noticed = {place: self._noticed.get(place, now_ms) for place in waiting}
        since = {place: one.oldest_ms or self._noticed[place] for place, one in waiting.items()}
        self._lags.show({place: one.lag for place, one in waits.items()})
        self._ages.show({place: max(0, now_ms - since.get(place, now_ms)) / 1000 for place in waits})
        stages = [stage for stage, _ in waits]
        for stage in {*self._parts.bodies, *stages}:
            self._metrics.gauge("streams_partitions_held").labels(stage).set(stages.count(stage))

    def _look_at_nodes(self) -> None:
        """Nothing, where somebody else judges heartbeats."""
        watcher = self._parts.watcher
        nodes = list(watcher.watch.nodes.values()) if watcher is not None and watcher.watching else []
        states = [node.state for node in nodes]
        self._nodes.show({state: states.count(state) for state in states})
        recent_ms = wall_clock_ms() - LOST_FOR_MS
        self._lost.show({node.node_id: 1 for node in nodes if node.state == "lost" and node.since_ms >= recent_ms})
        self._clocks.show(watcher.clocks.differences_s if watcher is not None and nodes else {})

    async def _look_at_replication(self) -> None:
        if self._parts.describe is None:
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                topics = await self._parts.describe([topic_name(self._settings, topic) for topic in TOPICS])
        except (KafkaError, TimeoutError) as error:
            log.debug("replication_not_looked_at", error=type(error).__name__)
            return
        for condition, count in count_conditions(topics, self._settings.kafka.min_insync).items():
            self._metrics.gauge("streams_kafka_partitions").labels(condition).set(count)

    def _count(self, name: str, count: float, *labels: str) -> None:
        """Bring a counter up to `count`."""
        counter = self._metrics.counter(name)
        (counter.labels(*labels) if labels else counter).inc(count - self._counted[name, labels])
        self._counted[name, labels] = count


def _label(text: str) -> tuple[str, ...]:
    return (text,)


def _place_labels(place: tuple[str, Partition]) -> tuple[str, ...]:
    stage, at = place
    return stage, at.topic, str(at.number)
