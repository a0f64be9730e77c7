"""Replay: reading again makes the same documents, under the same ids, and stands back for live traffic."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from schemas.envelope import peek
from schemas.errors import ConfigError
from schemas.kinds import StreamKind
from schemas.opening import Opener
from sinks.archive.layout import day_of
from streams.backoff import Backoff
from streams.body import Body, Patience
from streams.delivery import Delivery
from streams.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from streams.mine import Miner
from streams.past import KafkaPast, NoPast
from streams.replay.courtesy import LOOK_S, QUIET_LAG, Courtesy
from streams.replay.engine import Engine
from streams.replay.feed import ArchiveFeed, KafkaFeed
from streams.replay.ledger import Ledger
from streams.replay.missing import MissingDelivery
from streams.replay.reached import Mark, Reached
from streams.replay.request import Request
from streams.warmup import WarmUp
from tests.streams.recording import START_MS, Recorder, frame, server_identity
from tests.streams.rig import CanvasPool, Worker, documents, mined, no_sleep, until

SCREEN = "envelopes.screen"


@pytest.fixture
async def broker():
    """Two agents' screens of twelve seconds, in two epochs, mined once."""
    broker = MemoryBroker(partitions=2)
    recorders = [Recorder(name, StreamKind.SCREEN) for name in ("left", "right")]
    for number in range(12):
        for recorder in recorders:
            if number == 6:
                recorder.end_epoch()
            first = number % 6 == 0
            title = " ".join(f"w{n}" for n in range(number + 1)) if first else f"+w{number}"
            recorder.push(broker, [frame(title, key_frame=first, at_ms=recorder.time_ms)])
    worker = Worker(broker)
    await worker.start()
    await mined(broker)
    await worker.stop()
    return broker


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "replay")


async def no_lag() -> tuple[int, int]:
    return 0, 0


def engine(
    broker: MemoryBroker, ledger: Ledger, *, archive=None, told=lambda _: None, pool=None, comparing=None
) -> Engine:
    past = KafkaPast(lambda: MemoryConsumer(broker))
    miner = Miner(Opener([server_identity()]), pool or CanvasPool(), WarmUp(NoPast() if archive else past))
    backoff = Backoff(sleep=no_sleep)
    delivery = Delivery(MemoryProducer(broker), backoff=backoff)
    if comparing is not None:
        delivery = MissingDelivery(delivery, comparing)
    body = Body(miner, delivery, Patience(backoff=backoff))
    feed = ArchiveFeed(archive) if archive else KafkaFeed(MemoryConsumer(broker), past, range(2))
    return Engine(feed, body, ledger, Courtesy(no_lag), told=told, shown=miner)


def forget_documents(broker: MemoryBroker) -> None:
    for at in [at for at in broker.logs if at.topic == "documents"]:
        del broker.logs[at]


async def test_everything_read_again_is_the_same(broker, ledger):
    """After the documents were deleted, a replay of the topic brings back the same, none more."""
    before = documents(broker)
    forget_documents(broker)
    run = await engine(broker, ledger).run(ledger.begin(Request(SCREEN)))
    assert documents(broker) == before
    assert (run.state, run.done, run.left) == ("done", 24, 0)


async def test_a_range_in_the_middle_is_the_same(broker, ledger):
    """A range that begins and ends within an epoch makes exactly its documents, as they were."""
    before = documents(broker)
    forget_documents(broker)
    request = Request(SCREEN, since_ms=START_MS + 4000, until_ms=START_MS + 9000)
    run = await engine(broker, ledger).run(ledger.begin(request))
    assert documents(broker).items() <= before.items()
    assert len(documents(broker)) == run.done == 10


