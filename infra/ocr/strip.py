"""A line of text as pictures of it are compared and read: dark on white, whatever its colours were.

Never depends on where the line stood or on what surrounds it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from schemas.rectangle import Rectangle, find_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PAD_X, _PAD_Y = 3, 2
_LEAST_CONTRAST = 24
_NARROW = 4
_INKED, _FULL = 96, 0.9
_WEIGHTS = np.array([2, 5, 1], np.uint16)


def cut_strip(pixels: NDArray[np.uint8], line: Rectangle) -> NDArray[np.uint8] | None:
    """The line from a picture, height x width, black on white 255, or None when it cannot be text.

    The background is that of each column where the rows above and below agree, so that a selected word or a
    gradient does not hide letters; elsewhere it is the commonest colour of the line.
    """
    cut = _padded(pixels, line)
    agreed = (cut[0] == cut[-1]).all(axis=1)
    background = np.where(agreed[:, None], cut[0], _commonest(cut))
    ink = _ink(cut, background)
    for start, end in _highlights(ink):
        part = cut[:, start:end]
        ink[:, start:end] = np.where(_outside(part, background[start:end]), 0, _ink(part, _commonest(part)))
    peak = _peak(ink)
    if peak < _LEAST_CONTRAST:
        return None
    scaled = np.minimum(ink.astype(np.uint32) * 255 // peak, 255).astype(np.uint8)
    if _is_picture(scaled) or _is_clipped(scaled, line.y - max(0, line.y - _PAD_Y), line.height):
        return None
    return 255 - _without_borders(scaled)


def cut_key(pixels: NDArray[np.uint8], line: Rectangle) -> bytes:
    """Equal for lines whose strips are cut from equal pixels in equal colours, and for no others."""
    cut = _padded(pixels, line)
    return blake2b(cut.tobytes(), digest_size=16, key=b"cut%d" % len(cut)).digest()


def strip_key(strip: NDArray[np.uint8]) -> bytes:
    """Equal for strips of equal pixels, and for no others."""
    return blake2b(strip.tobytes(), digest_size=16, key=strip.shape[0].to_bytes(2, "big")).digest()


def _padded(pixels: NDArray[np.uint8], line: Rectangle) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    top, bottom = max(0, line.y - _PAD_Y), min(height, line.bottom + _PAD_Y)
    left, right = max(0, line.x - _PAD_X), min(width, line.right + _PAD_X)
    return pixels[top:bottom, left:right]


def _ink(cut: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """How far each pixel is from its background, 0 to 255."""
    distance = np.maximum(cut, background) - np.minimum(cut, background)
    weighted = (distance.astype(np.uint16) @ _WEIGHTS) >> 3
    ink: NDArray[np.uint16] = np.maximum(weighted, distance.max(axis=2) >> 1)
    return ink


def _highlights(ink: NDArray[np.uint16]) -> list[tuple[int, int]]:
    """Runs of columns that are mostly full: a selection or a button, with letters in it."""
    height = ink.shape[0]
    full = np.count_nonzero(ink >= _LEAST_CONTRAST, axis=0) * 100 > 55 * height
    if np.count_nonzero(full) < height:
        return []
    joined: list[tuple[int, int]] = []
    for start, end in find_runs(full):
        first = joined.pop()[0] if joined and start - joined[-1][1] <= _NARROW else start
        joined.append((first, end))
    return [(start, end) for start, end in joined if end - start >= height]


def _outside(part: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels above and below a highlight."""
    paper = (part == background).all(axis=2)
    above = np.logical_and.accumulate(paper, axis=0)
    return above | np.logical_and.accumulate(paper[::-1], axis=0)[::-1]


def _peak(ink: NDArray[np.uint16]) -> int:
    """The ink of the darkest letters, but for a few pixels."""
    counts = np.bincount(ink.ravel(), minlength=256)[::-1]
    return 255 - int(np.searchsorted(np.cumsum(counts), max(4, ink.size // 200)))


def _commonest(cut: NDArray[np.uint8]) -> NDArray[np.uint8]:
    coarse = cut.astype(np.uint32) >> 3
    codes = (coarse[:, :, 0] << 10) | (coarse[:, :, 1] << 5) | coarse[:, :, 2]
    best = int(np.bincount(codes.ravel()).argmax())
    where = np.flatnonzero(codes.ravel() == best)
    chosen: NDArray[np.uint8] = cut.reshape(-1, 3)[where[len(where) // 2]]
    return chosen


def _is_picture(ink: NDArray[np.uint8]) -> bool:
    """Whether most of it is neither paper nor letter, as in a scrap of a photograph."""
    paper = int(np.count_nonzero(ink < 64))
    return paper * 100 < ink.size * 35


def _is_clipped(ink: NDArray[np.uint8], top: int, height: int) -> bool:
    """Whether the edge of something cuts through most letters: what is left of them cannot be read."""
    inked = ink >= _INKED
    bottom = top + height
    for beyond, row in ((inked[:top], top), (inked[bottom:], bottom - 1)):
        if len(beyond) == _PAD_Y and (beyond.mean(axis=1) > _FULL).all() and inked[row].mean() <= _FULL:
            runs = find_runs(inked[top:bottom].any(axis=0))
            touching = find_runs(inked[row])
            if 2 * len(touching) > len(runs):
                return True
    return False


def _without_borders(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strip without the rows, above and below the letters, that are inked from end to end."""
    full = (ink >= _INKED).mean(axis=1) > _FULL
    if full[0]:
        ink[: len(full) - int(np.logical_or.accumulate(~full).sum())] = 0
    if full[-1]:
        ink[int(np.logical_or.accumulate(~full[::-1]).sum()) :] = 0
    return ink
