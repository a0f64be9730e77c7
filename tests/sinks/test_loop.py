"""The consumer loop, on a broker, a sink and dead letters in memory."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from schemas.errors import UnavailableError
from sinks.loop import Limits, Loop
from sinks.memory import MemoryBroker, MemoryConsumer, MemoryDeadLetters, MemorySink
from sinks.sink import StandbyError

P0, P1 = TopicPartition("x-documents", 0), TopicPartition("x-documents", 1)


class Bench:
    """A loop with everything it needs, which stops itself when the broker has nothing more."""

    def __init__(self, **limits: float) -> None:
        self.broker = MemoryBroker()
        self.broker.logs = {P0: [], P1: []}
        self.sink = MemorySink()
        self.letters = MemoryDeadLetters()
        self.consumer = MemoryConsumer(self.broker)
        self.loop = Loop(
            self.consumer,
            self.sink,
            self.letters,
            topic_prefix="x-",
            limits=Limits(**{"retry_s": 0.001, "max_retry_s": 0.002, **limits}),
            clock=self.broker.clock,
            places=self._places,
        )
        self.store_knows: dict[tuple[str, int], int] = {}
        self.broker.on_idle = self.loop.stop

    async def _places(self) -> dict[tuple[str, int], int]:
        return self.store_knows

    def fill(self, count: int, partition: int = 0) -> None:
        for number in range(count):
            self.broker.append("x-documents", f"{partition}-{number}".encode(), partition=partition)


async def test_everything_is_stored_and_committed_to_the_end() -> None:
    """All records of all partitions are in the store, and the next offset of each is committed."""
    bench = Bench()
    bench.fill(10)
    bench.fill(3, 1)
    await bench.loop.run()
    assert len(bench.sink.stored) == 13
    assert bench.broker.committed == {P0: 10, P1: 3}
    assert bench.sink.stored["documents", 1, 2].value == b"1-2"
    assert not bench.sink.opened


async def test_nothing_polled_commits_nothing() -> None:
    """Without records nothing is written or committed."""
    bench = Bench()
    await bench.loop.run()
    assert bench.broker.committed == {}


async def test_batch_is_written_when_it_is_large_enough() -> None:
    """`flush_bytes` bounds a batch although its time has not come."""
    bench = Bench(flush_bytes=1000, poll_records=2)
    bench.fill(10)
    committed: list[int] = []
    store = bench.sink.flush

    async def flush() -> None:
        committed.append(bench.broker.committed.get(P0, 0))
        await store()

    bench.sink.flush = flush  # type: ignore[method-assign]
    await bench.loop.run()
    assert committed == [0, 6]


async def test_reject_becomes_a_dead_letter_and_the_rest_goes_on() -> None:
    """One record that the store refuses is kept with its reason; its offset is committed like the others'."""
    bench = Bench()
    bench.fill(2)
    bench.broker.append("x-documents", b"refuse")
    bench.fill(2)
    await bench.loop.run()
    assert len(bench.sink.stored) == 4
    [(stage, reject)] = bench.letters.kept
    assert (stage, reject.record.offset, reject.record.topic) == ("sink-memory", 2, "documents")
    assert bench.broker.committed[P0] == 5


async def test_store_that_is_away_is_waited_for_in_the_group() -> None:
    """While the store is away partitions are paused, polls go on, nothing is committed, and nothing is lost."""
    bench = Bench()
    bench.fill(5)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.sink.opened)
    bench.sink.away_for = 7
    await until(lambda: bench.consumer.polls_while_paused >= 3)
    assert bench.loop.waits_for
    assert bench.broker.committed == {}
    await until(lambda: bench.broker.committed.get(P0) == 5)
    bench.fill(1, 1)
    await until(lambda: bench.broker.committed.get(P1) == 1)  # so it was resumed
    assert not bench.loop.waits_for
    bench.loop.stop()
    await running
    assert len(bench.sink.stored) == 6