async def test_one_agent_or_some_offsets(broker, ledger):
    """Only what was asked for is processed."""
    forget_documents(broker)
    agent = Recorder("left", StreamKind.SCREEN).key.decode()
    run = await engine(broker, ledger).run(ledger.begin(Request(SCREEN, agents=frozenset({agent}))))
    assert run.done == 12
    assert {document["agent_id"] for document in documents(broker).values()} == {agent}
    number = next(at.partition for at, log in broker.logs.items() if at.topic == SCREEN and log)
    some = ledger.begin(Request(SCREEN, offsets={number: (3, 5)}))
    assert (await engine(broker, ledger).run(some)).done == 2


async def test_a_killed_run_goes_on_where_it_must(broker, ledger):
    """Ended at any record, resumed as often, a replay makes all documents and processes nearly nothing twice."""
    before = documents(broker)
    forget_documents(broker)
    run = ledger.begin(Request(SCREEN))
    pool = CanvasPool()
    while ledger.load(run.id).state != "done":
        pool.reads = 0
        resumed = ledger.load(run.id)
        task = asyncio.create_task(engine(broker, ledger, pool=pool).run(resumed))
        await until(lambda t=task, p=pool: t.done() or p.reads >= 7)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert documents(broker) == before


async def test_a_run_can_be_cancelled_and_resumed(broker, ledger):
    """Cancelling ends it between batches; resuming goes on; what is done cannot be resumed."""
    forget_documents(broker)
    run = ledger.begin(Request(SCREEN))
    ledger.cancel(run.id)
    ended = await engine(broker, ledger).run(run)
    assert ended.state == "cancelled"
    assert not documents(broker)
    done = await engine(broker, ledger).run(ledger.resume(run.id))
    assert done.state == "done"
    with pytest.raises(ConfigError, match="is done"):
        ledger.resume(run.id)
    assert [one.id for one in ledger.list()] == [run.id]


def archive_of(broker: MemoryBroker):
    """The archive's reading interface over what the broker has."""

    def read(since_ms: int):
        records = sorted(broker.records(SCREEN), key=lambda record: record.key)
        for record in records:
            seen = peek(record.value)
            capture_ms = seen.record.capture_ms
            if capture_ms >= since_ms:
                yield SimpleNamespace(
                    topic=SCREEN, key=record.key, value=record.value, headers=record.headers, capture_ms=capture_ms,
                    id=seen.id, day=day_of(seen.epoch.created_ms),
                )  # fmt: skip

    return read


async def test_from_the_archive_it_is_the_same(broker, ledger):
    """A range read from the archive, in its order of agents, makes the documents that Kafka's records made."""
    before = documents(broker)
    forget_documents(broker)
    request = Request(SCREEN, since_ms=START_MS + 5000, from_archive=True)
    run = await engine(broker, ledger, archive=archive_of(broker)).run(ledger.begin(request))
    assert documents(broker).items() <= before.items()
    assert len(documents(broker)) == run.done == 16
    assert not broker.records("dead-letters")


async def test_from_the_archive_it_can_be_resumed(broker, ledger):
    """A run that was cancelled half-way takes up each agent where it was, and does nothing twice."""
    before = documents(broker)
    forget_documents(broker)
    pool = CanvasPool()
    run = ledger.begin(Request(SCREEN, from_archive=True))
    first = engine(broker, ledger, archive=archive_of(broker), pool=pool)
    asked = asyncio.create_task(first.run(run))
    await until(lambda: pool.reads >= 5)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    came = ledger.load(run.id).done
    assert 0 < came < 24
    done = await engine(broker, ledger, archive=archive_of(broker)).run(ledger.resume(run.id))
    assert (done.state, done.done) == ("done", 24)
    assert documents(broker) == before


