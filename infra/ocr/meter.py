"""What the OCR processes of one pool do, counted.

Never decides anything: a pool whose meter nobody reads works the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _ignore(_seconds: float) -> None:
    pass


@dataclass(slots=True)
class OcrMeter:
    """`busy` processes are reading now; `observe` is told the seconds of each frame, as the mean of its request."""

    busy: int = 0
    frames: int = 0
    deaths: int = 0
    observe: Callable[[float], None] = _ignore

    def began(self) -> None:
        """A process began to read."""
        self.busy += 1

    def ended(self, frames: int, seconds: float) -> None:
        """It read so many frames, or none when it failed."""
        self.busy -= 1
        self.frames += frames
        for _ in range(frames):
            self.observe(seconds / frames)