async def test_a_sink_stands_by_while_another_process_fills_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for nothing, which health checks would tell as a fault, holds no partition, and takes over later."""
    monkeypatch.setattr("sinks.loop.STANDBY_S", 0.001)
    bench = Bench()
    bench.fill(2)
    taken = True
    open_sink = bench.sink.open

    async def open_or_stand_by() -> None:
        if taken:
            raise StandbyError("another process writes it")
        await open_sink()

    monkeypatch.setattr(bench.sink, "open", open_or_stand_by)
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.loop.stands_by)
    assert not bench.loop.waits_for
    assert not bench.consumer.assignment()
    taken = False
    await running
    assert not bench.loop.stands_by
    assert len(bench.sink.stored) == 2


async def test_store_that_comes_back_as_an_older_copy_is_filled_again() -> None:
    """A standby that was promoted, or a backup, knows less than was committed: that is read and stored once more."""
    bench = Bench()
    bench.fill(5)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.broker.committed.get(P0) == 5)
    for offset in (3, 4):
        del bench.sink.stored["documents", 0, offset]
    bench.store_knows = {("documents", 0): 3, ("documents", 1): 0}
    bench.sink.away_for = 1
    bench.fill(1, 1)
    await until(lambda: bench.broker.committed.get(P1) == 1 and len(bench.sink.stored) == 6)
    assert bench.broker.committed[P0] == 5
    bench.loop.stop()
    await running


async def test_store_that_knows_less_than_was_committed_before_is_filled_again() -> None:
    """What was promoted while this process did not run is found when partitions are given to it."""
    bench = Bench()
    bench.fill(5)
    bench.broker.committed = {P0: 5}
    bench.store_knows = {("documents", 0): 1}
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.sink.opened)
    await bench.consumer.rebalance([P0])
    await until(lambda: len(bench.sink.stored) == 4)
    bench.loop.stop()
    await running


async def test_store_that_is_away_at_the_start_is_waited_for_before_joining() -> None:
    """The group is joined only when the store is open."""
    bench = Bench()
    bench.fill(1)
    bench.sink.away_for = 3
    await bench.loop.run()
    assert len(bench.sink.stored) == 1


async def test_stop_while_the_store_never_opens() -> None:
    """A loop that waits for its store at the start can be stopped."""
    bench = Bench(retry_s=60.0, max_retry_s=60.0)
    bench.sink.away_for = 10**6
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bool(bench.loop.waits_for))
    bench.loop.stop()
    await running
    assert not bench.loop.opened.is_set()


async def test_stop_while_the_store_is_away_commits_nothing() -> None:
    """Stopping does not wait for ever, and what is not durable is not committed."""
    bench = Bench()
    bench.fill(5)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.sink.opened)
    bench.sink.away_for = 10**6
    await until(lambda: bool(bench.loop.waits_for))
    bench.loop.stop()
    await running
    assert bench.broker.committed == {}


async def test_dead_letters_are_waited_for() -> None:
    """A reject is not forgotten because the topic of dead letters is away; then it is kept once."""
    bench = Bench()
    bench.broker.append("x-documents", b"refuse")
    bench.broker.on_idle = lambda: None
    bench.letters.away_for = 2
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.broker.committed.get(P0) == 1)
    bench.loop.stop()
    await running
    assert len(bench.letters.kept) == 1


async def test_mistake_of_ours_crashes_and_commits_nothing() -> None:
    """What is no `UnavailableError` ends the loop in plain sight; the sink is closed."""
    bench = Bench()
    bench.fill(1)

    async def write(_batch: object) -> list[object]:
        raise ZeroDivisionError

    bench.sink.write = write  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        await bench.loop.run()
    assert bench.broker.committed == {}
    assert not bench.sink.opened


async def test_rebalance_flushes_first() -> None:
    """What was polled is stored and committed before partitions go."""
    bench = Bench(flush_s=1e9)
    bench.fill(4)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bool(bench.loop._pending))
    await bench.consumer.rebalance([P1])
    assert bench.broker.committed == {P0: 4}
    assert len(bench.sink.stored) == 4
    bench.loop.stop()
    await running


async def test_rebalance_while_away_drops_what_it_cannot_store() -> None:
    """The next owner reads from the committed offset; the loop neither stores nor commits what is not its own."""
    bench = Bench()
    bench.fill(4)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bench.sink.opened)
    bench.sink.away_for = 10**6
    await until(lambda: bool(bench.loop.waits_for))
    bench.fill(2, 1)
    await bench.consumer.rebalance([P1])
    bench.sink.away_for = 0
    await until(lambda: bench.broker.committed.get(P1) == 2)
    assert P0 not in bench.broker.committed
    bench.loop.stop()
    await running


async def test_rebalance_whose_flush_fails_keeps_what_stays_ours() -> None:
    """When the store goes away at that very moment, records of partitions that stay are not lost."""
    bench = Bench(flush_s=1e9)
    bench.fill(3)
    bench.fill(2, 1)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bool(bench.loop._pending))
    bench.sink.away_for = 1
    await bench.loop.revoke([P0])
    bench.consumer._positions.pop(P0)
    bench.loop.stop()
    await running
    assert bench.broker.committed == {P1: 2}


async def test_rebalance_does_not_wait_for_a_store_that_hangs() -> None:
    """A write that takes too long is cancelled, and the partitions are given up."""
    bench = Bench(flush_s=1e9, revoke_s=0.01)
    bench.fill(1)
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bool(bench.loop._pending))
    write = bench.sink.write

    async def hang(_batch: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    bench.sink.write = hang  # type: ignore[method-assign,assignment]
    await bench.consumer.rebalance([])
    bench.sink.write = write  # type: ignore[method-assign]
    bench.loop.stop()
    await running
    assert bench.broker.committed == {}


async def test_reject_within_a_rebalance_is_kept() -> None:
    """The flush before a rebalance settles rejects too."""
    bench = Bench(flush_s=1e9)
    bench.broker.append("x-documents", b"refuse")
    bench.broker.on_idle = lambda: None
    running = asyncio.create_task(bench.loop.run())
    await until(lambda: bool(bench.loop._pending))
    await bench.consumer.rebalance([P1])
    assert len(bench.letters.kept) == 1
    bench.loop.stop()
    await running


@pytest.mark.parametrize("error", [CommitFailedError(), TimeoutError()])
async def test_commit_that_fails_is_not_the_end(error: Exception) -> None:
    """Who lost the partitions goes on with what it has; the records are stored again by their owner."""
    bench = Bench()
    bench.fill(1)

    async def commit(_offsets: object) -> None:
        raise error

    bench.consumer.commit = commit  # type: ignore[method-assign,assignment]
    await bench.loop.run()
    assert len(bench.sink.stored) == 1


async def test_lag_is_what_is_left_after_the_commit() -> None:
    """The meter knows records, bytes, rejects, and the lag of each partition."""
    bench = Bench(poll_records=3)
    bench.fill(3)
    bench.broker.append("x-documents", b"refuse")
    await bench.loop.run()
    meter = bench.loop._meter
    assert (meter.records, meter.rejects["rejected"], meter.lags["documents", 0], meter.waits) == (4, 1, 0, False)


def test_memory_sink_says_when_it_is_away() -> None:
    """The fake keeps the contract's third rule."""
    sink = MemorySink()
    sink.away_for = 1
    with pytest.raises(UnavailableError):
        asyncio.run(sink.open())


async def until(fact: object) -> None:
    """Let the loop run until `fact()` holds; bounded by turns, not by time."""
    for _ in range(20_000):
        if fact():  # type: ignore[operator]
            return
        await asyncio.sleep(0)
    pytest.fail("it never came to that")
