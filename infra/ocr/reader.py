"""The text of one display: which lines each frame brings, and which it takes away.

Never depends on more than the frames since the last key frame, so that a reader which starts there says the same as
one that never stopped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infra.ocr.regions import Region, region_of
from infra.ocr.segmentation import find_lines
from infra.ocr.spelling import spell
from infra.ocr.strip import cut_key, cut_strip, strip_key
from infra.ocr.text import ScreenText, TextLine
from schemas.canvas import Canvas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache
    from infra.ocr.recognizer import Recognizer
    from schemas.rectangle import Rectangle
    from schemas.tiles import Frame

_WIDENINGS = 2

_NO_TEXT = "\n"
"""Told of pixels that cannot be text."""

Strip = tuple[bytes, "NDArray[np.uint8]"]
"""A strip and its key."""


@dataclass
class Line:
    """A line that is on the display; its text is read when somebody asks."""

    box: Rectangle
    key: bytes
    strip: Strip | None
    appeared_ms: int
    text: str = ""


class ScreenReader:
    """Reads the frames of one display, in order."""

    def __init__(self, cache: LineCache, recognizer: Recognizer) -> None:
        self._cache = cache
        self._recognizer = recognizer
        self._canvas = Canvas()
        self._lines: list[Line] = []

    @property
    def has_canvas(self) -> bool:
        """Whether a key frame was drawn, so that frames which change it can be."""
        return self._canvas.pixels.size > 0

    @property
    def size_bytes(self) -> int:
        """Memory that this display takes, about."""
        return int(self._canvas.pixels.nbytes) + 600 * len(self._lines)

    def takes(self, frame: Frame) -> bool:
        """Whether the frame can be read with what is here."""
        return self._canvas.takes(frame)

    def read(self, frame: Frame, *, emit: bool = True) -> ScreenText:
        """What the frame changed; with `emit` false nothing is read and nothing told.

        Raises `MalformedError`; then the display is as it was.
        """
        before = self._canvas.pixels.shape
        areas = self._canvas.draw(frame)
        time_ms = frame["time_us"] // 1000
        region = region_of(areas, frame["width"], frame["height"])
        stays = before == self._canvas.pixels.shape
        found = self._segment(region, self._lines if stays else [])
        met = region.meeting(_places(self._lines)).tolist() if stays else [True] * len(self._lines)
        kept = [line for line, touched in zip(self._lines, met, strict=True) if not touched]
        gone = [line for line, touched in zip(self._lines, met, strict=True) if touched]
        text = self._exchange(gone, found, time_ms, frame["display"], emit=emit)
        self._lines = kept + [line for line in found if line.text != _NO_TEXT]
        if frame["key_frame"]:
            for line in self._lines:
                line.appeared_ms = time_ms
        return text

    def _segment(self, region: Region, known_lines: list[Line]) -> list[Line]:
        """The lines in a region, which grows to hold whole every line that it touches."""
        touched = region.copy()
        known_boxes = {line.box: line for line in known_lines}
        seen: dict[Rectangle, list[Rectangle]] = {}
        for widenings_left in range(_WIDENINGS, -1, -1):
            boxes: list[Rectangle] = []
            grown = False
            for area in _settle(region, known_lines):
                lines = seen.get(area)
                if lines is None:
                    lines = [box.moved(area.x, area.y) for box in find_lines(area.of(self._canvas.pixels))]
                    seen[area] = lines
                boxes += lines
                if widenings_left:
                    grown |= sum(region.add(line, line.height) for line in lines if region.cuts(line, area)) > 0
            if not grown:
                break
        touched_boxes = touched.meeting(np.array(boxes, np.int64).reshape(-1, 4)).tolist()
        found = []
        for box, is_touched in zip(boxes, touched_boxes, strict=True):
            known = known_boxes.get(box)
            if known is None or is_touched:
                found.append(Line(box, cut_key(self._canvas.pixels, box), None, 0))
            else:
                found.append(Line(box, known.key, known.strip, 0))
        return found

    def _exchange(self, gone: list[Line], found: list[Line], time_ms: int, display: int, *, emit: bool) -> ScreenText:
        """Match lines of equal pixels, in place first and moved second; tell what is left over."""
        waiting: dict[bytes, list[Line]] = defaultdict(list)
        for line in gone:
            waiting[line.key].append(line)
        new: list[Line] = []
        for line in found:
            line.appeared_ms = time_ms
            same = waiting.get(line.key)
            if same:
                old = min(same, key=lambda one: abs(one.box.x - line.box.x) + abs(one.box.y - line.box.y))
                same.remove(old)
                line.appeared_ms, line.text, line.strip = old.appeared_ms, old.text, old.strip
            elif self._is_text(line):
                new.append(line)
        left = [line for lines in waiting.values() for line in lines]
        if not emit:
            return ScreenText()
        for line in (*new, *left):
            self._resolve(line)
        return _tell(new, left, time_ms, display)

    def _is_text(self, line: Line) -> bool:
        """Cut the strip of a new line, unless its text is known; tells whether there is one."""
        text = self._cache.peek(line.key)
        if text is None:
            strip = cut_strip(self._canvas.pixels, line.box)
            if strip is None:
                text = _NO_TEXT
                self._cache.store(line.key, text)
            else:
                line.strip = (strip_key(strip), strip)
        line.text = text or ""
        return text != _NO_TEXT

    def _resolve(self, line: Line) -> None:
        """Read a line's text, or find it in the cache."""
        if line.strip is not None:
            line.text = spell(self._cache, self._recognizer, *line.strip)
            line.strip = None
            self._cache.store(line.key, line.text)


def _places(lines: list[Line]) -> NDArray[np.int64]:
    return np.array([line.box for line in lines], np.int64).reshape(-1, 4)


def _settle(region: Region, lines: list[Line]) -> list[Rectangle]:
    """The rectangles of a region that takes in whole every line that it meets."""
    places = _places(lines)
    done = np.zeros(len(lines), np.bool_)
    while True:
        areas = region.rectangles()
        met = region.meeting(places) & ~done
        done |= met
        if not sum(region.add(lines[number].box) for number in np.flatnonzero(met)):
            return areas


def _tell(new: list[Line], left: list[Line], time_ms: int, display: int) -> ScreenText:
    """Lines that only look different (a blinking cursor, a highlight) neither appeared nor went.

    What holds no letter and no digit is no text: rules, cursors, scraps of pictures.
    """
    stayed = Counter(line.text for line in new) & Counter(line.text for line in left)
    appeared = [_record(line, None, display) for line in _without(new, stayed) if _is_text(line)]
    went = [_record(line, time_ms, display) for line in _without(left, stayed) if _is_text(line)]
    return ScreenText(appeared, went)


def _is_text(line: Line) -> bool:
    return any(character.isalnum() for character in line.text)


def _without(lines: list[Line], texts: Counter[str]) -> list[Line]:
    texts = texts.copy()
    rest = []
    for line in lines:
        if texts[line.text] > 0:
            texts[line.text] -= 1
        else:
            rest.append(line)
    return rest


def _record(line: Line, went_ms: int | None, display: int) -> TextLine:
    box = line.box
    return {
        "text": line.text,
        "x": box.x,
        "y": box.y,
        "width": box.width,
        "height": box.height,
        "appeared_ms": line.appeared_ms,
        "went_ms": went_ms,
        "display": display,
    }
