"""The books of one connection: which envelopes are under way, and how far all are settled.

Never counts an envelope as settled because a later one is.
"""

from __future__ import annotations


class Ledger:
    """Envelopes by their number on the connection; numbers are opened in order."""

    __slots__ = ("_opened", "_sizes", "next", "oldest_s", "settled_bytes")

    def __init__(self) -> None:
        self.next = 0
        """Every lower number is settled: what an Ack says."""
        self.settled_bytes = 0
        """Bytes of all envelopes that are settled, in whatever order."""
        self.oldest_s = 0.0
        """When the oldest envelope that awaits an Ack was received, loop time; 0 when none does."""
        self._opened = 0
        self._sizes: dict[int, int] = {}

    @property
    def unsettled(self) -> int:
        """Envelopes under way."""
        return len(self._sizes)

    def open(self, index: int, size: int) -> None:
        """An envelope of `size` bytes was received."""
        self._sizes[index] = size
        self._opened = index + 1

    def settle(self, index: int) -> int:
        """It is stored or refused; its size."""
        size = self._sizes.pop(index)
        self.settled_bytes += size
        while self.next < self._opened and self.next not in self._sizes:
            self.next += 1
        return size

    def abandon(self, index: int) -> int:
        """It is neither stored nor refused: no Ack ever passes it; its size."""
        size, self._sizes[index] = self._sizes[index], 0
        return size
