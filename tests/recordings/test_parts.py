"""The parts of showing recordings that need no archive: requests, ranges, spans, what the audit is told, pieces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.errors import ApiError
from gateway.api.exports import ALPHABET, new_reference
from gateway.api.recordings import frames
from gateway.api.search.answers import decode_after, display_of, encode_after
from gateway.api.search.pieces import marked_lines, pieces_of
from gateway.recordings.activity import Span as ActivitySpan
from gateway.recordings.activity import join_spans as join_activity
from gateway.recordings.asking import Ask, Job
from gateway.recordings.places import Wish, parse_kinds
from gateway.recordings.seen import MOST_STRETCHES, REACH_MS, WINDOW_S, Look, Seen, Stretch, join_stretches, told
from gateway.recordings.timeline import MOST_BUCKETS, Period, Span, hole_of, join_spans
from gateway.unlock.pipe import FrameSplitter, Kind, encode_frame
from schemas import tiles
from schemas.errors import MalformedError, UnavailableError
from schemas.kinds import StreamKind
from sinks.archive.ranges import Stretch as FileStretch
from sinks.archive.ranges import join_ranges
from sinks.elasticsearch.facets import DAY_MS, HOUR_MS, time_ranges
from sinks.elasticsearch.facets import MOST_BUCKETS as MOST_DAYS
from sinks.elasticsearch.search import MARK_END, MARK_START

AGENT = UUID(int=7)
NOW_MS = 1_795_435_200_000
FILE, OTHER = ("envelopes/screen/2026-11-23/screen-2026-11-23-00000" + n + ".avro" for n in "12")


def test_a_request_comes_back_as_it_was_sent() -> None:
    """However many stretches of however many files."""
    near = tuple(FileStretch(name, at, at + 10) for name in (FILE, OTHER) for at in range(0, 100, 20))
    ask = Ask(Job.SEGMENTS, (b"\1" * 16,), (StreamKind.SCREEN,), 5, 9, near, near[:1], ("2026-11-23",), {FILE: 3})
    assert Ask.from_json(ask.to_json()) == ask
    assert ask.places(StreamKind.EMAIL) == []
    assert [ask.holds(at) for at in (4, 5, 8, 9)] == [False, True, True, False]


def test_what_is_near_is_read_at_once() -> None:
    """Up to so many bytes between, and so many in all; never over the end of a file."""
    one, two, far = FileStretch(FILE, 0, 10), FileStretch(FILE, 15, 20), FileStretch(FILE, 5000, 5010)
    other = FileStretch(OTHER, 10, 20)
    joined = list(join_ranges([far, two, one, one, other], hole=10, most=1000))
    assert [found.stretches for found in joined] == [(one, two), (far,), (other,)]
    assert (joined[0].start, joined[0].end, joined[0].name) == (0, 20, FILE)
    assert len(list(join_ranges([one, two], hole=10, most=15))) == 2


def test_a_long_time_is_asked_for_in_windows() -> None:
    """That cover it, without a gap and without more."""
    wish = Wish((b"\1" * 16,), (StreamKind.SCREEN,), 5, 1_500_000)
    windows = list(wish.windows())
    assert (windows[0][0], windows[-1][1]) == (5, 1_500_000)
    assert all(first[1] == second[0] for first, second in pairwise(windows))


def test_streams_that_show_nothing_are_refused() -> None:
    """And unknown ones, with the names that there are."""
    assert parse_kinds(["email", "screen", "email"]) == (StreamKind.EMAIL, StreamKind.SCREEN)
    for label in ("index", "gap", "films"):
        with pytest.raises(MalformedError, match="screen, keystrokes"):
            parse_kinds([label])


def span(from_ms: int, until_ms: int, *, sealed: bool = False, stream: str = "screen") -> Span:
    return Span(stream, AGENT, from_ms, until_ms, sealed, 1, 10)


def test_pauses_shorter_than_the_resolution_are_none() -> None:
    """A longer one, another stream, and what is end to end stay apart."""
    spans = [
        span(0, 1000),
        span(4000, 5000),
        span(10_001, 11_000),
        span(11_500, 12_000, sealed=True),
        span(0, 9, stream="email"),
    ]
    joined = list(join_spans(spans, 5000))
    assert [(one.stream, one.from_ms, one.until_ms, one.envelopes) for one in joined] == [
        ("email", 0, 9, 1),
        ("screen", 0, 5000, 2),
        ("screen", 10_001, 11_000, 1),
        ("screen", 11_500, 12_000, 1),
    ]


@pytest.mark.parametrize("hours", [1, 2, 3, 24, 24 * 32])
def test_a_timeline_is_as_fine_as_it_can_be_shown(hours: int) -> None:
    """And never longer than a bounded number of stretches."""
    period = Period(NOW_MS, NOW_MS + hours * HOUR_MS)
    assert period.resolution_ms >= 5000
    assert hours * HOUR_MS / period.bucket_ms <= MOST_BUCKETS * 2.5
    assert period.fine is (hours <= 2)


def test_a_gap_says_when_it_was() -> None:
    """Where its agent told; else it is where it was noticed."""
    row = {"stream": "screen", "agent_id": AGENT, "reason": "spool_full", "noticed_at": datetime.fromtimestamp(90, UTC)}
    hole = hole_of({**row, "detail": '{"from_us": "5000000", "until_us": "7000000", "note": "no room"}'})
    assert (hole.from_ms, hole.until_ms, hole.detail) == (5000, 7000, "no room")
    assert hole_of({**row, "detail": "{}"}).from_ms == 90_000


def test_activity_that_differs_stays_apart() -> None:
    """By application, title and idleness; a pause ends a span too."""
    one = ActivitySpan(0, 1000, "Editor", "a", idle=False, paused=False)
    spans = [one._replace(from_ms=1500, until_ms=2000), one, one._replace(from_ms=9000, until_ms=9500)]
    assert [(found.from_ms, found.until_ms) for found in join_activity(spans)] == [(0, 2000), (9000, 9500)]
    assert len(list(join_activity([one, one._replace(from_ms=1000, idle=True)]))) == 2
    assert list(join_activity([])) == []


class Trail:
    """What was written, and a clock."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, list[Stretch]]] = []
        self.now_s = 0.0
        self.away = False

    async def write(self, outcome: str, stretches: Sequence[Stretch]) -> None:
        if self.away:
            raise UnavailableError("Kafka is away")
        self.entries.append((outcome, list(stretches)))


