"""What a worker shows of itself: lag after the flush, who waits for OCR, nodes, clocks and replicas."""

from __future__ import annotations

import asyncio
import itertools
from typing import Self

import pytest
from aiokafka.errors import KafkaConnectionError

from infra.lifecycle import wall_clock_ms
from infra.metrics import Metrics
from infra.ocr.meter import OcrMeter
from infra.replication import count_conditions
from infra.settings import Settings
from schemas.errors import MalformedError
from schemas.records import encode_record
from streams.backoff import Backoff
from streams.body import Body
from streams.clocks import Clocks
from streams.delivery import Delivery
from streams.incoming import Incoming
from streams.lane import Lane, Limits
from streams.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.metrics import METRICS, Measuring, Parts
from streams.nodes import NodeWatcher
from streams.outgoing import Outgoing
from streams.processor import Stateless
from streams.readings import LaneReading
from streams.turnstile import AT_ONCE, Turnstile
from tests.streams.rig import no_sleep, until
from tests.streams.test_nodes import beat, fact

TOPIC = "envelopes.screen"


class Gated(Stateless):
    """A processor whose records wait at a gate; `bad` ones can never be processed."""

    stage = "mine"

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def process(self, record: Incoming) -> list[Outgoing]:
        await self.gate.wait()
        if record.value == b"bad":
            raise MalformedError("bad", "wrong_topic")
        return [Outgoing("documents", record.key, record.value)]


class Told:
    """A processor of gaps that told of some."""

    def __init__(self) -> None:
        self.told = {"screen": 2}


class Rules:
    rules, age_s, windows = 3, 1.5, 0


