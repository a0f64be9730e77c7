"""Activity: looks joined into spans of time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.policy import Policy
from agent.sources.activity import BREAK_US, SPAN_US, Scene, SpanTracker, see
from agent.sources.desktop import Window
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment

EDITOR, BROWSER = Scene("focus", "Editor", "notes", 7), Scene("focus", "Browser", "news", None)
LOOK_US = 500_000


class Desk:
    """A desktop with one window in front."""

    def __init__(self, front: Window | None, idle_s: float = 0.0) -> None:
        self._front, self._idle_s = front, idle_s

    def front(self) -> Window | None:
        return self._front

    def idle_s(self) -> float:
        return self._idle_s


def test_a_change_of_window_ends_a_span():
    """The span says what was in front, from when, and for how long."""
    spans = SpanTracker()
    assert spans.observe(EDITOR, 1_000_000) == []
    assert spans.observe(EDITOR, 1_500_000) == []
    (span,) = spans.observe(BROWSER, 2_000_000)
    assert span == {
        "time_us": 1_000_000, "duration_us": 1_000_000, "kind": "focus", "application": "Editor", "title": "notes",
        "path": "", "pid": 7,
    }  # fmt: skip
    assert decode_segment(StreamKind.ACTIVITY, encode_segment(StreamKind.ACTIVITY, [span])) == [span]


def test_a_long_span_is_told_in_parts():
    """At most ten seconds are lost when the agent is killed; the parts are the whole."""
    spans = SpanTracker()
    told = [span for n in range(61) for span in spans.observe(EDITOR, n * LOOK_US)]
    assert [span["duration_us"] for span in told] == [SPAN_US] * 3
    assert [span["time_us"] for span in told] == [0, SPAN_US, 2 * SPAN_US]


def test_a_machine_that_slept_was_not_in_use():
    """The time between two looks that lie far apart is in no span, nor is a clock that went back."""
    spans = SpanTracker()
    spans.observe(EDITOR, 0)
    spans.observe(EDITOR, LOOK_US)
    (span,) = spans.observe(EDITOR, LOOK_US + BREAK_US + 1)
    assert span["duration_us"] == LOOK_US
    spans.observe(EDITOR, 2 * LOOK_US + BREAK_US + 1)
    (span,) = spans.observe(EDITOR, 3)
    assert (span["time_us"], span["duration_us"]) == (LOOK_US + BREAK_US + 1, LOOK_US)


@given(st.lists(st.tuples(st.sampled_from([EDITOR, BROWSER]), st.integers(-1_000_000, 2 * BREAK_US)), max_size=60))
def test_spans_never_overlap_while_the_clock_runs(steps):
    """Whatever happens, spans that a forward clock gives follow each other, and none is longer than allowed."""
    spans, now_us, told = SpanTracker(), 10**9, []
    for scene, step in steps:
        now_us += abs(step)
        told += spans.observe(scene, now_us)
    told += spans.finish()
    for before, after in pairwise(told):
        assert before["time_us"] + before["duration_us"] <= after["time_us"]
    assert all(0 < span["duration_us"] < SPAN_US + BREAK_US for span in told)


def test_idle_is_by_the_policys_time():
    """A person who has not typed or moved for that long is idle; the window is told all the same."""
    desk = Desk(Window("Editor", "notes", 7), idle_s=30)
    assert see(desk, Policy(idle_after_s=60)).kind == "focus"
    assert see(desk, Policy(idle_after_s=30)) == Scene("idle", "Editor", "notes", 7)


def test_of_an_excluded_window_only_the_time_is_told():
    """Neither its application nor its title nor its process."""
    policy = Policy(exclude_titles=("*bank*",), exclude_applications=("vault",))
    for window in (Window("Browser", "My Bank - Browser", 7), Window("Vault", "x", 7)):
        assert see(Desk(window), policy) == Scene("focus", "excluded", "", None)


def test_an_empty_desktop_has_no_names():
    """Nothing in front is a scene as well: time passes."""
    assert see(Desk(None), Policy()) == Scene("focus", "", "", None)
