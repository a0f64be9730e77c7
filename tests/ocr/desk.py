"""Small drawn screens for tests of what reads them, and the frames that show them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from infra.ocr.recognizer import Recognizer
from schemas.tiles import FrameEncoder, bgra_of

SANS = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
MONO = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"


@cache
def recognizer() -> Recognizer:
    """One for all tests: loading the model takes a while."""
    return Recognizer()


class Desk:
    """A screen that is drawn on, and the frames that its changes make."""

    def __init__(self, width: int = 900, height: int = 500, paper: str = "white") -> None:
        self.image = Image.new("RGB", (width, height), paper)
        self.draw = ImageDraw.Draw(self.image)
        self._encoder = FrameEncoder()
        self._time_ms = 1_000

    def write(self, x: int, y: int, text: str, size: int = 16, ink: str = "black", font: str = SANS) -> None:
        self.draw.text((x, y), text, ink, font=ImageFont.truetype(font, size))

    def wipe(self, x: int, y: int, width: int, height: int, paper: str = "white") -> None:
        self.draw.rectangle((x, y, x + width - 1, y + height - 1), fill=paper)

    def move(self, box: tuple[int, int, int, int], right: int, down: int, paper: str = "white") -> None:
        part = self.image.crop(box)
        self.draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=paper)
        self.image.paste(part, (box[0] + right, box[1] + down))

    def look(self, *, renew: bool = False) -> dict[str, Any] | None:
        """The next frame, a second after the last; None when nothing changed."""
        if renew:
            self._encoder.renew()
        self._time_ms += 1_000
        return self._encoder.encode(
            bgra_of(self.image), self.image.width, self.image.height, time_us=self._time_ms * 1000
        )

    def frame(self, *, renew: bool = False) -> dict[str, Any]:
        made = self.look(renew=renew)
        assert made is not None
        return made


def noisy(image: Image.Image, strength: float, seed: int = 1) -> Image.Image:
    """The picture with the grain of a camera or a scanner."""
    grain = np.random.default_rng(seed).normal(0, strength, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + grain, 0, 255).astype(np.uint8))
