"""Warm-up: a worker that starts in the middle sees what one saw that never stopped."""

from __future__ import annotations

import pytest

from schemas.envelope import peek
from schemas.kinds import StreamKind
from streams.incoming import Partition, incoming
from streams.memory import MemoryBroker, MemoryConsumer
from streams.past import KafkaPast
from streams.strand import PAUSE_MS
from streams.warmup import WarmUp
from tests.streams.recording import Recorder, frame, terminal
from tests.streams.rig import CanvasPool, Worker, documents, mined, texts


@pytest.fixture
async def broker():
    return MemoryBroker(partitions=1)


def screen(broker: MemoryBroker, count: int, *, epochs: int = 1, name: str = "a") -> Recorder:
    recorder = Recorder(name, StreamKind.SCREEN)
    for epoch in range(epochs):
        if epoch:
            recorder.end_epoch()
        for number in range(count):
            recorder.push(
                broker, [frame(f"w{epoch} x", key_frame=True) if number == 0 else frame(f"+w{epoch}-{number}")]
            )
    return recorder


async def before(broker: MemoryBroker, offset: int, topic: str = "envelopes.screen", **options) -> list[int]:
    """Offsets that a miner is shown before the record at `offset`, when a worker begins there."""
    warm_up = WarmUp(KafkaPast(lambda: MemoryConsumer(broker)), **options)
    await warm_up.begin(Partition(topic, 0), offset)
    record = incoming(broker.records(topic)[offset])
    return [one.offset for one in await warm_up.before(record, peek(record.value))]


async def test_the_epoch_and_the_one_before_are_shown(broker):
    """Of three epochs, the last two up to the record."""
    screen(broker, 4, epochs=3)
    assert await before(broker, 10) == [4, 5, 6, 7, 8, 9]


async def test_nothing_is_shown_to_a_stream_that_begins(broker):
    """The first record of all has no past, and another agent's past is not its own."""
    screen(broker, 3, name="other")
    screen(broker, 3)
    assert await before(broker, 3) == []
    assert await before(broker, 0) == []


async def test_what_came_twice_is_shown_once(broker):
    """Envelopes pushed again after a lost acknowledgement are left out."""
    recorder = Recorder("a", StreamKind.SCREEN)
    envelopes = [recorder.record([frame("w", key_frame=not n)])[0] for n in range(3)]
    for envelope in (*envelopes, *envelopes, recorder.record([frame("+z")])[0]):
        recorder.append(broker, envelope)
    assert await before(broker, 6) == [0, 1, 2]


async def test_a_long_uplink_silence_is_read_across(broker):
    """An epoch that began an hour before, as received, is found by its own time."""
    recorder = screen(broker, 3)
    late = recorder.record([frame("+late")])[0]
    recorder.time_ms += 3_600_000
    broker.append(recorder.topic, b"junk of somebody", b"other", timestamp_ms=recorder.time_ms - 1)
    recorder.append(broker, late)
    assert await before(broker, 4) == [0, 1, 2]


async def test_memory_that_runs_out_is_made_up_for(broker):
    """Trails that were not kept are read when they are needed."""
    screen(broker, 4)
    assert await before(broker, 3, max_bytes=10) == [0, 1, 2]
    assert await before(broker, 3, agents={"a"}) == [0, 1, 2]


async def test_a_worker_that_begins_in_the_middle_makes_the_same_documents(broker):
    """Screen and terminal documents of the second half are those of a worker that read it all."""
    recorder = screen(broker, 6)
    typist = Recorder("a", StreamKind.KEYSTROKES)
    for chunk in (b"$ gi", b"t sta", b"tus\r\nclea", b"n\r\n"):
        typist.push(broker, [terminal("output", chunk)])
    first = Worker(broker)
    await first.start()
    await mined(broker)
    await first.stop()
    whole = documents(broker)
    for at in list(broker.logs):
        if at.topic == "documents":
            del broker.logs[at]
        elif at.topic.startswith("envelopes."):
            broker.committed["mine", at] = min(3, len(broker.logs[at]))
    second = Worker(broker, pool=CanvasPool())
    await second.start()
    await mined(broker)
    await second.stop()
    half = documents(broker)
    assert half
    assert half.items() <= whole.items()
    assert texts(broker)[str(recorder.agent)][-3:] == ["w0-3", "w0-4", "w0-5"]


async def read_in_two_lives(replaced_after: int) -> list[tuple[str, str]]:
    """Documents of an editor that runs over five epochs, mined by a worker that is replaced after one of them."""
    broker = MemoryBroker(partitions=1)
    typist = Recorder("a", StreamKind.KEYSTROKES)
    begin = terminal("start", b"vim notes.txt", columns=80, rows=24)
    typist.push(broker, [begin, terminal("output", b"\x1b]2;notes\x07\x1b[?1049h\x1b[Hfirst")])
    worker = Worker(broker)
    await worker.start()
    for epoch in range(4):
        typist.time_ms += 600_000
        typist.end_epoch()
        told = {**begin, "time_us": typist.time_ms * 1000, "title": "notes", "alternate": True}
        for step in range(3):
            text = b"\x1b[2J\x1b[%d;1Hepoch %d step %d" % (step + 3, epoch, step)
            shown = terminal("output", text, at_ms=typist.time_ms)
            typist.push(broker, [shown] if step else [told, shown])
        await mined(broker)
        if epoch == replaced_after:
            await worker.stop()
            worker = Worker(broker)
            await worker.start()
    await worker.stop()
    found = sorted(documents(broker).values(), key=lambda document: document["time_ms"])
    return [(document["title"], document["text"]) for document in found]


async def test_a_session_may_be_older_than_any_warm_up():
    """Its start is told again in each epoch: a worker that comes late knows the title and that an editor runs."""
    whole = await read_in_two_lives(replaced_after=9)
    assert whole[-1] == ("notes", "epoch 3 step 0\nepoch 3 step 1\nepoch 3 step 2")
    for epoch in range(3):
        assert await read_in_two_lives(replaced_after=epoch) == whole


async def test_after_a_long_pause_an_epoch_starts_afresh(broker):
    """After a quarter of an hour the whole screen is told again, whether or not the worker knows the past."""
    recorder = screen(broker, 2)
    recorder.time_ms += PAUSE_MS + 60_000
    recorder.end_epoch()
    recorder.push(broker, [frame("w0 x", key_frame=True)])
    worker = Worker(broker)
    await worker.start()
    await mined(broker)
    await worker.stop()
    assert sorted(texts(broker)[str(recorder.agent)]) == ["w0\nx", "w0\nx", "w0-1"]
