"""Lines of text in a picture, as boxes.

Never judges what a line says: a symbol or a scrap of a photograph may come out as a line too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.rectangle import Rectangle
from streams.ocr.components import Boxes, expand_ranges, find_components, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PASSES = ((16, 96), (48, 40), (96, 40))
"""Least contrast, and the height from which an upright line is no letter, of each look at a block."""

_MAX_HEIGHT = 140
_BLOCK_HEIGHT = 60
_MIN_HEIGHT, _MIN_WIDTH = 5, 4


def find_lines(pixels: NDArray[np.uint8]) -> list[Rectangle]:
    """Boxes of the lines in a picture (height x width x 3), from its upper left corner, in reading order.

    What is one connected block at a fine contrast, such as a photograph or a scanned page, is looked at again with
    coarser ones.
    """
    height, width = pixels.shape[:2]
    found: list[Rectangle] = []
    areas = [Rectangle(0, 0, width, height)]
    for threshold, rule in _PASSES:
        blocks: list[Rectangle] = []
        for area in areas:
            parts = find_components(area.of(pixels), threshold, rule)
            is_block = (parts.height > _MAX_HEIGHT) | (
                (parts.height > _BLOCK_HEIGHT) & (parts.width > 3 * parts.height)
            )
            blocks += [_placed(box, area) for box in _rectangles(parts.take(is_block))]
            found += [_placed(box, area) for box in assemble(parts.take(~is_block))]
        areas = [block for block in blocks if block.height >= _MIN_HEIGHT]
    kept = {line for line in found if line.height >= _MIN_HEIGHT and line.width >= _MIN_WIDTH}
    return sorted(kept, key=lambda line: (line.y, line.x))


def assemble(parts: Boxes) -> list[Rectangle]:
    """Lines from parts: words, letters, dots."""
    if not len(parts.left):
        return []
    order = np.argsort(parts.top, kind="stable")
    parts = parts.take(order)
    one, other = expand_ranges(
        np.arange(1, len(order) + 1), np.searchsorted(parts.top, parts.bottom + parts.height // 4 + 1, "left")
    )
    height_one, height_other = parts.height[one], parts.height[other]
    low, high = np.minimum(height_one, height_other), np.maximum(height_one, height_other)
    overlap = np.minimum(parts.bottom[one], parts.bottom[other]) - np.maximum(parts.top[one], parts.top[other])
    gap = np.maximum(parts.left[one], parts.left[other]) - np.minimum(parts.right[one], parts.right[other])
    beside = (2 * overlap >= low) & (10 * gap <= 9 * high) & (5 * high <= 12 * low)
    lonely = np.ones(len(order), np.bool_)
    lonely[one[beside]] = lonely[other[beside]] = False
    adopted = _adopt(parts, lonely, (one, other, overlap, gap, high))
    labels = join(
        len(order),
        np.concatenate((one[beside], adopted[:, 0])),
        np.concatenate((other[beside], adopted[:, 1])),
    )
    return [line for members in _groups(labels) for line in _even_lines(parts.take(members))]


def _adopt(parts: Boxes, lonely: NDArray[np.bool_], pairs: tuple[NDArray[np.int64], ...]) -> NDArray[np.int64]:
    """For each small part that no other stands beside (a dot, a comma), the nearest larger one that it belongs to."""
    one, other, overlap, gap, high = pairs
    low = np.minimum(parts.height[one], parts.height[other])
    small = np.where(parts.height[one] <= parts.height[other], one, other)
    large = one + other - small
    beside = (5 * overlap >= 4 * low) & (2 * gap <= high)
    above = (
        (gap < 0) & (overlap <= 0) & (-overlap <= np.maximum(1, high // 5)) & (parts.bottom[small] <= parts.top[large])
    )
    fits = lonely[small] & (beside | above) & (parts.width[small] <= 2 * high) & (10 * low <= 6 * high)
    rows = np.flatnonzero(fits)
    if not len(rows):
        return np.zeros((0, 2), np.int64)
    distance = np.maximum(gap, 0) + np.maximum(-overlap, 0)
    rows = rows[np.lexsort((distance[rows], small[rows]))]
    first = np.concatenate(([True], small[rows][1:] != small[rows][:-1]))
    return np.stack((small[rows][first], large[rows][first]), axis=1)


def _groups(labels: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _even_lines(parts: Boxes) -> list[Rectangle]:
    """The line of these parts; several pieces where it climbs or falls, as in a photograph of a page."""
    whole = _around(parts)
    usual = int(np.sort(parts.height)[len(parts.height) * 3 // 4])
    if whole.height <= max(1.6 * usual, usual + 6) or len(parts.left) < 3:
        return [whole]
    order = np.argsort(parts.left, kind="stable")
    pieces: list[Rectangle] = []
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or _around(parts.take(order[start : end + 1])).height > max(1.6 * usual, usual + 6):
            pieces.append(_around(parts.take(order[start:end])))
            start = end
    return pieces


def _around(parts: Boxes) -> Rectangle:
    left, top = int(parts.left.min()), int(parts.top.min())
    return Rectangle(left, top, int(parts.right.max()) - left, int(parts.bottom.max()) - top)


def _rectangles(boxes: Boxes) -> list[Rectangle]:
    sides = zip(boxes.left.tolist(), boxes.top.tolist(), boxes.right.tolist(), boxes.bottom.tolist(), strict=True)
    return [Rectangle(left, top, right - left, bottom - top) for left, top, right, bottom in sides]


def _placed(box: Rectangle, area: Rectangle) -> Rectangle:
    return Rectangle(box.x + area.x, box.y + area.y, box.width, box.height)