LOOK = Look("ann@console", str(AGENT), "screen", "case 17")


async def test_who_plays_on_is_written_down_once_and_then_exactly() -> None:
    """One entry before anything is shown, one when the window is over, which says what it was."""
    trail = Trail()
    seen = Seen(lambda: trail.now_s)
    start = 10 * REACH_MS
    for second in range(0, 60, 10):
        await seen.note(LOOK, start + second * 1000, start + (second + 10) * 1000, trail.write)
    assert trail.entries == [("begun", [(start - REACH_MS, start + 10_000 + REACH_MS)])]
    trail.now_s = WINDOW_S
    await seen.tell_old()
    assert trail.entries[1:] == [("done", [(start, start + 60_000)])]
    await seen.note(LOOK, start, start + 10, trail.write)
    await seen.close()
    assert [outcome for outcome, _ in trail.entries] == ["begun", "done", "begun", "done"]


async def test_a_jump_beyond_what_an_entry_covers_gets_its_own() -> None:
    """What was shown before is told first."""
    trail = Trail()
    seen = Seen(lambda: trail.now_s)
    await seen.note(LOOK, 0, 10, trail.write)
    await seen.note(LOOK, 5 * REACH_MS, 5 * REACH_MS + 10, trail.write)
    assert [outcome for outcome, _ in trail.entries] == ["begun", "done", "begun"]
    await seen.note(LOOK._replace(purpose="case 18"), 0, 10, trail.write)
    assert len(trail.entries) == 4
    await seen.close()


async def test_nothing_is_shown_that_no_entry_covers() -> None:
    """While the audit is away; and the next request tries again."""
    trail = Trail()
    seen = Seen(lambda: trail.now_s)
    trail.away = True
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await seen.note(LOOK, 0, 10, trail.write)
    trail.away = False
    await seen.note(LOOK, 0, 10, trail.write)
    assert trail.entries[0][0] == "begun"
    trail.away = True
    await seen.close()
    assert len(trail.entries) == 1


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**5)).map(lambda pair: (pair[0], sum(pair)))))
def test_what_was_shown_is_told_whole(shown: list[Stretch]) -> None:
    """Nothing that was shown is missing, and the entry stays short."""
    joined = join_stretches(shown)
    assert len(joined) <= MOST_STRETCHES
    assert all(any(start <= since and until <= end for start, end in joined) for since, until in shown)
    if joined:
        assert told(joined)["since_ms"] == str(min(since for since, _ in shown))


