"""Fonts of a desktop, drawn with grey or sub-pixel smoothing.

Never measures with one font and draws with another.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_ROOT = "/usr/share/fonts/truetype"
FILES = {
    "sans": f"{_ROOT}/dejavu/DejaVuSans.ttf",
    "sans-bold": f"{_ROOT}/dejavu/DejaVuSans-Bold.ttf",
    "mono": f"{_ROOT}/dejavu/DejaVuSansMono.ttf",
    "arial": f"{_ROOT}/liberation/LiberationSans-Regular.ttf",
    "arial-bold": f"{_ROOT}/liberation/LiberationSans-Bold.ttf",
    "times": f"{_ROOT}/liberation/LiberationSerif-Regular.ttf",
    "courier": f"{_ROOT}/liberation/LiberationMono-Regular.ttf",
    "noto": f"{_ROOT}/noto/NotoSans-Regular.ttf",
    "noto-bold": f"{_ROOT}/noto/NotoSans-Bold.ttf",
    "noto-serif": f"{_ROOT}/noto/NotoSerif-Regular.ttf",
}
"""Name to file, from Debian's fonts-dejavu, fonts-liberation and fonts-noto-core."""

_LCD = np.array([1, 2, 3, 2, 1], np.float32) / 9


class Face(NamedTuple):
    """A font at a size in pixels; `lcd` smooths by thirds of a pixel."""

    name: str
    size: int
    lcd: bool = False

    @property
    def height(self) -> int:
        """Of one line, pixels."""
        ascent, descent = _font(self.name, self.size).getmetrics()
        return int(ascent + descent)

    def length(self, text: str) -> float:
        """Advance of a text, pixels."""
        if self.lcd:
            return float(_font(self.name, self.size * 3).getlength(text)) / 3
        return float(_font(self.name, self.size).getlength(text))


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FILES[name], size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=20_000)
def coverage(face: Face, text: str) -> np.ndarray:
    """How much of each pixel's red, green and blue the text covers: height x width x 3, 0 to 1."""
    width, height = int(face.length(text)) + 4, face.height + 2
    if not face.lcd:
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).text((0, 0), text, 255, font=_font(face.name, face.size))
        return np.repeat(np.asarray(mask, np.float32)[:, :, None] / 255, 3, axis=2)
    mask = Image.new("L", (width * 3, height * 3))
    ImageDraw.Draw(mask).text((0, 0), text, 255, font=_font(face.name, face.size * 3))
    fine = np.asarray(mask, np.float32).reshape(height, 3, width * 3).mean(axis=1) / 255
    padded = np.pad(fine, ((0, 0), (2, 2)))
    smooth = sum(_LCD[i] * padded[:, i : i + width * 3] for i in range(5))
    return np.asarray(smooth, np.float32).reshape(height, width, 3)
