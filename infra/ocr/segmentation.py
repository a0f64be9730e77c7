"""Lines of text in a picture, as boxes.

Never judges what a line says: a symbol or a scrap of a photograph may come out as a line too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infra.ocr.components import Borders, Boxes, expand_ranges, find_components, find_contrast, join, merge_boxes
from schemas.rectangle import Rectangle

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PASSES = ((16, 96), (48, 40), (96, 40))
"""Least contrast, and the height from which an upright line is no letter, of each look at a block."""

_MAX_HEIGHT = 140
_BLOCK_HEIGHT = 60
_MIN_HEIGHT, _MIN_WIDTH = 5, 4
_LARGE = 14
_LEAST_IN_PICTURE = 7
_MOST_EDGES = 0.7


def find_lines(pixels: NDArray[np.uint8]) -> list[Rectangle]:
    """Boxes of the lines in a picture (height x width x 3), from its upper left corner, in reading order.

    What is one connected block at a fine contrast, such as a photograph or a scanned page, is looked at again with
    coarser ones.
    """
    height, width = pixels.shape[:2]
    found: set[Rectangle] = set()
    contrast = find_contrast(pixels)
    areas = [Rectangle(0, 0, width, height)]
    for number, (threshold, rule) in enumerate(_PASSES):
        blocks: list[Rectangle] = []
        for area in areas:
            part = area.of(contrast)
            boxes, borders = find_components(part, threshold, rule)
            is_block = (boxes.height > _MAX_HEIGHT) | (
                (boxes.height > _BLOCK_HEIGHT) & (boxes.width > 3 * boxes.height)
            )
            lines = _large(_widely_joined(assemble(boxes.take(~is_block), borders), borders))
            if number:
                lines = _flat(lines, part)
            blocks += [box.moved(area.x, area.y) for box in _large(_rectangles(boxes.take(is_block)))]
            found.update(line.moved(area.x, area.y) for line in lines)
        areas = blocks
    return sorted(found, key=lambda line: (line.y, line.x))


def _large(boxes: list[Rectangle]) -> list[Rectangle]:
    return [box for box in boxes if box.height >= _MIN_HEIGHT and box.width >= _MIN_WIDTH]


def _flat(lines: list[Rectangle], contrast: NDArray[np.uint8]) -> list[Rectangle]:
    """Those that stand on paper of one colour, more or less: letters do, scraps of a photograph do not."""
    edges = contrast > _PASSES[0][0]
    lines = [line for line in lines if line.height >= _LEAST_IN_PICTURE and line.width > line.height]
    return [line for line in lines if np.count_nonzero(line.of(edges)) < _MOST_EDGES * line.area]


def _widely_joined(lines: list[Rectangle], borders: Borders) -> list[Rectangle]:
    """Words of large letters stand further apart than their single letters told."""
    large = [line for line in lines if line.height >= _LARGE]
    if len(large) < 2:
        return lines
    left, top, width, height = np.array(large).T
    return [
        *(line for line in lines if line.height < _LARGE),
        *assemble(Boxes(left, top, left + width, top + height), borders, spread=1.3),
    ]


def assemble(parts: Boxes, borders: Borders, spread: float = 0.9) -> list[Rectangle]:
    """Lines from parts: words, letters, dots; blanks are at most `spread` times as wide as the higher part is high.

    What stands on the two sides of a border is not one line.
    """
    if not len(parts.left):
        return []
    parts = parts.take(np.argsort(parts.top, kind="stable"))
    count = len(parts.left)
    one, other = expand_ranges(
        np.arange(1, count + 1), np.searchsorted(parts.top, parts.bottom + parts.height // 4 + 1, "left")
    )
    height_one, height_other = parts.height[one], parts.height[other]
    low, high = np.minimum(height_one, height_other), np.maximum(height_one, height_other)
    overlap = np.minimum(parts.bottom[one], parts.bottom[other]) - np.maximum(parts.top[one], parts.top[other])
    gap = np.maximum(parts.left[one], parts.left[other]) - np.minimum(parts.right[one], parts.right[other])
    uneven = np.abs(parts.top[one] + parts.bottom[one] - parts.top[other] - parts.bottom[other])
    beside = (2 * overlap >= low) & (gap <= spread * high) & (high <= 2 * low) & (5 * uneven <= 4 * low + 10)
    rows = (np.maximum(parts.top[one], parts.top[other]) + np.minimum(parts.bottom[one], parts.bottom[other])) // 2
    between = np.minimum(parts.right[one], parts.right[other]), np.maximum(parts.left[one], parts.left[other])
    where = np.flatnonzero(beside)
    beside[where] = ~borders.part(rows[where], between[0][where] - 1, between[1][where] + 1)
    beside &= ~_bridged(parts, one, other, beside)
    lonely = np.ones(count, np.bool_)
    lonely[one[beside]] = lonely[other[beside]] = False
    adopted = _adopt(parts, lonely, (one, other, overlap, gap, high))
    labels = join(
        count,
        np.concatenate((one[beside], adopted[:, 0])),
        np.concatenate((other[beside], adopted[:, 1])),
    )
    return _lines(parts, labels)


def _bridged(
    parts: Boxes, one: NDArray[np.intp], other: NDArray[np.intp], beside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which pairs hold a part that stands beside two lines at once: a picture or a bracket, and no letter."""
    owner = np.concatenate((one[beside], other[beside]))
    neighbour = np.concatenate((other[beside], one[beside]))
    lowest_top = np.full(len(parts.left), -1)
    highest_bottom = np.full(len(parts.left), np.iinfo(np.int64).max)
    np.maximum.at(lowest_top, owner, parts.top[neighbour])
    np.minimum.at(highest_bottom, owner, parts.bottom[neighbour])
    bridges = highest_bottom <= lowest_top
    return bridges[one] | bridges[other]


