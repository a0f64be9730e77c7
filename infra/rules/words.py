"""Words and phrases in a text, as rules ask for them: of any letter case, and whole unless they end with a star.

Never guesses: no fuzziness, so that what a rule says is what it finds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from schemas.errors import MalformedError

_ASKED = re.compile(r'"([^"]*)"|(\S+)')
_WORD = re.compile(r"[^\W_]+")
_BEFORE, _FRAGMENT = 50, 160

MARK_START, MARK_END = "\ufdd0", "\ufdd1"
"""Stand round the words found: code points that Unicode gives to no text."""


def words_in(text: str) -> list[str]:
    """The runs of letters and digits of `text`, in lower case."""
    return _WORD.findall(_plain(text))


def flatten(text: str) -> str:
    """`text` as its words alone, with a blank before and after each: what phrases are looked for in."""
    return f" {' '.join(words_in(text))} "


def _plain(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()


class Wanted:
    """Words, all of which must stand in one document, and phrases in double quotes; `invoic*` is any word so begun.

    Raises `MalformedError` when no word is in `text`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        asked = [(words_in(phrase or word), word.endswith("*")) for phrase, word in _ASKED.findall(text)]
        self.phrases = [(words, begun) for words, begun in asked if words]
        """Each a run of words that must stand together, and whether its last one is only a beginning."""
        if not self.phrases:
            raise MalformedError(f"there is no word in {text!r}: write letters or digits", "no_words")
        self._patterns = [f" {' '.join(words)}" + ("" if begun else " ") for words, begun in self.phrases]

    def met_by(self, flattened: Iterable[str]) -> bool:
        """Whether these texts of one document, each as `flatten` makes it, have every word and phrase."""
        have = tuple(flattened)
        return all(any(pattern in text for text in have) for pattern in self._patterns)

    def fragment(self, texts: Iterable[str]) -> str:
        """A piece of the first text that has one of the words, marked; empty where none has."""
        for text in texts:
            spans = list(self._spans(text))
            if spans:
                begin = max(0, spans[0][0] - _BEFORE)
                return _mark(text, spans, begin, begin + _FRAGMENT)
        return ""

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        whole = {word for words, begun in self.phrases for word in (words[:-1] if begun else words)}
        begun = tuple(words[-1] for words, begun in self.phrases if begun)
        for match in _WORD.finditer(text):
            for word in words_in(match[0]):
                if word in whole or (begun and word.startswith(begun)):
                    yield match.start(), match.end()
                    break


def _mark(text: str, spans: list[tuple[int, int]], begin: int, end: int) -> str:
    pieces, at = [], begin
    for first, last in spans:
        if last > end:
            break
        pieces += [text[at:first], MARK_START, text[first:last], MARK_END]
        at = last
    return "".join([*pieces, text[at:end]])


class Globs:
    """Names with `*` (any run) and `?` (any one character), letter case apart. Never goes back: no name takes long."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._globs = [[_piece(text) for text in _plain(glob).split("*")] for glob in globs]

    def fit(self, value: str) -> bool:
        """Whether the whole of `value` is as one of them says."""
        plain = _plain(value)
        return any(_fits(pieces, plain) for pieces in self._globs)


class _Piece(NamedTuple):
    pattern: re.Pattern[str]
    length: int


def _piece(text: str) -> _Piece:
    """What stands between two stars: as many characters as it says."""
    return _Piece(re.compile("".join("." if char == "?" else re.escape(char) for char in text), re.DOTALL), len(text))


def _fits(pieces: Sequence[_Piece], value: str) -> bool:
    first, *others = pieces
    if not others:
        return first.pattern.fullmatch(value) is not None
    found = first.pattern.match(value)
    for piece in others[:-1]:
        found = found and piece.pattern.search(value, found.end())
    last = others[-1]
    begin = len(value) - last.length
    return found is not None and begin >= found.end() and last.pattern.fullmatch(value, begin) is not None
