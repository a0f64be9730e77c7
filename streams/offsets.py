"""Which offsets of one partition are under way, and from where reading would have to begin again.

Never lets the next offset pass a record that is not settled.
"""

from __future__ import annotations


class OffsetTracker:
    """Offsets begin in order and are settled in any order."""

    def __init__(self, next_offset: int) -> None:
        self._under_way: dict[int, None] = {}
        self._end = next_offset

    def begin(self, offset: int) -> None:
        """A record was read."""
        assert offset >= self._end, "a partition is read in order"
        self._under_way[offset] = None
        self._end = offset + 1

    def settle(self, offset: int) -> None:
        """What came of the record is durable."""
        del self._under_way[offset]

    @property
    def end(self) -> int:
        """The offset after the last that was read."""
        return self._end

    @property
    def next_offset(self) -> int:
        """The offset to commit: all below it is settled."""
        return next(iter(self._under_way), self._end)

    def __len__(self) -> int:
        return len(self._under_way)