async def test_only_what_a_store_lacks_is_delivered(broker, ledger):
    """Of the epochs asked for: documents that are missing, or of an older version; the others are left alone."""
    before = documents(broker)
    forget_documents(broker)
    epochs = list(dict.fromkeys(peek(record.value).epoch.epoch_id.hex() for record in broker.records(SCREEN)))
    chosen = {name for name, document in before.items() if document["epoch_id"] in epochs[1:]}
    absent, older = sorted(chosen)[:2]
    stored = {name: document["version"] for name, document in before.items() if name != absent}
    stored[older] -= 1

    async def read_versions(ids):
        return {name: stored[name] for name in ids if name in stored}

    replay = engine(broker, ledger, archive=archive_of(broker), comparing=read_versions)
    run = await replay.run(ledger.begin(Request(SCREEN, from_archive=True, epochs=frozenset(epochs[1:]))))
    assert run.done == sum(peek(record.value).epoch.epoch_id.hex() in epochs[1:] for record in broker.records(SCREEN))
    assert documents(broker) == {name: before[name] for name in (absent, older)}
    assert ledger.load(run.id).request == run.request


async def test_a_clock_that_went_back_hides_no_record(ledger):
    """What is done is known by epoch and sequence: records of after the jump, of earlier times, are still to come."""
    broker = MemoryBroker(partitions=1)
    recorder = Recorder("left", StreamKind.SCREEN)
    for number in range(6):
        if number == 3:
            recorder.time_ms -= 3_600_000
            recorder.end_epoch()
        recorder.push(broker, [frame(f"w{number}", key_frame=True, at_ms=recorder.time_ms)])
    records = [peek(record.value) for record in broker.records(SCREEN)]
    run = ledger.begin(Request(SCREEN, from_archive=True))
    reached = run.reached[recorder.key.decode()] = Reached()
    for seen in records[:3]:
        mark = Mark(day_of(seen.epoch.created_ms), seen.epoch.epoch_id.hex(), seen.record.sequence)
        reached.note(mark, seen.record.capture_ms)
    run.pid = 0
    ledger.save(run)
    assert ledger.load(run.id).reached == run.reached
    done = await engine(broker, ledger, archive=archive_of(broker)).run(ledger.resume(run.id))
    assert done.done == 3
    assert {document["text"] for document in documents(broker).values()} >= {"w4", "w5"}


async def test_a_replay_stands_back_while_live_traffic_falls_behind():
    """It waits while the live lag grows, and goes on when that is worked off; a dead group is not waited for."""
    lags = iter([(0, 0), (QUIET_LAG + 10, 5), (QUIET_LAG + 50, 9), (QUIET_LAG + 20, 50), (10, 90), (9999, 90)])
    now, slept, paused = 0.0, [], []

    async def lag() -> tuple[int, int]:
        return next(lags)

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        paused.append(courtesy.paused)
        now += seconds

    courtesy = Courtesy(lag, sleep=sleep, clock=lambda: now)
    await courtesy.give_way(1)
    assert slept == []
    now += LOOK_S
    await courtesy.give_way(1)
    assert paused == [True, True, True]
    now += LOOK_S
    await courtesy.give_way(1)
    assert len(paused) == 3


async def test_a_throttled_replay_keeps_to_its_rate():
    """A hundred records at ten a second take ten seconds."""
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    courtesy = Courtesy(no_lag, records_per_s=10, sleep=sleep, clock=lambda: now)
    for _ in range(10):
        await courtesy.give_way(10)
    assert now == pytest.approx(10.0)


@pytest.mark.parametrize(
    "request_",
    [
        Request("documents"),
        Request(SCREEN, processor="gaps"),
        Request(SCREEN, processor="activity"),
        Request(SCREEN, since_ms=9, until_ms=9),
        Request(SCREEN, offsets={0: (1, 2)}, from_archive=True),
    ],
)
def test_what_cannot_be_replayed_is_refused(request_):
    """With a message that says what can."""
    with pytest.raises(ConfigError):
        request_.check()


def test_a_run_survives_its_ledger(ledger):
    """What is written is what is read."""
    run = ledger.begin(Request(SCREEN, agents=frozenset({"a"}), offsets={1: (2, -1)}))
    run.ranges, run.next = {1: (2, 9)}, {1: 4}
    ledger.save(run)
    assert ledger.load(run.id) == run
    assert ledger.load(run.id).left == 5
    with pytest.raises(ConfigError, match="no replay"):
        ledger.load("other")
