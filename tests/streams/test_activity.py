"""Activity spans and gaps: what segments add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind
from schemas.lifecycle import fold_all
from schemas.opening import Opener
from schemas.records import decode_record, encode_segment
from streams.activity import HOUR_US, MAX_HOURS, ActivityProcessor, activity_spans
from streams.gaps import GapProcessor
from streams.segment import Segment
from tests.streams.recording import START_MS, Recorder, server_identity, span, stranger

HOUR = 1_790_000_000_000_000 // HOUR_US * HOUR_US


def spans(*events: dict) -> list[tuple]:
    segment = Segment(EnvelopeId(bytes(16), bytes(32), 7), StreamKind.ACTIVITY, events, "ada", "desk")
    return [
        (s["application"], s["hour_ms"] * 1000 - HOUR, s["active_ms"], s["idle_ms"], s["switches"])
        for s in activity_spans(segment)
    ]


def test_spans_add_up_by_application_and_hour():
    """Focus is active time, idle is idle time, and each focus is one switch."""
    assert spans(
        span("xterm", "a", at_us=HOUR, for_us=2_000_000),
        span("editor", "b", at_us=HOUR + 2_000_000, for_us=3_000_000),
        span("xterm", "c", at_us=HOUR + 5_000_000, for_us=4_000_000),
        span("xterm", "c", at_us=HOUR + 9_000_000, for_us=60_000_000, kind="idle"),
    ) == [("editor", 0, 3000, 0, 1), ("xterm", 0, 6000, 60_000, 2)]


def test_a_span_over_the_hours_end_is_split():
    """Each hour gets its share; the switch counts where the span began."""
    assert spans(span("x", "", at_us=HOUR + HOUR_US - 1_000_000, for_us=HOUR_US + 3_000_000)) == [
        ("x", 0, 1000, 0, 1),
        ("x", HOUR_US, 3_600_000, 0, 0),
        ("x", 2 * HOUR_US, 2000, 0, 0),
    ]


def test_runs_say_when_somebody_was_active():
    """Spans that touch are one run; idle time ends it, and so does the hour."""
    events = [
        span("x", "a", at_us=HOUR, for_us=2_000_000),
        span("x", "b", at_us=HOUR + 2_000_000, for_us=1_000_000),
        span("x", "b", at_us=HOUR + 3_000_000, for_us=5_000_000, kind="idle"),
        span("x", "b", at_us=HOUR + 8_000_000, for_us=1_000_000),
        span("x", "c", at_us=HOUR + HOUR_US - 1_000_000, for_us=3_000_000),
    ]
    segment = Segment(EnvelopeId(bytes(16), bytes(32), 7), StreamKind.ACTIVITY, events, "ada", "desk")
    runs = [
        [(run["from_ms"] - HOUR // 1000, run["until_ms"] - HOUR // 1000) for run in one["active"]]
        for one in activity_spans(segment)
    ]
    assert runs == [[(0, 3000), (8000, 9000), (3_599_000, 3_600_000)], [(3_600_000, 3_602_000)]]


def test_pauses_and_files_are_no_activity():
    """Neither a pause nor an opened file adds time."""
    assert (
        spans(span("x", "", at_us=HOUR, for_us=9, kind="paused"), span("x", "", at_us=HOUR, for_us=9, kind="file"))
        == []
    )


@given(st.integers(HOUR, HOUR + HOUR_US), st.integers(-10, MAX_HOURS * HOUR_US * 2))
def test_no_time_is_lost_in_splitting(at_us, for_us):
    """Shares add up to the span's length, up to the longest that a span can be."""
    total = sum(row[2] for row in spans(span("x", "", at_us=at_us, for_us=for_us)))
    expected = min(max(for_us, 0), MAX_HOURS * HOUR_US) / 1000
    assert expected - MAX_HOURS - 1 <= total <= expected


async def test_the_processor_gives_spans_with_the_segments_identity():
    """A span's key is the segment's, so that mining it twice changes nothing."""
    recorder = Recorder("a", StreamKind.ACTIVITY)
    [envelope] = recorder.record([span("xterm", "t", at_us=START_MS * 1000, for_us=5_000_000)])
    processor = ActivityProcessor(Opener([server_identity()]))
    first, again = [await processor.process(recorder.incoming(envelope)) for _ in range(2)]
    assert first == again
    made = decode_record(first[0].value, "activity_span")
    assert (made["sequence"], made["ordinal"], made["user"], made["active_ms"]) == (0, 0, "ada", 5000)


async def test_end_to_end_activity_is_left_alone_and_a_wrong_topic_is_refused():
    """Nothing is made of what only the agent's side can open; an envelope of another stream is malformed."""
    processor = ActivityProcessor(Opener([server_identity()]))
    sealed = Recorder("a", StreamKind.ACTIVITY, end_to_end=True, recipient=stranger())
    assert await processor.process(sealed.incoming(sealed.record([span("x", "", at_us=1, for_us=1)])[0])) == []
    other = Recorder("a", StreamKind.GAP)
    record = other.incoming(other.record([gap()])[0])
    with pytest.raises(MalformedError, match=r"in envelopes\.activity"):
        await processor.process(type(record)("envelopes.activity", 0, 0, record.key, record.value, 0))


def gap() -> dict:
    return {
        "time_us": START_MS * 1000, "stream": "screen", "reason": "spool_full", "epoch_id": b"\1" * 32,
        "first_sequence": 3, "last_sequence": 9, "from_us": None, "until_us": None, "lost_bytes": 0, "detail": "",
    }  # fmt: skip


async def test_an_empty_segment_adds_nothing():
    """What an agent ends an idle epoch with is taken in silence: no span, no gap, no error."""
    for processor, kind in (
        (ActivityProcessor(Opener([server_identity()])), StreamKind.ACTIVITY),
        (GapProcessor(Opener([server_identity()]), "node-1/streams-1"), StreamKind.GAP),
    ):
        recorder = Recorder("a", kind)
        envelope = recorder.epoch.seal(encode_segment(kind, []), capture_ms=recorder.time_ms, final=True)
        assert await processor.process(recorder.incoming(envelope)) == []


async def test_a_gap_is_told_once_however_often_its_envelope_comes():
    """The event says whose stream, why, and which envelopes; a repeated envelope tells nothing new."""
    recorder = Recorder("a", StreamKind.GAP)
    record = recorder.incoming(recorder.record([gap()])[0])
    processor = GapProcessor(Opener([server_identity()]), "node-1/streams-1")
    [told] = await processor.process(record)
    event = decode_record(told.value, "lifecycle_event")
    assert (event["subject"], event["event"], event["id"]) == ("agent", "gap", str(recorder.agent))
    assert event["detail"]["reason"] == "spool_full"
    assert (event["detail"]["first"], event["detail"]["last"]) == ("3", "9")
    assert await processor.process(record) == []
    await processor.forget(record)
    [again] = await GapProcessor(Opener([server_identity()]), "node-2/streams-1").process(record)
    both = [event, decode_record(again.value, "lifecycle_event")]
    assert fold_all(both).agents[str(recorder.agent)].gaps == 1
    assert len(await processor.process(record)) == 1
