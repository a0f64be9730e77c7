"""Words by their pixels: what lines that were read taught about lines that are new.

Never believes a word that only one reading told: an error would spread to every line that shows the same pixels.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from schemas.rectangle import find_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streams.ocr.cache import LineCache

_PAPER = 224
_LEAST_BLANK = 3
_BLANK_SHARE = 0.21
_NARROWEST, _WIDEST = 0.12, 1.3


class Piece(NamedTuple):
    """A word of a strip: its columns, its key, and its text when two readings agreed on it."""

    start: int
    end: int
    key: bytes
    text: str | None


def cut_words(cache: LineCache, strip: NDArray[np.uint8]) -> list[Piece]:
    """The words of a strip, as its blanks part them."""
    height = strip.shape[0]
    least = max(_LEAST_BLANK, round(_BLANK_SHARE * height))
    inked = find_runs(strip.min(axis=0) < _PAPER)
    columns = strip.T.tobytes()
    pieces: list[Piece] = []
    for number, (start, end) in enumerate(inked):
        first = pieces.pop().start if pieces and start - inked[number - 1][1] < least else start
        pieces.append(Piece(first, end, b"", None))
    return [_known(cache, piece, columns, height) for piece in pieces]


def _known(cache: LineCache, piece: Piece, columns: bytes, height: int) -> Piece:
    pixels = columns[piece.start * height : piece.end * height]
    key = blake2b(pixels, digest_size=16, key=b"word" + height.to_bytes(2, "big")).digest()
    told = cache.peek(key)
    return piece._replace(key=key, text=told[1:] if told and told[0] == "=" else None)


def learn_words(cache: LineCache, pieces: list[Piece], words: list[str], height: int) -> None:
    """Take the words of a reading, when there are as many as pieces: the first time as a rumour, then as a fact."""
    if len(words) != len(pieces):
        return
    for piece, word in zip(pieces, words, strict=True):
        share = (piece.end - piece.start) / len(word) / height
        if _NARROWEST < share < _WIDEST and piece.text != word:
            cache.store(piece.key, ("=" if cache.peek(piece.key) == "?" + word else "?") + word)


def find_spans(pieces: list[Piece]) -> list[tuple[int, int]]:
    """Which pieces (from, to) have to be read: the unknown ones, each run with a known one at either side of it."""
    unknown = np.array([piece.text is None for piece in pieces], np.bool_)
    wide = unknown.copy()
    wide[1:] |= unknown[:-1]
    wide[:-1] |= unknown[1:]
    return find_runs(wide)
