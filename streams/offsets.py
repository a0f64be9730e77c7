"""Which offsets of one partition are under way, and from where reading would have to begin again.

Never lets the next offset pass a record that is not settled.
"""

from __future__ import annotations


class OffsetTracker:
    """Offsets begin in order and are settled in any order."""

    def __init__(self, next_offset: int) -> None:
        self._under_way: dict[int, int] = {}
        self._end = next_offset

    def begin(self, offset: int, time_ms: int = 0) -> None:
        """A record was read, which is of that time."""
        assert offset >= self._end, "a partition is read in order"
        self._under_way[offset] = time_ms
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

    @property
    def oldest_ms(self) -> int | None:
        """Time of the first record that is not settled; none when all that were read are."""
        return next(iter(self._under_way.values()), None)

    def __len__(self) -> int:
        return len(self._under_way)
