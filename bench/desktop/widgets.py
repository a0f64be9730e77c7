"""Parts that every scripted desktop shares: windows, panels, lists, pictures.

Never draws text without telling the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench.desktop.typeface import Face

if TYPE_CHECKING:
    from bench.desktop.scene import Box, Scene


@dataclass(frozen=True)
class Theme:
    """Colours and fonts of a desktop."""

    paper: str
    panel: str
    ink: str
    faint: str
    accent: str
    title: str
    title_ink: str
    selected: str
    face: Face
    small: Face
    bold: Face


LIGHT = Theme("ffffff", "f0f0f2", "202124", "6a6f76", "1a5fb4", "dcdfe4", "303338", "cfe3fb",
              Face("sans", 14), Face("sans", 12), Face("sans-bold", 14))  # fmt: skip
LIGHT_LCD = Theme("ffffff", "f5f6f7", "1d1d1f", "70757a", "0b57d0", "e8eaed", "202124", "d3e3fd",
                  Face("arial", 15, True), Face("arial", 13, True), Face("arial-bold", 15, True))  # fmt: skip
DARK = Theme("1e1e1e", "252526", "d4d4d4", "8b949e", "4fc1ff", "323233", "cccccc", "094771",
             Face("noto", 15), Face("noto", 13), Face("noto-bold", 15))  # fmt: skip


def taskbar(scene: Scene, clock: str, entries: tuple[str, ...]) -> None:
    """The bar at the foot of the screen."""
    top = scene.height - 36
    scene.box((0, top, scene.width, scene.height), "2b2f36")
    scene.icon(12, top + 8, 20, "3fa66a", 0)
    x = 56
    for number, entry in enumerate(entries):
        scene.box((x, top + 4, x + 190, top + 32), "3c424b")
        scene.icon(x + 8, top + 10, 16, "d9913a", number)
        scene.text(x + 34, top + 9, entry, Face("sans", 12), "e6e6e6")
        x += 200
    scene.text(scene.width - 70, top + 9, clock, Face("sans", 13), "ffffff")


def window(scene: Scene, box: Box, title: str, theme: Theme) -> Box:
    """A window with a title bar; returns the box within it."""
    left, top, right, bottom = box
    scene.box(box, theme.paper, "8a8f98")
    scene.box((left + 1, top + 1, right - 1, top + 32), theme.title)
    scene.icon(left + 8, top + 8, 16, "c25b56", 1)
    scene.text(left + 34, top + 7, title, theme.bold, theme.title_ink)
    for number, colour in enumerate(("e0b13c", "58a65c", "c9504a")):
        scene.icon(right - 78 + 24 * number, top + 10, 13, colour, 0)
    return (left + 1, top + 33, right - 1, bottom - 1)


@lru_cache(maxsize=16)
def photograph(seed: int, width: int, height: int) -> Image.Image:
    """A picture with the smoothness and noise of a photograph."""
    noise = np.random.default_rng(seed)
    coarse = Image.fromarray(noise.integers(0, 256, (6, 9, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(noise.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), np.uint8))
    mixed = Image.blend(coarse, fine.resize((width, height), Image.Resampling.BICUBIC), 0.25)
    grain = noise.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(mixed) + grain, 0, 255).astype(np.uint8))


def lines(  # noqa: PLR0917 - a place, a text and how it looks
    scene: Scene, x: int, y: int, text: list[str], face: Face, ink: str, leading: int
) -> int:
    """Lines below each other; returns where the next would stand."""
    for line in text:
        scene.text(x, y, line, face, ink)
        y += leading
    return y
