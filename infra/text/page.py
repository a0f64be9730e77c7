"""A page of a terminal: lines of cells, a cursor, and the moves that control sequences make.

Never forgets a line in silence: what scrolls off or is wiped goes to `gone`, in the order in which it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_COLUMNS = 1000
MAX_ROWS = 500


@dataclass(slots=True, eq=False)
class Line:
    """One row of cells. `wrapped` says that it goes on with the line above; `closed` that it was told already."""

    cells: list[str] = field(default_factory=list)
    wrapped: bool = False
    closed: bool = False

    @property
    def text(self) -> str:
        """The row as text, without the blanks at its end when nothing follows."""
        return "".join(self.cells).rstrip()

    def write(self, x: int, cells: list[str]) -> None:
        """Put `cells` at column `x`; the gap before it, if any, is blank."""
        if x > len(self.cells):
            self.cells.extend(" " * (x - len(self.cells)))
        self.cells[x : x + len(cells)] = cells
        self.closed = False

    def blank(self, start: int, end: int) -> None:
        """Blank the columns from `start` to before `end`."""
        if end >= len(self.cells):
            del self.cells[start:]
        else:
            self.cells[start:end] = [" "] * (end - start)
        self.closed = False


class Page:
    """Lines, cursor and scrolling region of one screen, main or alternate."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.lines = [Line() for _ in range(rows)]
        self.x = 0
        self.y = 0
        self.top = 0
        self.bottom = rows - 1
        self.gone: list[Line] = []
        self._saved = (0, 0)

    def resize(self, columns: int, rows: int) -> None:
        """Take another size; lines that no longer fit go off at the top, as terminals do."""
        surplus = max(0, self.y - (rows - 1))
        self.gone.extend(self.lines[:surplus])
        kept = self.lines[surplus:][:rows]
        self.lines = kept + [Line() for _ in range(rows - len(kept))]
        self.columns, self.rows = columns, rows
        self.top, self.bottom = 0, rows - 1
        self.y = min(self.y - surplus, rows - 1)
        self.x = min(self.x, columns - 1)

    def move(self, x: int, y: int) -> None:
        """Put the cursor there, within the page."""
        self.x = max(0, min(x, self.columns - 1))
        self.y = max(0, min(y, self.rows - 1))

    def save(self) -> None:
        """Remember the cursor."""
        self._saved = (self.x, self.y)

    def restore(self) -> None:
        """Go back to the remembered cursor."""
        self.move(*self._saved)

    def region(self, top: int, bottom: int) -> None:
        """Scroll only rows `top` to `bottom`, counted from 0; a region that is none means the whole page."""
        whole = not 0 <= top < bottom < self.rows
        self.top, self.bottom = (0, self.rows - 1) if whole else (top, bottom)
        self.move(0, 0)

    def feed_line(self, *, wrapped: bool = False) -> None:
        """Move down a row, scrolling at the region's end."""
        if self.y == self.bottom:
            self.scroll_up(1)
        elif self.y < self.rows - 1:
            self.y += 1
        if wrapped:
            self.lines[self.y].wrapped = True

    def append_lines(self, texts: Sequence[str]) -> None:
        """Feed and write one line after the other at the end of a page that scrolls whole; each fits its columns."""
        lines = self.lines + [Line(list(text)) for text in texts]
        self.gone.extend(lines[: len(texts)])
        self.lines = lines[len(texts) :]
        self.x = len(texts[-1])

    def reverse_feed(self) -> None:
        """Move up a row, scrolling at the region's start."""
        if self.y == self.top:
            self.scroll_down(self.top, 1)
        elif self.y > 0:
            self.y -= 1

    def scroll_up(self, count: int) -> None:
        """Scroll the region up; its first lines are gone."""
        self.delete_lines(self.top, count)

    def scroll_down(self, row: int, count: int) -> None:
        """Open `count` blank rows at `row`; what is pushed over the region's end is gone."""
        count = min(count, self.bottom - row + 1)
        end = self.bottom + 1
        self.lines[row:end] = self._part_with(self.lines[end - count : end]) + self.lines[row : end - count]

    def delete_lines(self, row: int, count: int) -> None:
        """Take `count` rows out at `row`; rows below move up to the region's end."""
        if count == 1 and row <= self.bottom:
            self.gone.append(self.lines.pop(row))
            self.lines.insert(self.bottom, Line())
            return
        count = min(count, self.bottom - row + 1)
        end = self.bottom + 1
        self.lines[row:end] = self.lines[row + count : end] + self._part_with(self.lines[row : row + count])

    def _part_with(self, lines: list[Line]) -> list[Line]:
        """Let `lines` go, and as many blank ones: eight bytes ask for that, so blank ones are used again."""
        self.gone.extend(line for line in lines if line.cells)
        return [Line() if line.cells or line.wrapped or line.closed else line for line in lines]

    def open_lines(self, count: int) -> None:
        """Open blank rows at the cursor, if it is in the region; it goes to the first column."""
        if self.top <= self.y <= self.bottom:
            self.scroll_down(self.y, count)
            self.x = 0

    def close_lines(self, count: int) -> None:
        """Take rows out at the cursor, if it is in the region; it goes to the first column."""
        if self.top <= self.y <= self.bottom:
            self.delete_lines(self.y, count)
            self.x = 0

    def wipe(self, first: int, end: int) -> None:
        """Make the rows from `first` to before `end` new; what they held is gone."""
        for row in range(first, end):
            if self.lines[row].cells:
                self.gone.append(self.lines[row])
                self.lines[row] = Line()

    def erase_line(self, how: int) -> None:
        """Erase in the cursor's line: 0 from it to the end, 1 up to it, 2 all."""
        line = self.lines[self.y]
        start = 0 if how else self.x
        end = self.x + 1 if how == 1 else self.columns
        line.blank(start, end)
        if not line.cells:
            line.wrapped = False

    def erase_page(self, how: int) -> None:
        """Erase in the page: 0 from the cursor to the end, 1 up to it, 2 and 3 all."""
        if how == 0 and (self.x or self.y):
            self.erase_line(0)
            for row in range(self.y + 1, self.rows):
                self.lines[row] = Line()
        elif how == 1:
            self.erase_line(1)
            self.wipe(0, self.y)
        else:
            self.wipe(0, self.rows)

    def insert_cells(self, count: int) -> None:
        """Push what stands right of the cursor to the right."""
        line = self.lines[self.y]
        if self.x < len(line.cells):
            line.write(self.x, [" "] * min(count, self.columns) + line.cells[self.x :])
            del line.cells[self.columns :]

    def delete_cells(self, count: int) -> None:
        """Pull what stands right of the cursor to the left."""
        line = self.lines[self.y]
        del line.cells[self.x : self.x + count]
        line.closed = False
