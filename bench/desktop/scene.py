"""A drawn screen that knows which words it shows and where.

Never forgets a word that was covered in part: such a word is neither demanded of a reader nor held against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from bench.desktop.typeface import Face, coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Word:
    """A word on a screen; `whole` unless something covers a part of it. Box: left, top, right, bottom."""

    text: str
    box: Box
    whole: bool = True


def rgb(code: str) -> Colour:
    """The colour of six hexadecimal digits."""
    return (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16))


class Scene:
    """One display while it is drawn; later strokes cover earlier ones."""

    def __init__(self, width: int = 1920, height: int = 1080, background: str = "2e5a88") -> None:
        self.width, self.height = width, height
        self.pixels = np.empty((height, width, 3), np.uint8)
        self.pixels[:] = rgb(background)
        self.words: list[Word] = []
        self._clip: Box = (0, 0, width, height)

    def clip(self, box: Box | None = None) -> None:
        """Draw only within the box from here on; None lifts it."""
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        self._clip = (max(0, left), max(0, top), min(self.width, right), min(self.height, bottom))

    def box(self, box: Box, fill: str, border: str | None = None) -> None:
        """An opaque rectangle."""
        inner = _meet(box, self._clip)
        if inner is None:
            return
        left, top, right, bottom = inner
        self._cover(inner)
        self.pixels[top:bottom, left:right] = rgb(fill)
        if border:
            for edge in (
                (left, top, right, top + 1), (left, bottom - 1, right, bottom),
                (left, top, left + 1, bottom), (right - 1, top, right, bottom),
            ):  # fmt: skip
                self.pixels[edge[1] : edge[3], edge[0] : edge[2]] = rgb(border)

    def tint(self, box: Box, fill: str) -> None:
        """A rectangle painted below text that is drawn after it; covers no word."""
        inner = _meet(box, self._clip)
        if inner is not None:
            left, top, right, bottom = inner
            self.pixels[top:bottom, left:right] = rgb(fill)

    def picture(self, box: Box, image: Image.Image) -> None:
        """A picture, scaled to fill the box."""
        inner = _meet(box, self._clip)
        if inner is None:
            return
        left, top, right, bottom = inner
        self._cover(inner)
        scaled = np.asarray(image.resize((box[2] - box[0], box[3] - box[1])))
        self.pixels[top:bottom, left:right] = scaled[top - box[1] : bottom - box[1], left - box[0] : right - box[0]]

    def icon(self, x: int, y: int, side: int, fill: str, kind: int) -> None:
        """A small symbol that is no text."""
        image = Image.fromarray(self.pixels)
        draw = ImageDraw.Draw(image)
        shape = (x, y, x + side, y + side)
        if kind % 3 == 0:
            draw.ellipse(shape, fill=rgb(fill))
            draw.ellipse((x + side // 4, y + side // 4, x + side * 3 // 4, y + side * 3 // 4), fill=(255, 255, 255))
        elif kind % 3 == 1:
            draw.rounded_rectangle(shape, side // 5, fill=rgb(fill))
            draw.line((x + 3, y + side // 2, x + side // 2, y + side - 4, x + side - 3, y + 3), (255, 255, 255), 2)
        else:
            draw.polygon((x, y + side, x + side // 2, y, x + side, y + side), fill=rgb(fill))
        self.pixels = np.array(image)

    def text(self, x: int, y: int, text: str, face: Face, fill: str = "202020") -> int:
        """One line of text; returns the column where it ends."""
        for found in re.finditer(r"\S+", text):
            left = x + round(face.length(text[: found.start()]))
            self._word(left, y, found.group(), face, rgb(fill))
        return x + round(face.length(text))

    def tell(self) -> Iterator[tuple[str, bool]]:
        """The words as search would split them, each with whether it is whole."""
        for word in self.words:
            for token in tokens(word.text):
                yield token, word.whole

    def _word(self, x: int, y: int, text: str, face: Face, fill: Colour) -> None:
        mask = coverage(face, text)
        height, width = mask.shape[:2]
        box = (x, y, x + width, y + height)
        inner = _meet(box, self._clip)
        if inner is None:
            return
        left, top, right, bottom = inner
        part = mask[top - y : bottom - y, left - x : right - x]
        area = self.pixels[top:bottom, left:right]
        area[:] = np.rint(area * (1 - part) + np.array(fill, np.float32) * part).astype(np.uint8)
        inked = np.argwhere(mask[:, :, 1] > 0)
        if len(inked):
            (ink_top, ink_left), (ink_bottom, ink_right) = inked.min(axis=0), inked.max(axis=0) + 1
            ink = (x + int(ink_left), y + int(ink_top), x + int(ink_right), y + int(ink_bottom))
            shown = _meet(ink, self._clip)
            if shown is not None:
                self.words.append(Word(text, ink, whole=shown == ink))

    def _cover(self, box: Box) -> None:
        kept = []
        for word in self.words:
            common = _meet(word.box, box)
            if common is None:
                kept.append(word)
            elif common != word.box:
                kept.append(Word(word.text, word.box, whole=False))
        self.words = kept


def tokens(text: str) -> list[str]:
    """Letters and digits, two or more together, in lower case."""
    return [token for token in re.findall(r"[^\W_]+", text.lower()) if len(token) > 1]


def _meet(first: Box, second: Box) -> Box | None:
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    return (left, top, right, bottom) if left < right and top < bottom else None
