"""How far a replay from the archive came with one agent: by epoch and sequence, since clocks go back.

Never says done of a record that was not: what came into an earlier day of the archive since was mined live.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Mark(NamedTuple):
    """Where a record stands in its agent's part of the archive: day of its epoch, epoch, sequence."""

    day: str
    epoch: str
    sequence: int


@dataclass(slots=True)
class Reached:
    """The archive is read day by day, and within a day in the order of recording."""

    day: str = ""
    epochs: dict[str, int] = field(default_factory=dict)
    """Of that day: the last sequence of each epoch that is done."""
    capture_ms: int = 0
    """When the last record that is done was captured."""

    def has(self, mark: Mark) -> bool:
        """Whether the record at `mark` is done."""
        return mark.day < self.day or (mark.day == self.day and mark.sequence <= self.epochs.get(mark.epoch, -1))

    def note(self, mark: Mark, capture_ms: int) -> None:
        """The record at `mark` is done."""
        if mark.day != self.day:
            self.day, self.epochs = mark.day, {}
        self.epochs[mark.epoch] = max(mark.sequence, self.epochs.get(mark.epoch, -1))
        self.capture_ms = capture_ms
