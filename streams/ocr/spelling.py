"""From strip to text by the cheapest way: known, begun like a known one, or read.

Never gives an answer that depends on anything but pixels and what was read before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.ocr.beginning import find_beginning, store_beginnings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streams.ocr.cache import LineCache
    from streams.ocr.recognizer import Recognizer


def spell(cache: LineCache, recognizer: Recognizer, key: bytes, strip: NDArray[np.uint8]) -> str:
    """The text of a strip; what had to be read is kept."""
    text = cache.find(key)
    if text is None:
        text = _read_end(cache, recognizer, strip)
        if text is None:
            text = recognizer.read(strip)
        cache.store(key, text)
        store_beginnings(cache, strip, text)
    return text


def _read_end(cache: LineCache, recognizer: Recognizer, strip: NDArray[np.uint8]) -> str | None:
    """The text of a strip whose beginning is known; None when it is not, or the two do not fit together.

    The last known word is read again: it gives the rest its context, and proves that the seam is right.
    """
    beginning = find_beginning(cache, strip)
    if beginning is None:
        return None
    last, *rest = recognizer.read(strip[:, max(0, beginning.last_column - 3) :]).split() or [""]
    return " ".join([*beginning.words, *rest]) if last == beginning.words[-1] else None