def _lines(parts: Boxes, labels: NDArray[np.intp]) -> list[Rectangle]:
    """One box a label; several where its parts climb or fall, as in a photograph of a page."""
    order = np.lexsort((parts.height, labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    usual = parts.height[order[starts + sizes * 3 // 4]]
    whole = merge_boxes(parts, labels)
    uneven = (whole.height > np.maximum(usual * 8 // 5, usual + 6)) & (sizes > 2)
    lines = _rectangles(whole.take(~uneven))
    for group in np.flatnonzero(uneven):
        members = order[starts[group] : starts[group] + sizes[group]]
        lines += _even_pieces(parts.take(members), int(usual[group]))
    return lines


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
    tiny = (3 * low <= high) | (5 * parts.width[small] <= 3 * high)
    fits = lonely[small] & (beside | above) & (parts.width[small] <= 2 * high) & (10 * low <= 6 * high) & tiny
    rows = np.flatnonzero(fits)
    if not len(rows):
        return np.zeros((0, 2), np.int64)
    distance = np.maximum(gap, 0) + np.maximum(-overlap, 0)
    rows = rows[np.lexsort((distance[rows], small[rows]))]
    first = np.concatenate(([True], small[rows][1:] != small[rows][:-1]))
    return np.stack((small[rows][first], large[rows][first]), axis=1)


def _even_pieces(parts: Boxes, usual: int) -> list[Rectangle]:
    """Pieces of a line, from left to right, each not much higher than a word."""
    parts = parts.take(np.argsort(parts.left, kind="stable"))
    pieces: list[Rectangle] = []
    for box in _rectangles(parts):
        joined = _around(pieces[-1], box) if pieces else box
        if pieces and joined.height <= max(usual * 8 // 5, usual + 6):
            pieces[-1] = joined
        else:
            pieces.append(box)
    return pieces


def _around(one: Rectangle, other: Rectangle) -> Rectangle:
    left, top = min(one.x, other.x), min(one.y, other.y)
    return Rectangle(left, top, max(one.right, other.right) - left, max(one.bottom, other.bottom) - top)


def _rectangles(boxes: Boxes) -> list[Rectangle]:
    sides = zip(boxes.left.tolist(), boxes.top.tolist(), boxes.right.tolist(), boxes.bottom.tolist(), strict=True)
    return [Rectangle(left, top, right - left, bottom - top) for left, top, right, bottom in sides]
