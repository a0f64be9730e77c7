"""Letters by their pixels: screens draw a letter of a font in few ways, and readings of words tell which letter it is.

Never believes a letter that readings contradict, and never guesses one whose pixels are new.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from schemas.rectangle import find_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache

INK = 140
"""Grey values below are ink; blanks between letters are often not quite white."""

_AGREEING = 3
_AGREEING_EACH = 20
"""Readings that agree for each one that does not: less, and the letter is not known (l and I of many fonts)."""

_MOST_JOINED = 3


class Glyphs:
    """The connected letters of one strip: where they stand, and a key for each."""

    def __init__(self, strip: NDArray[np.uint8]) -> None:
        self._strip = strip
        inked = strip < INK
        runs = find_runs(inked.any(axis=0))
        self._starts = np.array([start for start, _ in runs], np.intp)
        self._ends = np.array([end for _, end in runs], np.intp)
        if runs:
            height = strip.shape[0]
            filled = inked.any(axis=0)
            first = np.where(filled, inked.argmax(axis=0), height)
            last = np.where(filled, height - inked[::-1].argmax(axis=0), 0)
            self._tops = np.minimum.reduceat(first, self._starts)
            self._bottoms = np.maximum.reduceat(last, self._starts)
            self._baseline = int(np.bincount(self._bottoms).argmax())
            self._rise = self._baseline - int(np.bincount(self._tops).argmax())

    def keys(self, start: int, end: int) -> list[bytes]:
        """Keys of the letters between two columns.

        A letter at the beginning of a word has another key than the same letter within: capitals stand there.
        """
        first, last = np.searchsorted(self._starts, (start, end))
        return [self._key(number, leading=number == first) for number in range(int(first), int(last))]

    def _key(self, number: int, *, leading: bool) -> bytes:
        top, bottom = int(self._tops[number]), int(self._bottoms[number])
        start, end = int(self._starts[number]), int(self._ends[number])
        pixels = self._strip[top:bottom, start:end]
        place = (bottom - top, end - start, self._baseline - bottom, self._rise, leading)
        return blake2b(pixels.tobytes(), digest_size=16, key=b"glyph%d,%d,%d,%d,%d" % place).digest()


def spell_glyphs(cache: LineCache, keys: list[bytes]) -> str | None:
    """The word of these letters, or None when one of them is not known."""
    letters = [_believed(cache.peek(key)) for key in keys]
    known = [letter for letter in letters if letter is not None]
    return "".join(known) if known and len(known) == len(letters) else None


def learn_glyphs(cache: LineCache, keys: list[bytes], word: str) -> None:
    """Take a word that was read: a letter a key; or what is left for one key, when all the others are known."""
    if len(keys) == len(word):
        for key, letter in zip(keys, word, strict=True):
            _vote(cache, key, letter)
        return
    letters = [_believed(cache.peek(key)) for key in keys]
    if letters.count(None) != 1:
        return
    at = letters.index(None)
    before, after = "".join(filter(None, letters[:at])), "".join(filter(None, letters[at + 1 :]))
    middle = word[len(before) : len(word) - len(after)]
    if word.startswith(before) and word.endswith(after) and 1 < len(middle) <= _MOST_JOINED:
        _vote(cache, keys[at], middle)


def _believed(told: str | None) -> str | None:
    if told is None:
        return None
    agreed, doubted, letter = told.split(",", 2)
    enough = int(agreed) >= max(_AGREEING, _AGREEING_EACH * int(doubted))
    return letter if enough else None


def _vote(cache: LineCache, key: bytes, letter: str) -> None:
    told = cache.peek(key)
    if told is None:
        cache.store(key, f"1,0,{letter}")
        return
    agreed, doubted, old = told.split(",", 2)
    if old == letter:
        cache.store(key, f"{min(int(agreed) + 1, 1000)},{doubted},{letter}")
    elif int(doubted) >= int(agreed):
        cache.store(key, f"1,{agreed},{letter}")
    else:
        cache.store(key, f"{agreed},{int(doubted) + 1},{old}")
