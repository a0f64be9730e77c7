"""Rectangles of a screen, and how a grid of marked cells becomes few of them.

Never yields two rectangles that overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Rectangle(NamedTuple):
    """A part of a screen, in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels within."""
        return self.width * self.height

    @property
    def right(self) -> int:
        """First column to the right of it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row below it."""
        return self.y + self.height

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The view of an image that this rectangle shows."""
        return pixels[self.y : self.bottom, self.x : self.right]

    def moved(self, right: int, down: int) -> Rectangle:
        """The same rectangle at another place."""
        return Rectangle(self.x + right, self.y + down, self.width, self.height)

    def meets(self, other: Rectangle) -> bool:
        """Whether the two share a pixel."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


def find_runs(marks: NDArray[Any] | np.bool_) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.asarray(marks, np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def cover(marks: NDArray[np.bool_]) -> Iterator[Rectangle]:
    """Rectangles, in cells, that together are exactly the marked cells of a grid.

    Runs of one row are joined with equal runs of the rows below, so that a block of any height is one rectangle.
    """
    growing: dict[tuple[int, int], int] = {}
    for row in range(len(marks) + 1):
        runs = set(find_runs(marks[row])) if row < len(marks) else set()
        for start, end in [run for run in growing if run not in runs]:
            top = growing.pop((start, end))
            yield Rectangle(start, top, end - start, row - top)
        for run in runs:
            growing.setdefault(run, row)


def scale(cells: Rectangle, side: int, within: Rectangle) -> Rectangle:
    """Cells of `side` pixels, counted from the corner of `within`, as pixels of the screen, cut at its edges."""
    x, y = within.x + cells.x * side, within.y + cells.y * side
    right, bottom = min(within.x + cells.right * side, within.right), min(within.y + cells.bottom * side, within.bottom)
    return Rectangle(x, y, right - x, bottom - y)
