"""Words by their pixels: what lines that were read taught about lines that are new.

Never believes a word that only one reading told: an error would spread to every line that shows the same pixels.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from infra.ocr.glyphs import INK, Glyphs, learn_glyphs, spell_glyphs
from schemas.rectangle import find_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache

_LEAST_SHARE = 0.17
_LEAST_LEAP = 1.3
_NARROWEST, _WIDEST = 0.12, 1.3


class Piece(NamedTuple):
    """A word of a strip: its columns, keys of its pixels and of its letters', and its text when it is known."""

    start: int
    end: int
    key: bytes
    glyphs: list[bytes]
    text: str | None


def cut_words(cache: LineCache, strip: NDArray[np.uint8]) -> list[Piece]:
    """The words of a strip, as its blanks part them; none when blanks of words and of letters look alike."""
    height = strip.shape[0]
    inked = find_runs((strip < INK).any(axis=0))
    least = _least_blank([after - end for (_, end), (after, _) in pairwise(inked)], height)
    if least is None:
        return []
    columns = strip.T.tobytes()
    pieces: list[Piece] = []
    for number, (start, end) in enumerate(inked):
        first = pieces.pop().start if pieces and start - inked[number - 1][1] < least else start
        pieces.append(Piece(first, end, b"", [], None))
    glyphs = Glyphs(strip)
    return [_known(cache, piece, columns, height, glyphs) for piece in pieces]


def _least_blank(blanks: list[int], height: int) -> int | None:
    """How wide a blank parts words rather than letters: where the widths leap most; None when they do not."""
    widths = sorted(set(blanks))
    leaps = [
        (wide / narrow, wide) for narrow, wide in pairwise([1, *widths]) if _LEAST_SHARE * height <= wide <= height
    ]
    if not leaps:
        return height
    leap, least = max(leaps)
    return least if leap >= _LEAST_LEAP else None


def _known(cache: LineCache, piece: Piece, columns: bytes, height: int, glyphs: Glyphs) -> Piece:
    """The piece with its text: two readings agreed on the whole, or many on each of its letters."""
    pixels = columns[piece.start * height : piece.end * height]
    key = blake2b(pixels, digest_size=16, key=b"word" + height.to_bytes(2, "big")).digest()
    told = cache.peek(key)
    letters = glyphs.keys(piece.start, piece.end)
    text = told[1:] if told and told[0] == "=" else spell_glyphs(cache, letters)
    return piece._replace(key=key, glyphs=letters, text=text)


def learn_words(cache: LineCache, pieces: list[Piece], words: list[str], height: int) -> None:
    """Take the words of a reading, when there are as many as pieces: the first time as a rumour, then as a fact."""
    if len(words) != len(pieces):
        return
    for piece, word in zip(pieces, words, strict=True):
        share = (piece.end - piece.start) / len(word) / height
        if _NARROWEST < share < _WIDEST:
            learn_glyphs(cache, piece.glyphs, word)
            if piece.text != word:
                cache.store(piece.key, ("=" if cache.peek(piece.key) == "?" + word else "?") + word)


def find_spans(pieces: list[Piece]) -> list[tuple[int, int]]:
    """Which pieces (from, to) have to be read: the unknown ones, each run with a known one at either side of it."""
    unknown = np.array([piece.text is None for piece in pieces], np.bool_)
    wide = unknown.copy()
    wide[1:] |= unknown[:-1]
    wide[:-1] |= unknown[1:]
    return find_runs(wide)
