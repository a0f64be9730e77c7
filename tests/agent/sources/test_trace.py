"""Traces: files that come back as they were written, and agents that play them."""

from __future__ import annotations

import asyncio
import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.sources.trace import MAGIC, Trace, TraceWriter, place_in_time, read_trace, write_trace
from agent.sources.tracing import TraceSource, record_trace, simulate_agents
from schemas.canvas import Canvas
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.tiles import FrameEncoder, bgra_of
from tests.agent.sources.conftest import EVERYTHING, Told

START_US = 1_700_000_000_000_000


def output(time_us: int, data: bytes = b"x") -> dict:
    return {
        "time_us": time_us, "session": "s", "kind": "output", "data": data, "masked": False, "columns": 80, "rows": 24,
        "exit_code": None,
        "title": "",
        "alternate": False,
    }  # fmt: skip


def span(time_us: int, title: str = "t") -> dict:
    return {
        "time_us": time_us, "duration_us": 5, "kind": "focus", "application": "a", "title": title, "path": "",
        "pid": None,
    }  # fmt: skip


def gap(time_us: int, from_us: int | None) -> dict:
    return {
        "time_us": time_us, "stream": "screen", "reason": "spool_full", "epoch_id": b"", "first_sequence": None,
        "last_sequence": None, "from_us": from_us, "until_us": from_us, "lost_bytes": 1, "detail": "",
    }  # fmt: skip


MAKERS = {StreamKind.KEYSTROKES: output, StreamKind.ACTIVITY: span}


def written(events, **named) -> bytes:
    file = io.BytesIO()
    with TraceWriter(file, started_us=START_US, **named) as writer:
        for kind, event in events:
            writer.append(kind, event)
    return file.getvalue()


recordings = st.lists(st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(0, 3_000_000)), max_size=40)


@given(recordings)
@settings(deadline=None, max_examples=60)
def test_a_trace_comes_back_in_order_with_times_from_its_start(steps):
    """Any streams, mixed in any way: the same events, at their distance from the start."""
    at, events = START_US, []
    for kind, step in steps:
        at += step
        events.append((kind, MAKERS[kind](at)))
    trace = read_trace(io.BytesIO(written(events, title="mixed")))
    assert trace.complete
    assert trace.about["title"] == "mixed"
    assert [(kind, place_in_time(event, START_US)) for kind, event in trace.events()] == events
    assert trace.duration_us == at - START_US if events else trace.duration_us == 0
    for kind in trace.kinds:
        assert list(trace.events(kind)) == [pair for pair in trace.events() if pair[0] is kind]


@given(st.integers(0, 2000))
@settings(deadline=None, max_examples=60)
def test_a_cut_trace_keeps_what_came_before_the_cut(cut):
    """Wherever it is cut, what is read is a beginning of it, and it says that it is not complete."""
    events = [(StreamKind.KEYSTROKES, output(START_US + n * 700_000, b"%d" % n)) for n in range(12)]
    whole = written(events)
    cut = min(cut, len(whole) - 1)
    try:
        trace = read_trace(io.BytesIO(whole[:cut]))
    except MalformedError:
        assert cut < 90  # within the head
        return
    assert not trace.complete
    got = [place_in_time(event, START_US) for _, event in trace.events()]
    assert got == [event for _, event in events][: len(got)]


def test_a_damaged_chunk_ends_the_trace():
    """A flipped bit anywhere behind the head is found by the check."""
    whole = bytearray(written([(StreamKind.KEYSTROKES, output(START_US + n * 2_000_000)) for n in range(5)]))
    chooser = random.Random(1)
    for _ in range(50):
        at = chooser.randrange(100, len(whole))
        whole[at] ^= 1
        assert not read_trace(io.BytesIO(bytes(whole))).complete
        whole[at] ^= 1


@pytest.mark.parametrize(
    "data",
    [b"", b"SEALTRAC", MAGIC, MAGIC + b"\2", MAGIC + b"\1\xff\xff\xff\xff", MAGIC + b"\1\0\0\0\2[]", b"PK\3\4" * 9],
)
def test_other_files_are_refused(data):
    """What is not a trace of this version is an error, not an empty trace."""
    with pytest.raises(MalformedError):
        read_trace(io.BytesIO(data))


