"""Which parts of a screen have to be looked at again.

Never splits a line that stood there: a part that touches a known line takes it in whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.rectangle import Rectangle, find_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

CELL = 16


class Region:
    """A set of cells of a screen."""

    def __init__(self, width: int, height: int) -> None:
        self._screen = Rectangle(0, 0, width, height)
        self.cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)

    def copy(self) -> Region:
        """The same cells, which do not grow with these."""
        same = Region(self._screen.width, self._screen.height)
        same.cells = self.cells.copy()
        return same

    def add(self, area: Rectangle, margin: int = 0) -> bool:
        """Mark an area and `margin` pixels around it; tells whether any of it was new."""
        part = self._of(area, margin)
        grown = not part.all()
        part[:] = True
        return grown

    def meets(self, area: Rectangle) -> bool:
        """Whether any cell of the area is marked."""
        return bool(self._of(area, 0).any())

    def meeting(self, boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of many boxes (rows of x, y, width, height) those that `meets` tells of each."""
        sums = np.zeros((self.cells.shape[0] + 1, self.cells.shape[1] + 1), np.int64)
        np.cumsum(np.cumsum(self.cells, axis=0), axis=1, out=sums[1:, 1:])
        left, top = boxes[:, 0] // CELL, boxes[:, 1] // CELL
        right, bottom = -(-(boxes[:, 0] + boxes[:, 2]) // CELL), -(-(boxes[:, 1] + boxes[:, 3]) // CELL)
        met: NDArray[np.bool_] = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left] > 0
        return met

    def _of(self, area: Rectangle, margin: int) -> NDArray[np.bool_]:
        top, left = max(0, area.y - margin) // CELL, max(0, area.x - margin) // CELL
        return self.cells[top : -(-(area.bottom + margin) // CELL), left : -(-(area.right + margin) // CELL)]

    def rectangles(self) -> list[Rectangle]:
        """Rectangles, none overlapping, that hold all marked cells: bands of rows, and in each its columns.

        What they hold besides becomes part of the region.
        """
        found = []
        for top, bottom in find_runs(self.cells.any(axis=1)):
            for left, right in find_runs(self.cells[top:bottom].any(axis=0)):
                rows = np.flatnonzero(self.cells[top:bottom, left:right].any(axis=1))
                first, last = top + int(rows[0]), top + int(rows[-1]) + 1
                self.cells[first:last, left:right] = True
                found.append(self._pixels(left, first, right, last))
        return found

    def _pixels(self, left: int, top: int, right: int, bottom: int) -> Rectangle:
        x, y = left * CELL, top * CELL
        return Rectangle(x, y, min(right * CELL, self._screen.width) - x, min(bottom * CELL, self._screen.height) - y)

    def cuts(self, line: Rectangle, area: Rectangle) -> bool:
        """Whether a line that was found in an area may go on beyond it."""
        reach = max(CELL // 2, line.height)
        screen = self._screen
        return (
            (line.x - reach < area.x and area.x > 0)
            or (line.right + reach > area.right and area.right < screen.width)
            or (line.y - 3 < area.y and area.y > 0)
            or (line.bottom + 3 > area.bottom and area.bottom < screen.height)
        )


def region_of(areas: Iterable[Rectangle], width: int, height: int) -> Region:
    """The region of what a frame touched, with a margin in which letters may be joined to it."""
    region = Region(width, height)
    for area in areas:
        region.add(area, CELL // 2)
    return region
