"""Connected parts of a picture: where its colour changes, joined over small gaps.

Never looks further than a few pixels, so that a part has the same shape wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP = 8
"""Columns of one colour, in one row, that part two things."""


class Boxes(NamedTuple):
    """Boxes as columns: left, top, right, bottom (right and bottom exclusive)."""

    left: NDArray[np.int64]
    top: NDArray[np.int64]
    right: NDArray[np.int64]
    bottom: NDArray[np.int64]

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Boxes:
        """Some of them."""
        return Boxes(*(side[which] for side in self))

    @property
    def width(self) -> NDArray[np.int64]:
        """Pixels."""
        return self.right - self.left

    @property
    def height(self) -> NDArray[np.int64]:
        """Pixels."""
        return self.bottom - self.top


class Borders:
    """Upright lines that are too high for letters: where they stand, for asking what they part."""

    def __init__(self, rules: NDArray[np.bool_] | None = None) -> None:
        self._columns = np.flatnonzero(rules.any(axis=0)) if rules is not None else np.zeros(0, np.intp)
        if rules is not None and len(self._columns):
            self._before = np.zeros((len(rules), len(self._columns) + 1), np.int32)
            np.cumsum(rules[:, self._columns], axis=1, out=self._before[:, 1:])

    def part(self, rows: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether, in each row, a line stands between two columns."""
        if not len(self._columns):
            return np.zeros(len(rows), np.bool_)
        first, last = np.searchsorted(self._columns, left), np.searchsorted(self._columns, right)
        parted: NDArray[np.bool_] = self._before[rows, np.maximum(first, last)] > self._before[rows, first]
        return parted


def find_components(contrast: NDArray[np.uint8], threshold: int, rule: int) -> tuple[Boxes, Borders]:
    """Boxes of the connected parts of a picture whose `contrast` is more than `threshold`, and the borders in it.

    Upright lines of `rule` pixels or more are borders, and connect nothing.
    """
    height, width = contrast.shape
    edges = np.zeros((height, width + GAP), np.bool_)
    np.greater(contrast, threshold, out=edges[:, :width])
    edges[:, width - 1 :] = False
    borders = Borders(_remove_rules(edges, rule) if height > rule else None)
    return _boxes(edges), borders


def find_contrast(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far each pixel of a picture (height x width x 3) is from its right neighbour, all channels or-ed."""
    height, width = pixels.shape[:2]
    contrast = np.zeros((height, width), np.uint8)
    if width > 1:
        flat = np.ascontiguousarray(pixels).reshape(height, width * 3)
        right, left = flat[:, 3:], flat[:, :-3]
        step = np.maximum(right, left) - np.minimum(right, left)
        contrast[:, :-1] = (step[:, :-2] | step[:, 1:-1] | step[:, 2:])[:, ::3]
    return contrast


def _remove_rules(edges: NDArray[np.bool_], rule: int) -> NDArray[np.bool_] | None:
    """Take out, and return, upright lines as high as no letter: borders of windows and tables."""
    packed = np.packbits(edges, axis=1)
    core = packed
    reach = 1
    while reach < rule:
        step = min(reach, rule - reach)
        core = core[:-step] & core[step:]
        reach += step
    if not core.any():
        return None
    rules = np.zeros_like(packed)
    grown = core
    reach = 1
    while reach < rule:
        step = min(reach, rule - reach)
        wider = np.zeros((len(grown) + step, grown.shape[1]), np.uint8)
        wider[: len(grown)] |= grown
        wider[step:] |= grown
        grown = wider
        reach += step
    rules[: len(grown)] = grown
    found = np.unpackbits(rules, axis=1, count=edges.shape[1]).astype(np.bool_)
    edges &= ~found
    return found


def _boxes(edges: NDArray[np.bool_]) -> Boxes:
    span = edges.shape[1]
    places = np.flatnonzero(edges)
    if not len(places):
        empty = np.zeros(0, np.int64)
        return Boxes(empty, empty, empty, empty)
    breaks = np.flatnonzero(np.diff(places) > GAP)
    starts = places[np.concatenate(([0], breaks + 1))]
    ends = places[np.concatenate((breaks, [len(places) - 1]))] + 2
    first = np.searchsorted(ends, starts + span, "right")
    last = np.searchsorted(starts, ends + span, "left")
    upper, lower = expand_ranges(first, last)
    labels = join(len(starts), upper, lower)
    rows, left = np.divmod(starts, span)
    return merge_boxes(Boxes(left, rows, left + ends - starts, rows + 1), labels)


def expand_ranges(first: NDArray[np.intp], last: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs (i, j) with first[i] <= j < last[i]."""
    counts = np.maximum(last - first, 0)
    owners = np.repeat(np.arange(len(first)), counts)
    offsets = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owners, first[owners] + offsets


def join(count: int, one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    """A label for each of `count` things, equal for things that the pairs connect."""
    labels = np.arange(count)
    while True:
        first, second = labels[one], labels[other]
        if np.array_equal(first, second):
            return labels
        least = np.minimum(first, second)
        np.minimum.at(labels, first, least)
        np.minimum.at(labels, second, least)
        while True:
            shorter = labels[labels]
            if np.array_equal(shorter, labels):
                break
            labels = shorter


def merge_boxes(boxes: Boxes, labels: NDArray[np.intp]) -> Boxes:
    """One box around all boxes of a label, in the order of the labels."""
    order = np.argsort(labels, kind="stable")
    ranked = labels[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1]))) if len(ranked) else ranked
    if not len(starts):
        return boxes
    return Boxes(
        np.minimum.reduceat(boxes.left[order], starts),
        np.minimum.reduceat(boxes.top[order], starts),
        np.maximum.reduceat(boxes.right[order], starts),
        np.maximum.reduceat(boxes.bottom[order], starts),
    )
