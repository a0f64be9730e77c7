"""From strip to text by the cheapest way: a known line, known words, or a reading of what is not known.

Never takes a reading of words apart from their line that contradicts the letters which are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infra.ocr.words import Piece, cut_words, learn_words, match_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache
    from infra.ocr.recognizer import Recognizer

_PAD = 2
_BLANK = 0.35
_WORTH = 0.7
_COMPANY = 2


def spell(cache: LineCache, recognizer: Recognizer, key: bytes, strip: NDArray[np.uint8]) -> str:
    """The text of a strip; what had to be read is kept."""
    text = cache.find(key)
    if text is not None:
        return text
    pieces = cut_words(cache, strip)
    words = _read_unknown(cache, recognizer, strip, pieces)
    if words is None:
        read = recognizer.read(strip)
        words = match_words(pieces, read, strict=False)
        if words is None:
            words = [read]
        else:
            learn_words(cache, pieces, words, strip.shape[0])
    text = " ".join(words)
    cache.store(key, text)
    return text


def _read_unknown(
    cache: LineCache, recognizer: Recognizer, strip: NDArray[np.uint8], pieces: list[Piece]
) -> list[str] | None:
    """The words of a strip, most of which are known; None when they are not, or a reading does not fit the rest."""
    asked = _with_company([piece.text is None for piece in pieces])
    if not pieces or sum(pieces[number].end - pieces[number].start for number in asked) > _WORTH * strip.shape[1]:
        return None
    words = [piece.text or "" for piece in pieces]
    if asked:
        some = [pieces[number] for number in asked]
        read = match_words(some, recognizer.read(_joined(strip, some)))
        if read is None:
            return None
        learn_words(cache, some, read, strip.shape[0])
        for number, word in zip(asked, read, strict=True):
            words[number] = word
    return words


def _with_company(unknown: list[bool]) -> list[int]:
    """Which pieces to read: those that are not known, and when they are few, known ones beside them."""
    asked = {number for number, marked in enumerate(unknown) if marked}
    beside = sorted((abs(number - one), number) for number in range(len(unknown)) for one in asked if number != one)
    for _, number in beside:
        if len(asked) >= _COMPANY:
            break
        asked.add(number)
    return sorted(asked)


def _joined(strip: NDArray[np.uint8], pieces: list[Piece]) -> NDArray[np.uint8]:
    """The words, as one line of their own."""
    blank = np.full((strip.shape[0], max(3, round(_BLANK * strip.shape[0]))), 255, np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for piece in pieces:
        parts += [strip[:, max(0, piece.start - _PAD) : piece.end + _PAD], blank]
    return np.concatenate(parts[:-1], axis=1)
