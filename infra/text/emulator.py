"""A terminal: bytes of output in, the page that a person sees out. Follows ECMA-48 and what xterm adds.

Never raises for any input: sequences that it does not know are skipped whole, strings that never end are dropped.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Mapping

from infra.text.page import MAX_COLUMNS, MAX_ROWS, Line, Page

MAX_PENDING = 65_536
MAX_TITLE = 1000
"""Characters; every passage carries it."""

MAX_NUMBERS = 32
"""Parameters of a control sequence; xterm takes 30."""

_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<prefix>[<-?]?)(?P<numbers>[0-9;:]*)(?P<middle>[ -/]*)(?P<final>[@-~])"
    r"|\x1b\](?P<command>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|\x1b[PX^_k][^\x1b]*\x1b\\"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b(?P<escape>[0-OQ-WYZ`-jl-~])"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f-\x9f])"
)
_PLAIN = re.compile(r"[ -~]*(?:\r\n[ -~]*)+|[ -~]+")
"""Lines without a control sequence among them: most of what terminals show."""

_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_k][^\x1b]*\x1b?|[ -/]*)\Z")
_ALTERNATE = frozenset({47, 1047, 1049})
_GRAPHICS = str.maketrans("jklmnqtuvwx", "┘┐┌└┼─├┤┴┬│")
_STRING_STARTS = "]PX^_k"


class Emulator:
    """A terminal of a size; `title` is what programs called it, `alternate` whether a full-screen program has it."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        columns, rows = _bounded(columns, rows)
        self._main = Page(columns, rows)
        self._other: Page | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._autowrap = True
        self._insert = False
        self._graphics = False
        self._last = " "
        self.title = ""

    @property
    def alternate(self) -> bool:
        """Whether the alternate page shows."""
        return self._other is not None

    @property
    def page(self) -> Page:
        """The page that shows."""
        return self._other or self._main

    def stand(self, title: str, *, alternate: bool, switch: Callable[[], None] = lambda: None) -> None:
        """Be as the recorder says that things stand; nothing changes for who has seen it all."""
        self.title = title[:MAX_TITLE] or self.title
        self._show_alternate(alternate, switch)

    def resize(self, columns: int, rows: int) -> None:
        """Take another size, as the terminal's window did."""
        columns, rows = _bounded(columns, rows)
        for page in (self._main, self._other):
            if page is not None and (page.columns, page.rows) != (columns, rows):
                page.resize(columns, rows)

    def feed(self, data: bytes, switch: Callable[[], None] = lambda: None) -> None:
        """Show `data`; a character or sequence that is cut waits for the rest.

        `switch` is called just before main and alternate page change places: the last look at what showed.
        """
        text = self._pending + self._decoder.decode(data)
        at = 0
        while at < len(text):
            plain = None if self._graphics or self._insert else _PLAIN.match(text, at)
            if plain is not None:
                at = plain.end()
                self._print_lines(plain[0])
                continue
            token = _TOKEN.match(text, at)
            if token is None:
                if _UNFINISHED.match(text, at) and len(text) - at < MAX_PENDING:
                    break
                at = self._skip(text, at)
                continue
            at = token.end()
            self._obey(token, switch)
        self._pending = text[at:]

    @staticmethod
    def _skip(text: str, at: int) -> int:
        """Where to go on after a sequence that is none: behind a string that never ends, else behind its escape."""
        if text[at + 1 : at + 2] in _STRING_STARTS and text[at + 1 : at + 2]:
            following = text.find("\x1b", at + 1)
            return following if following > 0 else len(text)
        return at + (2 if text[at + 1 : at + 2] == "[" else 1)

    def _obey(self, token: re.Match[str], switch: Callable[[], None]) -> None:
        kind = token.lastgroup
        if kind == "text":
            self._print(token["text"])
        elif kind == "control":
            self._control(token["control"])
        elif kind == "final":
            self._sequence(token, switch)
        elif kind == "escape":
            self._escape(token["escape"])
        elif kind == "command":
            code, _, value = token["command"].partition(";")
            if code in {"0", "2"}:
                self.title = value[:MAX_TITLE]
        elif token[0] in {"\x1b(0", "\x1b(B"}:
            self._graphics = token[0] == "\x1b(0"

    def _print_lines(self, text: str) -> None:
        """As `_print` and `_control` would, for plain lines."""
        page = self.page
        first, *others = text.split("\r\n")
        if first:
            self._print(first)
        if (
            others
            and page.y == page.bottom == page.rows - 1
            and not page.top
            and len(max(others, key=len)) <= page.columns
        ):
            page.append_lines(others)
            self._last = next((line[-1] for line in reversed(others) if line), self._last)
            return
        for line in others:
            page.x = 0
            page.feed_line()
            if len(line) > page.columns:
                self._print(line)
            elif line:
                page.lines[page.y].write(0, list(line))
                page.x = len(line)
                self._last = line[-1]

    def _print(self, text: str) -> None:
        self._last = text[-1]
        if self._graphics:
            text = text.translate(_GRAPHICS)
        cells = list(text) if text.isascii() else _cells(text, self.page.lines[self.page.y], self.page.x)
        while cells:
            page = self.page
            if page.x >= page.columns:
                if self._autowrap:
                    page.x = 0
                    page.feed_line(wrapped=True)
                else:
                    page.x = page.columns - 1
            room = page.columns - page.x
            if room < len(cells) and room > 1 and cells[room] == "":
                room -= 1  # a wide character does not fit its half
            some, cells = cells[:room], cells[room:]
            if self._insert:
                page.insert_cells(len(some))
            page.lines[page.y].write(page.x, some)
            page.x += room if cells else len(some)

    def _control(self, control: str) -> None:
        page = self.page
        match control:
            case "\r":
                page.x = 0
            case "\n" | "\v" | "\f":
                page.feed_line()
            case "\b":
                page.x = max(0, min(page.x, page.columns - 1) - 1)
            case "\t":
                page.x = min((page.x // 8 + 1) * 8, page.columns - 1)
            case "\x0e":
                self._graphics = True
            case "\x0f":
                self._graphics = False

    def _escape(self, final: str) -> None:
        page = self.page
        match final:
            case "7":
                page.save()
            case "8":
                page.restore()
            case "D":
                page.feed_line()
            case "E":
                page.x = 0
                page.feed_line()
            case "M":
                page.reverse_feed()
            case "c":
                page.wipe(0, page.rows)
                page.region(0, page.rows - 1)
                self._autowrap, self._insert, self._graphics = True, False, False

    def _sequence(self, token: re.Match[str], switch: Callable[[], None]) -> None:
        numbers = [_number(n) for n in token["numbers"].split(";", MAX_NUMBERS)[:MAX_NUMBERS]]
        if token["prefix"] == "?" and token["final"] in "hl":
            for mode in numbers:
                self._set_mode(mode, token["final"] == "h", switch)
        elif not token["prefix"] and not token["middle"]:
            action = _ACTIONS.get(token["final"])
            if action is not None:
                action(self, self.page, numbers[0], numbers[1] if len(numbers) > 1 else 0)

    def _set_mode(self, mode: int, on: bool, switch: Callable[[], None]) -> None:  # noqa: FBT001 - h or l
        if mode == 7:
            self._autowrap = on
        elif mode in _ALTERNATE:
            self._show_alternate(on, switch)
        elif mode == 1048:
            (self.page.save if on else self.page.restore)()

    def _show_alternate(self, on: bool, switch: Callable[[], None]) -> None:  # noqa: FBT001 - a mode is on or off
        if on != self.alternate:
            switch()
            self._other = Page(self._main.columns, self._main.rows) if on else None

    def set_insert(self, on: bool) -> None:  # noqa: FBT001 - h or l
        """Insert or replace mode."""
        self._insert = on

    def repeat(self, count: int) -> None:
        """Show the character before this again."""
        self._print(self._last * min(count, MAX_COLUMNS))


_Action = Callable[[Emulator, Page, int, int], None]
_ACTIONS: Mapping[str, _Action] = {
    "@": lambda _, page, n, __: page.insert_cells(n or 1),
    "A": lambda _, page, n, __: page.move(page.x, page.y - (n or 1)),
    "B": lambda _, page, n, __: page.move(page.x, page.y + (n or 1)),
    "e": lambda _, page, n, __: page.move(page.x, page.y + (n or 1)),
    "C": lambda _, page, n, __: page.move(page.x + (n or 1), page.y),
    "a": lambda _, page, n, __: page.move(page.x + (n or 1), page.y),
    "D": lambda _, page, n, __: page.move(min(page.x, page.columns - 1) - (n or 1), page.y),
    "E": lambda _, page, n, __: page.move(0, page.y + (n or 1)),
    "F": lambda _, page, n, __: page.move(0, page.y - (n or 1)),
    "G": lambda _, page, n, __: page.move((n or 1) - 1, page.y),
    "`": lambda _, page, n, __: page.move((n or 1) - 1, page.y),
    "d": lambda _, page, n, __: page.move(page.x, (n or 1) - 1),
    "H": lambda _, page, row, column: page.move((column or 1) - 1, (row or 1) - 1),
    "f": lambda _, page, row, column: page.move((column or 1) - 1, (row or 1) - 1),
    "J": lambda _, page, n, __: page.erase_page(n),
    "K": lambda _, page, n, __: page.erase_line(n),
    "L": lambda _, page, n, __: page.open_lines(n or 1),
    "M": lambda _, page, n, __: page.close_lines(n or 1),
    "P": lambda _, page, n, __: page.delete_cells(n or 1),
    "S": lambda _, page, n, __: page.scroll_up(n or 1),
    "T": lambda _, page, n, __: page.scroll_down(page.top, n or 1),
    "X": lambda _, page, n, __: page.lines[page.y].blank(page.x, min(page.x + (n or 1), page.columns)),
    "b": lambda terminal, _, n, __: terminal.repeat(n or 1),
    "h": lambda terminal, _, n, __: terminal.set_insert(True) if n == 4 else None,
    "l": lambda terminal, _, n, __: terminal.set_insert(False) if n == 4 else None,
    "r": lambda _, page, top, bottom: page.region((top or 1) - 1, (bottom or page.rows) - 1),
    "s": lambda _, page, __, ___: page.save(),
    "u": lambda _, page, __, ___: page.restore(),
}
"""Final byte of a control sequence to what it does with its first two numbers (0 when left out)."""


def _number(digits: str) -> int:
    """A parameter; no screen has more than four digits of anything, and Python counts no more than 4,300."""
    return min(int(digits[:10]), 9999) if digits.isdigit() else 0


def _cells(text: str, line: Line, x: int) -> list[str]:
    """Text as cells: a wide character is followed by an empty cell, a combining one joins the cell before it."""
    cells: list[str] = []
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in {"Me", "Cf"}:
            if cells:
                base = -2 if cells[-1] == "" and len(cells) > 1 else -1
                cells[base] = unicodedata.normalize("NFC", cells[base] + character)[:16]
            elif 0 < x <= len(line.cells):
                line.cells[x - 1] = unicodedata.normalize("NFC", line.cells[x - 1] + character)[:16]
            continue
        cells.append(character)
        if unicodedata.east_asian_width(character) in {"W", "F"}:
            cells.append("")
    return cells


def _bounded(columns: int, rows: int) -> tuple[int, int]:
    columns, rows = columns or 80, rows or 24
    return max(2, min(columns, MAX_COLUMNS)), max(2, min(rows, MAX_ROWS))
