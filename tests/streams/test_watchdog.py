"""The watchdog, offsets and back-off: small parts on which no loss and no stall rest."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import LocalError
from streams.backoff import Backoff
from streams.incoming import Partition
from streams.offsets import OffsetTracker
from streams.watchdog import StallDetector, Standing, keep_watch

PLACE = Partition("envelopes.screen", 3)


def look(detector: StallDetector, now: float, next_offset: int, end: int, *, excused: bool = False) -> list[Partition]:
    return detector.look({PLACE: Standing(next_offset, end)}, now, excused=excused)


def test_a_partition_that_stands_still_while_records_arrive_stalls():
    """Only after the time, and only when its lag grew."""
    detector = StallDetector(60)
    assert look(detector, 0, 5, 10) == []
    assert look(detector, 59, 5, 20) == []
    assert look(detector, 60, 5, 20) == [PLACE]


def test_what_moves_is_idle_or_is_excused_does_not_stall():
    """Progress, having read all, a lag that does not grow, and waiting for a dependency are no stalls."""
    for steps in (
        [(0, 5, 10, False), (60, 6, 99, False)],
        [(0, 10, 10, False), (999, 10, 10, False), (1000, 10, 11, False)],
        [(0, 5, 10, False), (999, 5, 10, False)],
        [(0, 5, 10, False), (60, 5, 20, True), (90, 5, 30, False)],
    ):
        detector = StallDetector(60)
        assert [look(detector, now, at, end, excused=excused) for now, at, end, excused in steps] == [[]] * len(steps)


async def test_a_stall_ends_the_worker():
    """The watch raises, which crashes the worker in plain sight."""

    class Stuck:
        name = "mine"
        waiting = False

        def __init__(self) -> None:
            self.end = 10

        async def standings(self):
            self.end += 1
            return {PLACE: Standing(5, self.end)}

    now = iter(range(0, 10_000, 10))

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    with pytest.raises(LocalError, match=r"mine stands still at envelopes\.screen/3"):
        await keep_watch(Stuck(), detector=StallDetector(60), sleep=sleep, clock=lambda: float(next(now)))


@given(st.permutations(range(8)), st.integers(0, 8))
def test_the_next_offset_never_passes_what_is_not_settled(order, settled):
    """Whatever the order of settling, everything below the next offset is settled, and it is as high as can be."""
    tracker = OffsetTracker(100)
    for offset in range(100, 108):
        tracker.begin(offset)
    for offset in order[:settled]:
        tracker.settle(100 + offset)
    left = [100 + offset for offset in order[settled:]]
    assert tracker.next_offset == min(left, default=108)
    assert len(tracker) == len(left)


async def test_back_off_doubles_up_to_its_limit():
    """Waits grow to the limit and are never nothing."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    backoff = Backoff(0.2, 10.0, sleep, lambda: 1.0)
    for attempt in range(1, 9):
        await backoff.wait(attempt)
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
