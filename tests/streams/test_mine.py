"""The miner on an in-memory broker: what it makes, and that nothing is lost, twice or out of order."""

from __future__ import annotations

import asyncio
import itertools
from zlib import crc32

import pytest
import structlog
from aiokafka.structs import TopicPartition

from schemas.envelope import peek
from schemas.kinds import StreamKind
from schemas.records import encode_segment
from schemas.topics import MAX_RECORD_BYTES
from streams.memory import MemoryBroker
from tests.streams.recording import Recorder, frame, message, span, stranger, terminal
from tests.streams.rig import CanvasPool, Worker, caught_up, dead_letters, documents, mined, texts, until


async def test_each_kind_of_stream_becomes_documents(broker, worker):
    """A screen, a terminal, a message and a window each give a document with the agent, the person and the time."""
    Recorder("a", StreamKind.SCREEN).push(broker, [frame("invoice overdue", key_frame=True)])
    Recorder("a", StreamKind.KEYSTROKES).push(broker, [terminal("output", b"$ make test\r\n")])
    Recorder("a", StreamKind.EMAIL).push(broker, [message("Lunch", "at noon?")])
    Recorder("a", StreamKind.ACTIVITY).push(broker, [span("xterm", "notes.txt", at_us=1, for_us=2)])
    await worker.start()
    await mined(broker)
    found = {document["kind"]: document for document in documents(broker).values()}
    assert {kind: document["text"] for kind, document in found.items()} == {
        "screen": "invoice\noverdue",
        "terminal": "$ make test",
        "email": "at noon?",
        "window": "notes.txt",
    }
    assert {(d["user"], d["computer"]) for d in found.values()} == {("ada", "desk-7")}
    assert found["email"]["title"] == "Lunch"
    assert found["email"]["attachments"] == ["plan.pdf"]


async def test_an_empty_segment_ends_an_epoch_in_silence(broker, worker):
    """An agent ends an idle epoch with a final envelope of no events: what follows is mined."""
    made = {
        StreamKind.SCREEN: lambda word: frame(word, key_frame=True),
        StreamKind.KEYSTROKES: lambda word: terminal("output", f"{word}\r\n".encode()),
        StreamKind.EMAIL: lambda word: message(word, word),
        StreamKind.ACTIVITY: lambda word: span("xterm", word, at_us=1, for_us=2),
    }
    for kind, event in made.items():
        recorder = Recorder("a", kind)
        recorder.push(broker, [event("before")])
        final = recorder.epoch.seal(encode_segment(kind, []), capture_ms=recorder.time_ms, final=True)
        recorder.append(broker, final)
        recorder.end_epoch()
        recorder.push(broker, [event("after")])
    await worker.start()
    await mined(broker)
    assert not dead_letters(broker)
    assert sorted(document["text"] for document in documents(broker).values()) == ["after"] * 4 + ["before"] * 4


async def test_end_to_end_envelopes_are_left_alone(broker, worker):
    """Nothing is made of an end-to-end envelope, not even a dead letter."""
    Recorder("a", StreamKind.EMAIL, end_to_end=True, recipient=stranger()).push(broker, [message("s", "t")])
    await worker.start()
    await mined(broker)
    assert not documents(broker)
    assert not dead_letters(broker)


async def test_a_poison_record_stops_nothing(broker, worker):
    """Junk, another's envelope and one for a key that is not ours become dead letters; what follows is mined."""
    recorder = Recorder("a", StreamKind.EMAIL)
    recorder.append(broker, b"junk")
    broker.append(
        recorder.topic, recorder.record([message("1", "one")])[0], Recorder("b", StreamKind.EMAIL).key, partition=0
    )
    Recorder("a", StreamKind.EMAIL, recipient=stranger()).push(broker, [message("2", "two")])
    recorder.push(broker, [message("3", "three")])
    await worker.start()
    await mined(broker)
    assert sorted(letter["reason"] for letter in dead_letters(broker)) == ["does_not_open", "truncated", "wrong_key"]
    assert [document["text"] for document in documents(broker).values()] == ["three"]
    letter = dead_letters(broker)[0]
    assert (letter["stage"], letter["topic"]) == ("mine", "envelopes.email")


async def test_a_frame_that_kills_its_reader_is_given_up_after_three_tries(broker, worker):
    """A record that ends the OCR process again and again becomes a dead letter; other agents' documents all come."""
    bad, good = Recorder("bad", StreamKind.SCREEN), Recorder("good", StreamKind.SCREEN)
    bad.push(broker, [frame("start", key_frame=True)])
    good.push(broker, [frame("hello", key_frame=True)])
    bad.push(broker, [frame("poison")])
    good.push(broker, [frame("+world")])
    await worker.start()
    await mined(broker)
    assert [letter["reason"] for letter in dead_letters(broker)] == ["poison"]
    assert texts(broker)[str(good.agent)] == ["hello", "world"]


