"""What a sink shows of itself: lag after the commit, also while its store is away, and for how long that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from infra.metrics import Metrics
from sinks.loop import Loop
from sinks.memory import MemoryBroker, MemoryConsumer, MemoryDeadLetters, MemorySink
from sinks.metrics import METRICS, PrometheusMeter
from sinks.watch import LoopReading, keep_measured
from tests.sinks.test_loop import P0, P1, Bench


async def until(fact: Callable[[], bool]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - a test looks from outside; there is no event to wait for
            await asyncio.sleep(0)


class Reader:
    """A consumer as the watch asks it, over the in-memory broker's."""

    def __init__(self, broker: MemoryBroker, consumer: MemoryConsumer) -> None:
        self._broker, self._consumer = broker, consumer
        self.away = False

    def assignment(self) -> set[TopicPartition]:
        return self._consumer.assignment()

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError
        return {at: len(self._broker.logs[at]) for at in places}

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def position(self, at: TopicPartition) -> int:
        return self._consumer._positions[at]


class Measured(Bench):
    """A loop whose meter is shown; `measure` looks once."""

    def __init__(self, **limits: float) -> None:
        super().__init__(**limits)
        self.metrics = Metrics(METRICS)
        self.meter = PrometheusMeter("memory", self.metrics, clock=self.broker.clock)
        self.loop._meter = self.meter
        self.reader = Reader(self.broker, self.consumer)

    async def measure(self) -> dict[str, float]:
        looked = 0

        async def once(_seconds: float) -> None:
            nonlocal looked
            looked += 1
            if looked > 1:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await keep_measured(LoopReading("memory", self.loop, self.reader), self.loop, self.meter, "x-", once)
        lines = (line for line in self.metrics.expose().decode().splitlines() if line.startswith("sealstream_sink"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def lag(partition: int, what: str = "lag_records") -> str:
    return f'sealstream_sink_{what}{{partition="{partition}",sink="memory",topic="documents"}}'


async def test_lag_is_what_was_not_committed_of_each_partition_in_hand() -> None:
    """All of it before anything is stored, none when all is, and nothing of a partition that went elsewhere."""
    bench = Measured()
    bench.fill(10)
    bench.fill(3, 1)
    bench.consumer.subscribe([P0.topic], listener=None)
    shown = await bench.measure()
    assert (shown[lag(0)], shown[lag(1)]) == (10, 3)
    await bench.loop.run()
    shown = await bench.measure()
    assert (shown[lag(0)], shown[lag(1)], shown[lag(0, "oldest_seconds")]) == (0, 0, 0)
    assert shown['sealstream_sink_partitions_held{sink="memory"}'] == 2
    assert shown['sealstream_sink_batch_records_sum{sink="memory"}'] == 13
    assert shown['sealstream_sink_settle_seconds_count{sink="memory"}'] >= 1
    await bench.consumer.rebalance([P1])
    shown = await bench.measure()
    assert lag(0) not in shown
    assert lag(1) in shown
    assert shown['sealstream_sink_rebalances_total{sink="memory"}'] == 1


async def test_lag_grows_while_the_store_is_away() -> None:
    """Nothing is committed meanwhile, and it is seen all the same: records, age, attempts, seconds and bytes held."""
    bench = Measured(flush_s=0.0)
    bench.fill(4)
    bench.sink.away_for = 10**9
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    bench.sink.away_for = 0
    await bench.loop.opened.wait()
    bench.sink.away_for = 10**9
    await until(lambda: bool(bench.loop.waits_for))
    assert (await bench.measure())[lag(0)] == 4
    bench.fill(5)
    before = await bench.measure()
    for _ in range(50):
        await asyncio.sleep(0)
    shown = await bench.measure()
    assert shown[lag(0)] == 9
    assert shown[lag(0, "oldest_seconds")] > 0
    assert shown['sealstream_sink_waiting{sink="memory"}'] == 1
    assert shown['sealstream_sink_held_bytes{sink="memory"}'] > 0
    for name in ("retries_total", "away_seconds_total"):
        assert shown[f'sealstream_sink_{name}{{sink="memory"}}'] > before[f'sealstream_sink_{name}{{sink="memory"}}']
    bench.sink.away_for = 0
    await until(lambda: len(bench.sink.stored) == 9)
    bench.loop.stop()
    await running
    assert (await bench.measure())[lag(0)] == 0


async def test_lag_that_kafka_does_not_tell_stays_as_it_was() -> None:
    """A broker that is away makes nobody look caught up."""
    bench = Measured()
    bench.fill(2)
    bench.consumer.subscribe([P0.topic], listener=None)
    assert (await bench.measure())[lag(0)] == 2
    bench.reader.away = True
    assert (await bench.measure())[lag(0)] == 2


async def test_a_commit_that_was_refused_shows_no_lag_of_ours() -> None:
    """The partitions are somebody else's by then."""
    bench = Measured()
    bench.fill(2)

    async def refuse(_offsets: object) -> None:
        from aiokafka.errors import CommitFailedError

        raise CommitFailedError

    bench.consumer.commit = refuse
    await bench.loop.run()
    assert bench.meter.lags == {}


def test_the_loop_needs_no_meter() -> None:
    """One that shows nothing is made for it."""
    broker = MemoryBroker()
    assert Loop(MemoryConsumer(broker), MemorySink(), MemoryDeadLetters())._meter.batches == 0
