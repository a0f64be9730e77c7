"""The watchdog: what stands still ends its process, what is slow, idle or waits for something does not."""

from __future__ import annotations

import asyncio

import pytest

from infra.watchdog import Holding, StallDetector, Standing, UnheldDetector, keep_held, keep_watch
from schemas.errors import LocalError

PLACE = ("envelopes.screen", 3)
OTHER = ("envelopes.screen", 4)


def look(detector: StallDetector, now: float, next_offset: int, end: int, **state: bool) -> list[tuple[str, int]]:
    standing = Standing(next_offset, end, busy=state.get("busy", False))
    return detector.look({PLACE: standing}, now, excused=state.get("excused", False))


def test_records_that_wait_while_nothing_is_done_are_a_stall():
    """After the time, whether or not more of them come: agents may have gone."""
    detector = StallDetector(60, 900)
    assert look(detector, 0, 5, 10) == []
    assert look(detector, 59, 5, 10) == []
    assert look(detector, 60, 5, 10) == [PLACE]


def test_a_slow_record_is_left_alone_and_one_that_hangs_is_not():
    """Work on the record at the next offset has its own, long time."""
    detector = StallDetector(60, 900)
    assert look(detector, 0, 5, 10, busy=True) == []
    assert look(detector, 899, 5, 99, busy=True) == []
    assert look(detector, 900, 5, 99, busy=True) == [PLACE]


def test_what_moves_is_idle_or_is_excused_does_not_stall():
    """Progress, having read all, waiting for a dependency, and work that has just ended are no stalls."""
    for steps in (
        [(0, 5, 10, {}), (60, 6, 99, {})],
        [(0, 10, 10, {}), (999, 10, 10, {}), (1000, 10, 11, {})],
        [(0, 5, 10, {}), (60, 5, 20, {"excused": True}), (90, 5, 30, {})],
        [(0, 5, 10, {"busy": True}), (800, 5, 10, {}), (859, 5, 10, {})],
    ):
        detector = StallDetector(60, 900)
        assert [look(detector, now, at, end, **state) for now, at, end, state in steps] == [[]] * len(steps)


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def test_a_stall_ends_the_process_within_two_minutes():
    """The watch raises, which crashes the process in plain sight."""

    class Stuck:
        name = "mine"
        waiting = False

        async def standings(self):
            return {PLACE: Standing(5, 6)}

    clock = Clock()
    with pytest.raises(LocalError, match=r"mine stands still at envelopes\.screen/3"):
        await keep_watch(Stuck(), sleep=clock.sleep, clock=lambda: clock.now)
    assert clock.now <= 120


def test_partitions_that_stay_without_a_holder_are_noticed():
    """Those that a rebalance leaves without one for a moment are not."""
    detector = UnheldDetector(60)
    assert detector.look(Holding({PLACE, OTHER}, {PLACE}, {PLACE}), 0) == []
    assert detector.look(Holding({PLACE, OTHER}, {PLACE, OTHER}, {PLACE}), 30) == []
    assert detector.look(Holding({PLACE, OTHER}, {OTHER}, {PLACE}), 59) == []
    assert detector.look(Holding({PLACE, OTHER}, {OTHER}, {PLACE}), 118) == []
    assert detector.look(Holding({PLACE, OTHER}, {OTHER}, {PLACE}), 119) == [PLACE]


@pytest.mark.parametrize(("held", "ours", "ends"), [([PLACE], [PLACE], True), ([PLACE], [], False), ([], [], True)])
async def test_one_member_ends_for_partitions_that_nobody_holds(held, ours, ends):
    """The one that holds the first of what is held; when nobody holds anything, each."""
    clock = Clock()
    looks = 0

    async def read():
        nonlocal looks
        looks += 1
        if looks > 30:
            raise EOFError
        return Holding({PLACE, OTHER}, held, ours)

    with pytest.raises(LocalError if ends else EOFError, match=r"group mine holds" if ends else None):
        await keep_held("mine", read, sleep=clock.sleep, clock=lambda: clock.now)
    assert (clock.now <= 120) == ends