class Stage:
    """One worker's lane on the in-memory broker, and what is shown of it."""

    def __init__(self, **limits: float) -> None:
        self.broker = MemoryBroker(partitions=2)
        self.processor = Gated()
        backoff = Backoff(sleep=no_sleep)
        delivery = Delivery(MemoryProducer(self.broker), backoff=backoff)
        body = Body(self.processor, delivery)
        self.consumer = MemoryConsumer(self.broker, "mine")
        self.lane = Lane("mine", [TOPIC], self.consumer, body, limits=Limits(poll_ms=5, finish_s=0.05, **limits))
        self.turnstile = Turnstile(self, 1)
        parts = Parts({"mine": body}, self.turnstile, OcrMeter(), Told(), Rules(), Rules(), lanes=[self.lane])
        reading = LaneReading(self.lane, delivery, lambda: MemoryConsumer(self.broker), "")
        parts.readings.append((lambda _place: "mine", reading))
        self.parts = parts
        self.metrics = Metrics(METRICS)
        self.measuring = Measuring(Settings(), self.metrics, parts)

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.lane.run())
        await until(lambda: self.consumer in self.broker.members["mine"])
        await self.broker.rebalance("mine")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def append(self, value: bytes = b"good", partition: int = 0, age_s: float = 0) -> None:
        time_ms = wall_clock_ms() - int(age_s * 1000)
        self.broker.append(TOPIC, value, b"a", partition=partition, timestamp_ms=time_ms)

    async def shown(self) -> dict[str, float]:
        self.measuring.look()
        await self.measuring.look_at_lag()
        lines = (line for line in self.metrics.expose().decode().splitlines() if line.startswith("streams_"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    async def read(self, agent: str, frames: list, *, emit: bool = True) -> list:
        await self.processor.gate.wait()
        return frames


def lag(partition: int) -> str:
    return f'streams_lag_records{{partition="{partition}",stage="mine",topic="{TOPIC}"}}'


def oldest(partition: int) -> str:
    return lag(partition).replace("lag_records", "oldest_seconds")


async def test_lag_falls_when_results_are_committed_and_not_before() -> None:
    """What is read, processed and even delivered still counts, until the broker was told; by partition."""
    async with Stage(commit_s=3600) as stage:
        for _ in range(3):
            stage.append(age_s=90)
        stage.append(partition=1)
        await until(lambda: stage.lane.held[0] == 4)
        shown = await stage.shown()
        assert (shown[lag(0)], shown[lag(1)]) == (3, 1)
        assert 90 <= shown[oldest(0)] < 300 > 60 > shown[oldest(1)]
        assert shown['streams_under_way_records{stage="mine"}'] == 4
        assert shown['streams_under_way_bytes{stage="mine"}'] == 16
        stage.processor.gate.set()
        await until(lambda: stage.lane.held == (0, 0))
        assert len(stage.broker.records("documents")) == 4
        assert (await stage.shown())[lag(0)] == 3
        await stage.lane.commit()
        shown = await stage.shown()
        assert (shown[lag(0)], shown[lag(1)], shown[oldest(0)]) == (0, 0, 0)
        assert shown['streams_records_settled_total{stage="mine"}'] == 4
        assert shown['streams_record_bytes_total{stage="mine"}'] == 16
        assert shown['streams_settle_seconds_count{stage="mine"}'] == 4
        assert shown['streams_settle_seconds_bucket{le="60.0",stage="mine"}'] == 1


async def test_a_partition_that_went_elsewhere_is_shown_no_more() -> None:
    """Its lag is somebody else's to tell; partitions held and rebalances are counted."""
    async with Stage(commit_s=0) as stage:
        stage.append(partition=1)
        await until(lambda: len(stage.lane.offsets) == 2)
        assert lag(1) in await stage.shown()
        other = MemoryConsumer(stage.broker, "mine")
        other.subscribe([TOPIC], listener=Lane("mine", [TOPIC], other, stage.lane.body))
        await stage.broker.rebalance("mine")
        await until(lambda: len(stage.lane.offsets) == 1)
        shown = await stage.shown()
        assert lag(1) not in shown
        assert oldest(1) not in shown
        assert shown['streams_partitions_held{stage="mine"}'] == 1
        assert shown['streams_rebalances_total{stage="mine"}'] == 2


async def test_lag_that_kafka_does_not_tell_stays_as_it_was() -> None:
    """A broker that is away makes nobody look caught up."""
    async with Stage(commit_s=3600) as stage:
        stage.append()
        await until(lambda: stage.lane.held[0] == 1)
        assert (await stage.shown())[lag(0)] == 1
        stage.broker.away = True
        assert (await stage.shown())[lag(0)] == 1
        stage.broker.away = False


async def test_dead_letters_are_counted_by_reason() -> None:
    """And gaps by the stream that they are in; looking twice counts nothing twice."""
    async with Stage(commit_s=0) as stage:
        stage.processor.gate.set()
        stage.append(b"bad")
        stage.append(b"bad")
        await until(lambda: len(stage.broker.records("dead-letters")) == 2)
        await stage.shown()
        shown = await stage.shown()
        assert shown['streams_dead_letters_total{reason="wrong_topic",stage="mine"}'] == 2
        assert shown['streams_gaps_total{stream="screen"}'] == 2
        assert shown["streams_rules"] == 3


async def test_frames_that_wait_for_ocr_are_counted_from_outside_the_turnstile_on() -> None:
    """Those inside and those outside, and for how long the oldest has waited; none when all are read."""
    stage = Stage()
    asked = [asyncio.create_task(stage.turnstile.read("a", [1, 2])) for _ in range(2 * AT_ONCE)]
    await asyncio.sleep(0.02)
    shown = await stage.shown()
    assert shown["streams_ocr_waiting_frames"] == 4 * AT_ONCE
    assert shown["streams_ocr_oldest_seconds"] >= 0.01
    stage.processor.gate.set()
    await asyncio.gather(*asked)
    shown = await stage.shown()
    assert (shown["streams_ocr_waiting_frames"], shown["streams_ocr_oldest_seconds"]) == (0, 0)


async def test_ocr_processes_tell_what_they_do() -> None:
    """How many read, what they read, and the seconds of a frame."""
    stage = Stage()
    meter = stage.parts.ocr
    meter.began()
    assert (await stage.shown())["streams_ocr_busy_processes"] == 1
    meter.ended(4, 2.0)
    meter.deaths = 1
    shown = await stage.shown()
    assert shown["streams_ocr_busy_processes"] == 0
    assert shown["streams_ocr_frames_total"] == shown["streams_ocr_frame_seconds_count"] == 4
    assert shown["streams_ocr_frame_seconds_sum"] == 2.0
    assert shown["streams_ocr_deaths_total"] == 1


async def test_who_judges_heartbeats_shows_states_lost_processes_and_clocks() -> None:
    """Who does not judge shows none of it: two workers would tell two truths."""
    stage = Stage()
    broker = stage.broker
    watcher = NodeWatcher(
        MemoryConsumer(broker, "nodes"), lambda: MemoryConsumer(broker), Delivery(MemoryProducer(broker)), reporter="me"
    )
    stage.parts.watcher = watcher
    now_ms = wall_clock_ms()
    for event in (
        fact("joined"), fact("ready"), fact("joined", "m/sink-disk"), fact("lost", "m/sink-disk") | {"time_ms": now_ms},
        fact("joined", "old/front"), fact("lost", "old/front"),
    ):  # fmt: skip
        broker.append("lifecycle", encode_record("lifecycle_event", event), partition=0)
    assert not [name for name in await stage.shown() if name.startswith("streams_node")]
    task = asyncio.create_task(watcher.run())
    await until(lambda: watcher._heartbeats in broker.members["nodes"])
    await broker.rebalance("nodes")
    await until(lambda: len(watcher.watch.nodes) == 3)
    await asyncio.sleep(0.05)
    broker.append("heartbeats", encode_record("heartbeat", beat() | {"time_ms": now_ms - 60_000}), partition=0)
    await until(lambda: bool(watcher.clocks.differences_s))
    shown = await stage.shown()
    assert shown['streams_nodes{state="ready"}'] == 1
    assert shown['streams_nodes{state="lost"}'] == 2
    assert shown['streams_node_lost{node="m/sink-disk"}'] == 1
    assert 'streams_node_lost{node="old/front"}' not in shown
    assert 59 < shown['streams_node_clock_seconds{node="n"}'] < 120
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_heartbeat_that_was_late_is_no_clock_that_is() -> None:
    """Of the last few the nearest counts; a clock that is wrong is so in all of them."""
    clocks = Clocks()
    for late_ms in (9000, 6000, 40):
        clocks.hear("n/gateway", 1_000_000, 1_000_000 + late_ms)
        clocks.hear("m/gateway", 1_000_000, 995_000 + late_ms // 100)
    assert clocks.differences_s == {"n": 0.04, "m": pytest.approx(-4.91)}
    clocks.clear()
    assert clocks.differences_s == {}


def test_partitions_are_counted_by_what_is_wrong_with_them() -> None:
    """A leader that is gone, too few replicas to write, fewer than there ought to be."""

    def described(leader: int, in_sync: int) -> dict:
        return {"leader": leader, "isr": list(range(in_sync)), "replicas": [0, 1, 2]}

    topics = [{"partitions": list(itertools.starmap(described, [(0, 3), (0, 2), (1, 1), (-1, 0)]))}]
    assert count_conditions(topics, 2) == count_conditions(topics, 0) == {"leaderless": 1, "below_min": 2, "short": 3}


async def test_replication_is_asked_for_and_waited_out() -> None:
    """What Kafka does not tell stays as it was."""
    stage = Stage()
    answers = iter([[{"partitions": [{"leader": 0, "isr": [], "replicas": [0]}]}], KafkaConnectionError()])

    async def describe(_names: list[str]) -> list:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    stage.parts.describe = describe
    for _ in range(2):
        await stage.measuring._look_at_replication()
        assert (await stage.shown())['streams_kafka_partitions{condition="below_min"}'] == 1