async def test_an_agent_goes_on_after_its_poison(broker, worker):
    """After a poison record, the agent's next key frame is mined again."""
    recorder = Recorder("bad", StreamKind.SCREEN)
    recorder.push(broker, [frame("start", key_frame=True)])
    recorder.push(broker, [frame("poison")])
    recorder.push(broker, [frame("+lost")])
    recorder.push(broker, [frame("fresh start", key_frame=True)])
    recorder.push(broker, [frame("+again")])
    await worker.start()
    await mined(broker)
    assert texts(broker)[str(recorder.agent)][-1] == "again"
    assert len(dead_letters(broker)) == 1


async def test_a_dead_letter_is_mined_when_it_is_retried_after_what_followed_it(broker, worker):
    """A defect of ours costs one record of many; mended, retrying that record brings its document, once."""
    process, mended = worker.body.processor.process, False

    async def fail_at_first(record):
        if peek(record.value).record.sequence == 1 and not mended:
            raise RuntimeError
        return await process(record)

    worker.body.processor.process = fail_at_first
    recorder = Recorder("a", StreamKind.EMAIL)
    envelopes = [recorder.record([message(text, text)])[0] for text in ("one", "two", "three")]
    for envelope in envelopes:
        recorder.append(broker, envelope)
    await worker.start()
    await mined(broker)
    assert len(dead_letters(broker)) == 1
    mended = True
    for _ in range(2):
        broker.append(recorder.topic, envelopes[1], recorder.key, headers=[("retry", b"sink-disk+mine")])
    await mined(broker)
    assert sorted(document["text"] for document in documents(broker).values()) == ["one", "three", "two"]
    assert len(dead_letters(broker)) == 1


async def test_a_retried_frame_that_cannot_stand_alone_is_a_dead_letter_again(broker, worker):
    """A change of a screen without the screen before it is not passed over in silence."""
    recorder = Recorder("a", StreamKind.SCREEN)
    recorder.push(broker, [frame("one", key_frame=True)])
    [change] = recorder.record([frame("+two")])
    recorder.append(broker, change)
    broker.append(recorder.topic, change, recorder.key, headers=[("retry", b"sink-disk+mine")])
    await worker.start()
    await mined(broker)
    assert [letter["reason"] for letter in dead_letters(broker)] == ["needs_replay"]


async def test_a_record_too_large_for_a_dead_letter_stops_nothing(broker, worker):
    """A stranger's record as large as the topic takes becomes a dead letter without its value."""
    recorder = Recorder("a", StreamKind.EMAIL)
    recorder.append(broker, bytes(MAX_RECORD_BYTES - 200))
    recorder.push(broker, [message("after", "after")])
    await worker.start()
    await mined(broker)
    assert [letter["value"] for letter in dead_letters(broker)] == [b""]
    assert [document["text"] for document in documents(broker).values()] == ["after"]


async def test_parts_of_a_segment_are_joined(broker, worker):
    """A message too large for one envelope comes out whole, under the identity of its first part."""
    recorder = Recorder("a", StreamKind.EMAIL)
    text = " ".join(str(number) for number in range(5000))
    recorder.push(broker, [message("long", text)], max_part=2000)
    await worker.start()
    await mined(broker)
    [document] = documents(broker).values()
    assert document["text"] == text
    assert document["sequence"] == 0


async def test_an_envelope_pushed_twice_is_mined_once(broker, worker):
    """What an agent pushes again after a lost acknowledgement changes nothing, even out of its turn."""
    recorder = Recorder("a", StreamKind.SCREEN)
    envelopes = [
        recorder.record([frame("one", key_frame=True)])[0],
        recorder.record([frame("+two")])[0],
        recorder.record([frame("+three")])[0],
    ]
    for envelope in (*envelopes, *envelopes[1:]):
        recorder.append(broker, envelope)
    await worker.start()
    await mined(broker)
    assert texts(broker)[str(recorder.agent)] == ["one", "two", "three"]
    assert len(broker.records("documents")) == 3


