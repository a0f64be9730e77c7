"""Offsets and back-off: small parts on which no loss rests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.backoff import Backoff
from streams.offsets import OffsetTracker


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
