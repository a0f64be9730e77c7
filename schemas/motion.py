"""How far a part of the screen was scrolled between two looks.

Never promises: what it finds is a guess that the encoder checks pixel by pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIP = 64
_MIN_CELLS = 128
_MIN_VOTES = 24
_MIX = np.random.default_rng(0x5EA1).integers(1, 1 << 32, _STRIP // 2, np.uint32) | np.uint32(1)


def find_shift(before: NDArray[np.uint32], now: NDArray[np.uint32], dirty: NDArray[np.bool_], cell: int) -> int:
    """Pixels that most of the changed part moved down (negative: up); 0 when it did not move.

    Short pieces of rows vote: each piece that is unlike the one above it, and stands once in both pictures, votes
    for the distance between its two places.
    """
    if dirty.sum() < _MIN_CELLS:
        return 0
    where = np.argwhere(dirty)
    (top, left), (bottom, right) = where.min(axis=0) * cell, (where.max(axis=0) + 1) * cell
    keys_before, rows_before = _pieces(before[top:bottom, left:right])
    keys_now, rows_now = _pieces(now[top:bottom, left:right])
    _, at_before, at_now = np.intersect1d(keys_before, keys_now, assume_unique=True, return_indices=True)
    if not len(at_now):
        return 0
    shifts, votes = np.unique(rows_now[at_now] - rows_before[at_before], return_counts=True)
    votes[shifts == 0] = 0
    best = int(votes.argmax())
    return int(shifts[best]) if votes[best] >= _MIN_VOTES else 0


def _pieces(pixels: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Keys of the pieces of rows that stand once, and their rows."""
    height, width = pixels.shape
    columns = width // _STRIP
    sample = pixels[:, : columns * _STRIP : 2].reshape(height, columns, _STRIP // 2)
    mixed = (sample * _MIX).sum(axis=2, dtype=np.uint64)
    telling = np.zeros(mixed.shape, np.bool_)
    telling[1:] = mixed[1:] != mixed[:-1]
    rows, strips = np.nonzero(telling)
    keys = (mixed[rows, strips] << np.uint64(8)) ^ strips.astype(np.uint64)
    unique, first, counts = np.unique(keys, return_index=True, return_counts=True)
    once = counts == 1
    return unique[once], rows[first[once]]
