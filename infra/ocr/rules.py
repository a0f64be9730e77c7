"""Lines that are drawn round text: borders of cells and fields.

Never takes away what is as thick as a letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DARK = 150
_UPRIGHT, _LEVEL = 18, 32
_THICK = 4


def erase_rules(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strip with thin upright and level lines made white."""
    dark = strip < _DARK
    rules = _thin_runs(dark, _UPRIGHT) | _thin_runs(dark.T, _LEVEL).T
    return np.where(rules, 255, strip).astype(np.uint8)


def _thin_runs(dark: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Upright runs of at least `length` pixels, less than four wide."""
    long = _opened(dark, length)
    return long & ~_opened(long.T, _THICK).T


def _opened(marks: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """What of the marks lies in an upright run of that length."""
    rows = len(marks)
    if rows < length:
        return np.zeros_like(marks)
    core = np.logical_and.reduce([marks[shift : rows - length + 1 + shift] for shift in range(length)])
    grown = np.zeros_like(marks)
    for shift in range(length):
        grown[shift : rows - length + 1 + shift] |= core
    return grown
