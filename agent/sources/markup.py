"""HTML as the text that a person would read in it.

Never takes more than time in proportion to its input, whatever that is: the standard library's parser takes quadratic
time for input that is made for it (CVE-2025-6069), and mail is written by anybody.
"""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]{0,15})")
_STOP = re.compile(r"[>\"']")
_SPACE = re.compile(r"\s+")
_BLANK_LINES = re.compile(r"\n{3,}")
_UNREAD = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in ("script", "style", "template", "title")}
_BREAKING = re.compile(
    "address|article|aside|blockquote|body|br|center|dd|details|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|html|li|main|menu|nav|ol|p|pre|section|summary|table|tbody|tfoot|thead|tr|ul"
)
_CELLS = frozenset(("td", "th"))


def read_html(source: str) -> str:
    """Its text, a line for each block; scripts, styles and comments left out."""
    parts: list[str] = []
    scanner = _Scanner(source)
    at = 0
    while at < len(source):
        start = source.find("<", at)
        if start < 0:
            parts.append(_read(source[at:]))
            break
        parts.append(_read(source[at:start]))
        at, mark = scanner.skip_markup(start)
        parts.append(mark)
    lines = (line.strip() for line in "".join(parts).split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


class _Scanner:
    """Finds the end of markup. What does not come again in the source is not looked for again."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._last = {mark: source.rfind(mark) for mark in (">", '"', "'", "-->")}
        self._unread_over: set[str] = set()

    def skip_markup(self, start: int) -> tuple[int, str]:
        """Where reading goes on after the `<` at `start`, and what stands for the markup in the text."""
        source = self._source
        if source.startswith("<!--", start):
            return (source.find("-->", start) + 3, "") if self._last["-->"] >= start else (len(source), "")
        following = source[start + 1 : start + 2]
        if not (following.isalpha() or following in ("/", "!", "?")):
            return start + 1, "<"
        end = self._end_of_tag(start + 1)
        tag = _TAG.match(source, start + 1)
        name = tag.group(1).lower() if tag else ""
        if name in _UNREAD and following != "/":
            return self._end_of_unread(name, end), ""
        return end, "\n" if _BREAKING.fullmatch(name) else "\t" if name in _CELLS else ""

    def _end_of_tag(self, at: int) -> int:
        """After the `>`; what stands in quotes does not end a tag, unless the quotes do not end."""
        while at <= self._last[">"]:
            stop = _STOP.search(self._source, at)
            if stop is None:
                break
            if stop.group() == ">":
                return stop.end()
            at = stop.end()
            if self._last[stop.group()] >= at:
                at = self._source.find(stop.group(), at) + 1
        return len(self._source)

    def _end_of_unread(self, name: str, at: int) -> int:
        if name in self._unread_over:
            return at
        end = _UNREAD[name].search(self._source, at)
        if end is None:
            self._unread_over.add(name)
            return at
        return end.start()


def _read(text: str) -> str:
    return _SPACE.sub(" ", html.unescape(text)) if text else ""
