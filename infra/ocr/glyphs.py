"""Letters by their pixels: screens draw a letter of a font in few ways, and readings of words tell which letter it is.

Never believes a letter that readings contradict, and never guesses one whose pixels are new.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.rectangle import find_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache

INK = 140
"""Grey values below are ink; blanks between letters are often not quite white."""

_AGREEING = 2
_AGREEING_EACH = 20
"""Readings that agree for each one that does not: less, and the letter is not known (l and I of many fonts)."""

_MOST_JOINED = 3
_STEP = 85
_ROUNDINGS = (42, 0)
"""A letter has two keys, of its greys in four steps rounded in two ways: what falls on the edge of a step in the one
is well within a step in the other."""

_SLIM = 4


class Glyph(NamedTuple):
    """The keys of one letter, one for each way of rounding, and what follows it: blank columns, and how high it is."""

    keys: tuple[bytes, ...]
    blank: int
    rise: int


class Glyphs:
    """The connected letters of one strip: where they stand, and their keys."""

    def __init__(self, strip: NDArray[np.uint8]) -> None:
        inked = strip < INK
        filled = inked.any(axis=0)
        self.runs = find_runs(filled)
        if not self.runs:
            return
        height = strip.shape[0]
        self._starts = np.array([start for start, _ in self.runs], np.intp)
        self._ends = np.array([end for _, end in self.runs], np.intp)
        first = np.where(filled, inked.argmax(axis=0), height)
        last = np.where(filled, height - inked[::-1].argmax(axis=0), 0)
        self._tops = np.minimum.reduceat(first, self._starts)
        self._bottoms = np.maximum.reduceat(last, self._starts)
        self._baseline = int(np.bincount(self._bottoms).argmax())
        self._rise = self._baseline - int(np.bincount(self._tops).argmax())
        self._greys = self._rounded(strip)

    def _rounded(self, strip: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The strip turned, in few greys, each letter as dark as its darkest pixel allows."""
        ink = 255 - strip.T.astype(np.int32)
        darkest = np.maximum.reduceat(ink.max(axis=1), self._starts)
        bounds = np.append(self._starts[1:], len(ink))
        ink *= (255 * 256 // np.repeat(darkest, np.diff(bounds, prepend=0)))[:, None]
        ink >>= 8
        return [((ink + rounding) // _STEP).astype(np.uint8) for rounding in _ROUNDINGS]

    def between(self, start: int, end: int) -> list[Glyph]:
        """The letters between two columns.

        A slim letter at the beginning of a word has other keys than within one: a capital I may stand there.
        """
        first, last = np.searchsorted(self._starts, (start, end))
        return [self._glyph(number, leading=number == first) for number in range(int(first), int(last))]

    def numbers(self, start: int, ends: list[int]) -> frozenset[int]:
        """Which letters, counted from the one that starts at a column, end at the given columns."""
        first = int(np.searchsorted(self._starts, start))
        return frozenset(int(np.searchsorted(self._ends, end)) - first for end in ends)

    def _glyph(self, number: int, *, leading: bool) -> Glyph:
        top, bottom = int(self._tops[number]), int(self._bottoms[number])
        start, end = int(self._starts[number]), int(self._ends[number])
        place = b"%d,%d,%d,%d" % (bottom - top, self._baseline - bottom, self._rise, leading and end - start <= _SLIM)
        keys = tuple(
            blake2b(greys[start:end, top:bottom].tobytes(), digest_size=16, key=place, salt=b"glyph%d" % way).digest()
            for way, greys in enumerate(self._greys)
        )
        blank = int(self._starts[number + 1]) - end if number + 1 < len(self._starts) else 0
        return Glyph(keys, blank, self._rise)


def spell_glyphs(cache: LineCache, glyphs: list[Glyph]) -> list[str | None]:
    """What each letter is, None for those that are not known."""
    return [_known(cache, glyph) for glyph in glyphs]


def spell_word(cache: LineCache, glyphs: list[Glyph], letters: list[str | None], ends: Collection[int]) -> str | None:
    """The word of these letters, of which some (`ends`) may end a word within it; None when anything is not known."""
    text = ""
    for number, letter in enumerate(letters):
        if letter is None:
            return None
        text += letter
        if number in ends:
            told = cache.peek(_pair_key(glyphs[number], letter, letters[number + 1] or ""))
            blank = _believed(told) if told else None
            if blank is None:
                return None
            text += blank
    return text


def learn_word(cache: LineCache, glyphs: list[Glyph], word: str, ends: Collection[int]) -> None:
    """Take a word that was read: a letter a glyph; or what is left for one glyph, when all the others are known."""
    bare = word.replace(" ", "")
    if len(glyphs) == len(bare):
        known = spell_glyphs(cache, glyphs)
        agreed = sum(one == letter for one, letter in zip(known, bare, strict=True))
        contradicted = len(bare) - agreed - known.count(None)
        if contradicted > 1:
            return
        votes = _AGREEING if agreed >= _AGREEING and not contradicted else 1
        for glyph, letter in zip(glyphs, bare, strict=True):
            _vote(cache, glyph.keys, letter, votes)
        for number in ends:
            blank = " " if len(word[: _reach(word, number + 1)]) < len(word[: _reach(word, number + 2)]) - 1 else ""
            _vote(cache, [_pair_key(glyphs[number], bare[number], bare[number + 1])], blank)
        return
    letters = spell_glyphs(cache, glyphs)
    if ends or letters.count(None) != 1:
        return
    at = letters.index(None)
    before, after = "".join(filter(None, letters[:at])), "".join(filter(None, letters[at + 1 :]))
    middle = word[len(before) : len(word) - len(after)]
    if word.startswith(before) and word.endswith(after) and 1 < len(middle) <= _MOST_JOINED:
        _vote(cache, glyphs[at].keys, middle)


def _reach(word: str, letters: int) -> int:
    """How many characters of a word hold that many letters."""
    places = [place for place, letter in enumerate(word) if letter != " "]
    return places[letters - 1] + 1


def _pair_key(glyph: Glyph, letter: str, following: str) -> bytes:
    return f"pair {letter}{following} {glyph.blank} {glyph.rise}".encode()


def _known(cache: LineCache, glyph: Glyph) -> str | None:
    for key in glyph.keys:
        told = cache.peek(key)
        if told is not None:
            letter = _believed(told)
            if letter is not None:
                return letter
    return None


def _believed(told: str) -> str | None:
    agreed, doubted, letter = told.split(",", 2)
    return letter if int(agreed) >= max(_AGREEING, _AGREEING_EACH * int(doubted)) else None


def _vote(cache: LineCache, keys: Sequence[bytes], letter: str, votes: int = 1) -> None:
    for key in keys:
        told = cache.peek(key)
        if told is None:
            cache.store(key, f"{votes},0,{letter}")
            continue
        agreed, doubted, old = told.split(",", 2)
        if old == letter:
            cache.store(key, f"{min(int(agreed) + votes, 1000)},{doubted},{letter}")
        elif int(doubted) >= int(agreed):
            cache.store(key, f"1,{agreed},{letter}")
        else:
            cache.store(key, f"{agreed},{int(doubted) + 1},{old}")
