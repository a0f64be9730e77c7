"""The books of a connection: the prefix that an Ack names is exactly what is settled without a hole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import Ledger
from gateway.sequence import Continuity, Sequences


@given(st.permutations(range(12)))
def test_next_is_the_first_hole(order: list[int]) -> None:
    """In whatever order envelopes are settled, `next` is the lowest that is not."""
    ledger = Ledger()
    for index in range(12):
        ledger.open(index, 10)
    left = set(range(12))
    for index in order:
        ledger.settle(index)
        left.discard(index)
        assert ledger.next == min(left, default=12)
        assert ledger.unsettled == len(left)
    assert ledger.settled_bytes == 120


def test_what_is_abandoned_is_never_passed() -> None:
    """A failed delivery holds the prefix for ever; its bytes are let go once."""
    ledger = Ledger()
    for index in range(2):
        ledger.open(index, 10)
    assert ledger.abandon(0) == 10
    ledger.settle(1)
    assert ledger.next == 0


def test_sequences_notice_gaps_and_repeats() -> None:
    """Each epoch counts by itself, and begins where it is first seen."""
    sequences = Sequences()
    seen = [sequences.note(epoch, number) for epoch, number in [(b"a", 5), (b"b", 0), (b"a", 6), (b"a", 9), (b"a", 6)]]
    assert seen == [Continuity.NEXT, Continuity.NEXT, Continuity.NEXT, Continuity.GAP, Continuity.REPEATED]


def test_sequences_remember_a_bounded_number_of_epochs() -> None:
    """A peer that begins epoch after epoch costs nothing more."""
    sequences = Sequences()
    for number in range(1000):
        sequences.note(number.to_bytes(4, "big"), 0)
    assert len(sequences._next) == 64
