"""Beginnings of lines whose text is known: a line that is typed is read only from its last known word on.

Never cuts a line but at a blank that was seen to part two words.
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
_WORTH = 0.3


class Beginning(NamedTuple):
    """The known words at the start of a strip, and the column at which the last of them begins."""

    words: list[str]
    last_column: int


def store_beginnings(cache: LineCache, strip: NDArray[np.uint8], text: str) -> None:
    """Remember the strip up to each blank between two words, where blanks and words can be told to belong together."""
    words = text.split()
    blanks = _blanks(strip)
    if len(words) < 2 or len(blanks) < len(words) - 1:
        return
    widths = sorted((end - start for start, end in blanks), reverse=True)
    least = widths[len(words) - 2]
    if widths[len(words) - 1 :] and widths[len(words) - 1] >= least:
        return
    parting = [(start, end) for start, end in blanks if end - start >= least]
    keys = _keys(strip, [start for start, _ in parting])
    column = 0
    for count, ((_, end), key) in enumerate(zip(parting, keys, strict=True), 1):
        cache.store(key, f"{column} {' '.join(words[:count])}")
        column = end


def find_beginning(cache: LineCache, strip: NDArray[np.uint8]) -> Beginning | None:
    """The longest known beginning that spares a good part of the reading."""
    ends = [start for start, _ in _blanks(strip)]
    for key in reversed(_keys(strip, ends)):
        known = cache.peek(key)
        if known is not None:
            column, *words = known.split(" ")
            return Beginning(words, int(column)) if int(column) > _WORTH * strip.shape[1] else None
    return None


def _blanks(strip: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Runs of columns without ink between columns with ink."""
    runs = find_runs(strip.min(axis=0) >= _PAPER)
    width = strip.shape[1]
    return [(start, end) for start, end in runs if start > 0 and end < width and end - start >= _LEAST_BLANK]


def _keys(strip: NDArray[np.uint8], ends: list[int]) -> list[bytes]:
    """A key for the strip up to each of these columns, which rise."""
    columns = strip.T.tobytes()
    height = strip.shape[0]
    digest = blake2b(digest_size=16, key=b"beginning" + height.to_bytes(2, "big"))
    keys = []
    start = 0
    for end in ends:
        digest.update(columns[start * height : end * height])
        keys.append(digest.digest())
        start = end
    return keys