def test_frames_come_out_of_any_pieces() -> None:
    """Whole, byte by byte, and several at once."""
    frames = [(Kind.ASK, b"one"), (Kind.PIECE, b""), (Kind.FINISHED, b"\0" * 300)]
    data = b"".join(encode_frame(kind, body) for kind, body in frames)
    whole, single = FrameSplitter(), FrameSplitter()
    assert [tuple(frame) for frame in whole.feed(data)] == frames
    assert [tuple(frame) for byte in data for frame in single.feed(bytes((byte,)))] == frames
    with pytest.raises(MalformedError):
        whole.feed(b"\xff\xff\xff\xff\x01")


@pytest.mark.parametrize(
    ("marked", "pieces"),
    [
        ("plain", [("plain", False)]),
        (f"an {MARK_START}invoice{MARK_END} is due", [("an ", False), ("invoice", True), (" is due", False)]),
        (f"{MARK_START}a{MARK_END}{MARK_START}b{MARK_END}", [("a", True), ("b", True)]),
        (f"{MARK_START}cut", [("cut", False)]),
        (f"odd{MARK_END}", [("odd", False)]),
        ("", []),
    ],
)
def test_marks_become_pieces(marked: str, pieces: list[tuple[str, bool]]) -> None:
    """And no mark is left in them."""
    assert [(piece.text, piece.hit) for piece in pieces_of(marked)] == pieces


def test_lines_with_marks_are_known() -> None:
    """Also those that a mark goes over."""
    text = f"one\n{MARK_START}two{MARK_END}\nthree {MARK_START}four\nfive{MARK_END} six\nseven"
    assert marked_lines(text) == [False, True, True, True, False]


def test_the_next_page_is_told_as_text() -> None:
    """Which comes back as it was; anything else is refused."""
    after = [1.5, 1_795_435_200_000, "0a", 3]
    text = encode_after(after)
    assert text is not None
    assert decode_after(text) == after
    assert (encode_after(None), decode_after("")) == (None, None)
    for wrong in ("x", "e30", "W3siYSI6MX1d", "\u00e4"):
        with pytest.raises(ApiError):
            decode_after(wrong)


def test_the_display_stands_in_the_documents_id() -> None:
    """As its last number."""
    assert display_of("2aa296a6-79de-4457-a280-18136ff0e5ba-aa13bd9ce44a476f146a7d6b7ecf3eda-0000000004-1") == 1


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "step_ms"),
    [
        (None, None, DAY_MS),
        (NOW_MS - 6 * HOUR_MS, None, HOUR_MS),
        (NOW_MS - 3 * DAY_MS, NOW_MS, HOUR_MS),
        (NOW_MS - 365 * DAY_MS, NOW_MS, 7 * DAY_MS),
        (0, NOW_MS, 365 * DAY_MS),
        (NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS, HOUR_MS),
    ],
)
def test_time_is_counted_in_few_stretches(since_ms: int | None, until_ms: int | None, step_ms: int) -> None:
    """Whole hours, days, weeks or years, that cover what was asked for."""
    ranges = time_ranges(since_ms, until_ms, NOW_MS)
    assert 0 < len(ranges) <= MOST_DAYS
    assert {end - start for start, end in ranges} == {step_ms}
    assert ranges[-1][1] > min(until_ms or NOW_MS, NOW_MS)
    if since_ms is not None:
        assert ranges[0][0] <= since_ms


def test_references_can_be_read_out() -> None:
    """Without letters that look alike, and never the same twice."""
    references = {new_reference() for _ in range(500)}
    assert len(references) == 500
    assert all(set(one.replace("X-", "", 1).replace("-", "")) <= set(ALPHABET) for one in references)
    assert not set("01IO") & set(ALPHABET)


def test_the_gateway_knows_the_limits_of_pictures_without_drawing() -> None:
    """They are those of the tiles; and nothing of the API brings what draws into the gateway's process."""
    assert (frames.MAX_DISPLAY, frames.MAX_SIDE) == (tiles.MAX_DISPLAY, tiles.MAX_SIDE)
    parts = "gateway.api.recordings, gateway.api.search, gateway.api.exports"
    program = f"import sys, {parts}; sys.exit(any(name in sys.modules for name in ('schemas.canvas', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
