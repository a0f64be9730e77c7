"""Whether an opened text is what was asked for, word by word as the blind index has words, and where it says so.

Never trusts a token: what is found by one is compared here with the words themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from schemas.blind_index import all_words, word_spans, words_of
from schemas.errors import ConfigError

_ASKED = re.compile(r'"([^"]*)"|(\S+)')
_BEFORE, _FRAGMENT, _MOST_FRAGMENTS = 50, 140, 3


class Wanted:
    """Words, all of which must be there, and phrases in double quotes."""

    def __init__(self, text: str) -> None:
        if "*" in text:
            raise ConfigError("an index of hashes knows whole words: a search with --unlock cannot have *")
        asked = [all_words(phrase or word) for phrase, word in _ASKED.findall(text)]
        self.phrases = [words for words in asked if words]
        """Each a run of words that must stand together: a phrase, or what is several words, such as ann@example.org."""
        self.words = sorted({word for words in self.phrases for word in words_of(" ".join(words))})
        """Those that an index has."""
        if not self.words:
            raise ConfigError("say at least one word of 2 to 64 letters that is no stop word such as `the` or `and`")

    def met_by(self, texts: Iterable[str]) -> bool:
        """Whether these texts of one document have every word and phrase."""
        have = [all_words(text) for text in texts]
        return all(any(_stands_in(phrase, words) for words in have) for phrase in self.phrases)

    def mark(self, text: str, start: str, end: str) -> str:
        """`text` with `start` and `end` round the words that were asked for."""
        marked, at = [], 0
        for first, last in self._spans(text):
            marked += [text[at:first], start, text[first:last], end]
            at = last
        return "".join([*marked, text[at:]])

    def fragments(self, text: str, start: str, end: str) -> tuple[str, ...]:
        """Pieces of `text` round what was asked for, at most three."""
        pieces: list[str] = []
        until = 0
        for first, _ in self._spans(text):
            if first < until:
                continue
            if len(pieces) == _MOST_FRAGMENTS:
                break
            begin = max(until, first - _BEFORE)
            until = begin + _FRAGMENT
            pieces.append(self.mark(text[begin:until], start, end))
        return tuple(pieces)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        asked = {word for phrase in self.phrases for word in phrase}
        return [(first, last) for first, last, words in word_spans(text) if asked & set(words)]


def _stands_in(phrase: Sequence[str], words: Sequence[str]) -> bool:
    length = len(phrase)
    return any(words[at : at + length] == phrase for at in range(len(words) - length + 1) if words[at] == phrase[0])
