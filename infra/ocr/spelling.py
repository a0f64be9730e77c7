"""From strip to text by the cheapest way: a known line, known words, or a reading of what is not known.

Never joins a reading to known words unless it tells the words at the seam again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.ocr.words import Piece, cut_words, find_spans, learn_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache
    from infra.ocr.recognizer import Recognizer

_PAD = 3
_WORTH = 0.7


def spell(cache: LineCache, recognizer: Recognizer, key: bytes, strip: NDArray[np.uint8]) -> str:
    """The text of a strip; what had to be read is kept."""
    text = cache.find(key)
    if text is not None:
        return text
    pieces = cut_words(cache, strip)
    words = _read_spans(cache, recognizer, strip, pieces)
    if words is None:
        words = recognizer.read(strip).split()
        learn_words(cache, pieces, words, strip.shape[0])
    text = " ".join(words)
    cache.store(key, text)
    return text


def _read_spans(
    cache: LineCache, recognizer: Recognizer, strip: NDArray[np.uint8], pieces: list[Piece]
) -> list[str] | None:
    """The words of a strip, most of which are known; None when they are not, or a reading does not fit the rest."""
    spans = find_spans(pieces)
    if not pieces or sum(pieces[to - 1].end - pieces[first].start for first, to in spans) > _WORTH * strip.shape[1]:
        return None
    words: list[str] = []
    done = 0
    for first, to in spans:
        words += _texts(pieces[done:first])
        start, end = max(0, pieces[first].start - _PAD), pieces[to - 1].end + _PAD
        read = recognizer.read(strip[:, start:end]).split()
        if not _fits(read, pieces[first:to]):
            return None
        learn_words(cache, pieces[first:to], read, strip.shape[0])
        words += read
        done = to
    return words + _texts(pieces[done:])


def _fits(read: list[str], pieces: list[Piece]) -> bool:
    """Whether a reading begins and ends as is known, and lost no word."""
    first, last = pieces[0].text, pieces[-1].text
    return bool(len(read) >= len(pieces) and first in {None, read[0]} and last in {None, read[-1]})


def _texts(pieces: list[Piece]) -> list[str]:
    return [piece.text for piece in pieces if piece.text is not None]