def test_times_within_gaps_are_moved_too():
    """`from_us` and `until_us` are times like any other, where they are known."""
    events = [(StreamKind.GAP, gap(START_US + 9, START_US + 2)), (StreamKind.GAP, gap(START_US + 10, None))]
    trace = read_trace(io.BytesIO(written(events)))
    assert [event["from_us"] for _, event in trace.events()] == [2, None]
    assert place_in_time(gap(9, 2), 100)["until_us"] == 102


async def test_playing_at_a_speed(told, tmp_path):
    """Two seconds at speed 20 take a tenth of a second; times are of the present, in the order of the trace."""
    events = [(StreamKind.KEYSTROKES, output(START_US + n * 500_000, b"%d" % n)) for n in range(5)]
    write_trace(tmp_path / "t.trace", events, started_us=START_US)
    source = TraceSource(Trace.load(tmp_path / "t.trace"), StreamKind.KEYSTROKES, speed=20)
    before = asyncio.get_running_loop().time()
    await source.run(told.emit, told.current_policy)
    assert 0.09 < asyncio.get_running_loop().time() - before < 2
    assert [event["data"] for event in told.events] == [b"0", b"1", b"2", b"3", b"4"]
    steps = {b["time_us"] - a["time_us"] for a, b in zip(told.events, told.events[1:], strict=False)}
    assert steps == {25_000}


async def test_many_agents_play_one_trace(tmp_path):
    """Each simulated agent tells every stream; loops follow each other."""
    events = [(StreamKind.KEYSTROKES, output(START_US)), (StreamKind.ACTIVITY, span(START_US + 100_000))]
    write_trace(tmp_path / "t.trace", events, started_us=START_US)
    tolds = [Told() for _ in range(50)]
    agents = simulate_agents(Trace.load(tmp_path / "t.trace"), 50, speed=100, loops=2, spread_s=0.05)
    async with asyncio.TaskGroup() as group:
        for told, sources in zip(tolds, agents, strict=True):
            for source in sources:
                group.create_task(source.run(told.emit, told.current_policy))
    assert {len(told.events) for told in tolds} == {4}


async def test_what_the_policy_forbids_is_not_played(told, tmp_path):
    """A simulated agent obeys its policy as a real one does."""
    write_trace(tmp_path / "t.trace", [(StreamKind.KEYSTROKES, output(START_US))], started_us=START_US)
    told.policy = type(EVERYTHING)()
    await TraceSource(Trace.load(tmp_path / "t.trace"), StreamKind.KEYSTROKES).run(told.emit, told.current_policy)
    assert told.events == []


async def test_a_frame_after_renew_is_whole_and_the_same(told, tmp_path):
    """In mid-trace a simulated agent can begin anew: the key frame shows what stood on the screen."""
    encoder, chooser, events, pictures = FrameEncoder(0), np.random.default_rng(3), [], []
    picture = np.full((200, 320, 3), 255, np.uint8)
    for number in range(6):
        picture[20 * number : 20 * number + 16, 32:96] = chooser.integers(0, 2, (16, 64, 1), np.uint8) * 255
        pictures.append(picture.copy())
        frame = encoder.encode(bgra_of(Image.fromarray(picture)), 320, 200, time_us=START_US + number * 1000)
        events.append((StreamKind.SCREEN, frame))
    write_trace(tmp_path / "t.trace", events, started_us=START_US)
    source = TraceSource(Trace.load(tmp_path / "t.trace"), StreamKind.SCREEN)

    async def emit(event):
        await told.emit(event)
        if len(told.events) == 3:
            source.renew()

    await source.run(emit, told.current_policy)
    assert [event["key_frame"] for event in told.events] == [True, False, False, True, False, False]
    canvas = Canvas()
    for event in told.events[3:]:
        canvas.draw(event)
    assert np.array_equal(canvas.pixels, pictures[-1])


async def test_a_trace_is_recorded_from_sources(told, tmp_path):
    """What real sources tell becomes a trace that plays the same."""
    write_trace(
        tmp_path / "a.trace",
        [(StreamKind.KEYSTROKES, output(START_US)), (StreamKind.ACTIVITY, span(START_US + 50_000))],
        started_us=START_US,
    )
    (sources,) = simulate_agents(Trace.load(tmp_path / "a.trace"), 1)
    await record_trace(tmp_path / "b.trace", sources, told.current_policy, title="again")
    again = Trace.load(tmp_path / "b.trace")
    assert again.complete
    assert [event["data"] for _, event in again.events(StreamKind.KEYSTROKES)] == [b"x"]
    assert [event["title"] for _, event in again.events(StreamKind.ACTIVITY)] == ["t"]
