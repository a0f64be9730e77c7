"""The sequences of one connection's epochs: notices what is missing and what came again.

Never refuses anything: a hole was lost before it came here, and an envelope twice is how nothing gets lost.
"""

from __future__ import annotations

from enum import StrEnum

MAX_EPOCHS = 64
"""Epochs remembered: an agent has one per stream, and one more for a moment when it changes."""


class Continuity(StrEnum):
    """How an envelope follows the ones before it."""

    NEXT = "next"
    GAP = "gap"
    REPEATED = "repeated"


class Sequences:
    """What comes next in each epoch that this connection pushed of."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: dict[bytes, int] = {}  # oldest epoch first

    def note(self, epoch_id: bytes, sequence: int) -> Continuity:
        """Take note of an envelope; the first of an epoch on a connection is never a gap."""
        expected = self._next.get(epoch_id)
        if expected is None:
            self._next[epoch_id] = sequence + 1
            if len(self._next) > MAX_EPOCHS:
                del self._next[next(iter(self._next))]
            return Continuity.NEXT
        if sequence < expected:
            return Continuity.REPEATED
        self._next[epoch_id] = sequence + 1
        return Continuity.NEXT if sequence == expected else Continuity.GAP
