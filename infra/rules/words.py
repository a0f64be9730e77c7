"""Words and phrases in a text, as rules ask for them: of any letter case, and whole unless they end with a star.

Never guesses: no fuzziness, so that what a rule says is what it finds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

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


def glob_pattern(globs: Iterable[str]) -> re.Pattern[str] | None:
    """What `*` (any run) and `?` (any one character) stand for, letter case apart; `None` where there is none."""
    parts = ["".join(_GLOB.get(char, re.escape(char)) for char in _plain(glob)) for glob in globs]
    return re.compile("|".join(f"(?:{part})" for part in parts), re.DOTALL) if parts else None


_GLOB = {"*": ".*", "?": "."}


def fits(pattern: re.Pattern[str] | None, value: str) -> bool:
    """Whether the whole of `value` is of the pattern; no pattern fits all."""
    return pattern is None or pattern.fullmatch(_plain(value)) is not None