async def test_a_slow_agent_holds_back_no_other(broker, worker):
    """While one agent's frame is being read, another agent's records in the same partition are mined."""
    slow = Recorder("slow", StreamKind.SCREEN)
    slow.push(broker, [frame("slow", key_frame=True)])
    worker.pool.gate.clear()
    other = next(r for r in (Recorder(f"o{n}", StreamKind.EMAIL) for n in itertools.count()))
    for number in range(20):
        other.push(broker, [message(str(number), f"text {number}")])
    await worker.start()
    await until(lambda: len(documents(broker)) >= 20)
    worker.pool.gate.set()
    await mined(broker)
    assert len(documents(broker)) == 21


def _sessions(broker: MemoryBroker, agents: int = 6, segments: int = 12) -> list[Recorder]:
    """Screens and terminals of some agents, over two epochs each."""
    recorders = [
        Recorder(f"agent-{n}", kind) for n in range(agents) for kind in (StreamKind.SCREEN, StreamKind.KEYSTROKES)
    ]
    for number in range(segments):
        for recorder in recorders:
            if number == segments // 2:
                recorder.end_epoch()
            at_ms = recorder.time_ms
            if recorder.kind is StreamKind.SCREEN:
                first = number in {0, segments // 2}
                title = " ".join(f"w{n}" for n in range(number + 1)) if first else f"+w{number}"
                recorder.push(broker, [frame(title, key_frame=first, at_ms=at_ms)])
            else:
                recorder.push(broker, [terminal("output", b"$ comm" if number % 2 else b"and\r\n", at_ms=at_ms)])
    return recorders


async def _expected(agents: int = 6, segments: int = 12) -> dict[str, list[str]]:
    """What one worker that is never disturbed makes of the same recordings."""
    broker = MemoryBroker(partitions=2)
    _sessions(broker, agents, segments)
    worker = Worker(broker)
    await worker.start()
    await mined(broker)
    await worker.stop()
    return texts(broker)


async def test_a_killed_worker_loses_nothing():
    """Killed in mid-record again and again, the group ends with the same documents as one that never was."""
    broker = MemoryBroker(partitions=2)
    _sessions(broker)
    pool = CanvasPool()
    for killed_after in (1, 5, 9, 17, 30):
        worker = Worker(broker, pool=CanvasPool(), records=4)
        await worker.start()
        await until(lambda w=worker, n=killed_after: w.body.settled >= n or caught_up(broker))
        await worker.kill()
    last = Worker(broker, pool=pool)
    await last.start()
    await mined(broker)
    await last.stop()
    assert texts(broker) == await _expected()


async def test_a_rebalance_under_load_changes_nothing():
    """Workers that come and go while records flow leave the same documents, none lost, none different."""
    broker = MemoryBroker(partitions=2)
    _sessions(broker)
    first, second, third = Worker(broker, records=3), Worker(broker, records=3), Worker(broker, records=3)
    await first.start()
    await asyncio.sleep(0.01)
    await second.start()
    await asyncio.sleep(0.01)
    await third.start()
    await first.stop()
    await asyncio.sleep(0.01)
    await second.stop()
    await mined(broker)
    await third.stop()
    assert texts(broker) == await _expected()


async def test_an_absent_broker_is_waited_for(broker, worker):
    """While the broker takes nothing, records wait in place; when it is back, all documents come."""
    recorder = Recorder("a", StreamKind.EMAIL)
    for number in range(10):
        recorder.push(broker, [message(str(number), f"text {number}")])
    await worker.start()
    await until(lambda: bool(documents(broker)))
    broker.away = True
    for _ in range(50):
        await asyncio.sleep(0)
    broker.away = False
    await mined(broker)
    assert len(documents(broker)) == 10
    assert not dead_letters(broker)


@pytest.mark.parametrize("left", [0, 2])
async def test_a_log_that_lost_its_end_is_begun_at_the_oldest_record(broker, left):
    """A committed offset beyond the end hides nothing: what there is and what follows is mined, and it is committed."""
    recorder = Recorder("a", StreamKind.EMAIL)
    at = TopicPartition(recorder.topic, crc32(recorder.key) % broker.partitions)
    broker.committed["mine", at] = 50
    for number in range(left):
        recorder.push(broker, [message(f"kept {number}", "text")])
    worker = Worker(broker)
    with structlog.testing.capture_logs() as logs:
        await worker.start()
        await until(lambda: broker.committed["mine", at] == left)
        recorder.push(broker, [message("written since", "text")])
        await until(lambda: broker.committed["mine", at] == left + 1)
        await worker.stop()
    assert [(entry["committed"], entry["begins_at"]) for entry in logs if entry["event"] == "log_lost_its_end"] == [
        (50, 0)
    ]
    titles = {document["title"] for document in documents(broker).values()}
    assert titles == {"written since", *(f"kept {number}" for number in range(left))}
