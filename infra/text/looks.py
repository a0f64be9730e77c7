"""What a full-screen program (an editor, a pager, a monitor) showed, look after look, as one list of lines.

Never lists a line twice because it moved, nor each stage of a line being edited, nor each tick of a counter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIGITS = re.compile(r"[0-9]+")
_WORD = re.compile(r"\w")
_EDITED_ROWS = 3


class Looks:
    """The distinct lines of a page over time, in the order in which they came."""

    def __init__(self) -> None:
        self._lines: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._before: list[str] = []
        self._next = 0
        self.characters = 0

    @property
    def text(self) -> str:
        """All lines, in the order in which they came."""
        return "\n".join(self._lines.values())

    def look(self, rows: Sequence[str], *, typed: bool) -> None:
        """Take the page as it is now; `typed` says that a key was pressed since the look before."""
        now = set(rows)
        changed = [row for row, text in enumerate(rows) if text != self._row_before(row)]
        for row in changed:
            text, before = rows[row], self._row_before(row)
            if text in self._numbers or not _WORD.search(text):
                continue
            vanished = bool(before) and before not in now
            if vanished and self._same_line(before, text, typed=typed, few=len(changed) <= _EDITED_ROWS):
                self._replace(before, text)
            else:
                self._add(text)
        self._before = list(rows)

    def _row_before(self, row: int) -> str:
        return self._before[row] if row < len(self._before) else ""

    @staticmethod
    def _same_line(before: str, text: str, *, typed: bool, few: bool) -> bool:
        """Whether `text` is the line `before`, edited by hand or ticking on by itself."""
        if not typed or few:
            if _DIGITS.sub("0", before) == _DIGITS.sub("0", text):
                return True
            shared = _shared(before, text)
            return few and shared * 2 >= min(len(before), len(text)) and shared >= len(before) - 2
        return False

    def _add(self, text: str) -> None:
        self._lines[self._next] = text
        self._numbers[text] = self._next
        self._next += 1
        self.characters += len(text)

    def _replace(self, before: str, text: str) -> None:
        number = self._numbers.pop(before, None)
        if number is None:
            self._add(text)
            return
        self._lines[number] = text
        self._numbers[text] = number
        self.characters += len(text) - len(before)


def _shared(one: str, other: str) -> int:
    """How many characters the beginnings and the ends of two lines have in common."""
    shortest = min(len(one), len(other))
    start = 0
    while start < shortest and one[start] == other[start]:
        start += 1
    end = 0
    while end < shortest - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return start + end
