"""A turnstile before the OCR processes: few requests go in at once, and each is carried through.

Never lets a cancelled request end the process that reads it: that would cost its other agents their screens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from schemas.records import Record
from streams.screens import ScreenPool, ScreenText

AT_ONCE = 4
"""Requests inside for each process: one being read, and some so that it need not wait."""


class Turnstile:
    """A `ScreenPool` in front of another. Who waits outside can leave; what is inside is read to its end."""

    def __init__(self, pool: ScreenPool, workers: int) -> None:
        self._pool = pool
        self._places = asyncio.Semaphore(AT_ONCE * max(1, workers))
        self._carried: set[asyncio.Future[Sequence[ScreenText]]] = set()
        self._asked: dict[object, tuple[int, float]] = {}

    @property
    def waiting_frames(self) -> int:
        """Frames that were asked for and are not read, those that are being read among them."""
        return sum(frames for frames, _ in self._asked.values())

    @property
    def oldest_s(self) -> float:
        """Seconds for which the oldest of them has waited."""
        return time.monotonic() - next(iter(self._asked.values()))[1] if self._asked else 0.0

    async def read(self, agent: str, frames: list[Record], *, emit: bool = True) -> Sequence[ScreenText]:
        """As `ScreenPool` says."""
        ticket = object()
        self._asked[ticket] = len(frames), time.monotonic()
        try:
            async with self._places:
                reading = asyncio.ensure_future(self._pool.read(agent, frames, emit=emit))
                self._carried.add(reading)
                reading.add_done_callback(self._let_out)
                return await asyncio.shield(reading)
        finally:
            del self._asked[ticket]

    def _let_out(self, reading: asyncio.Future[Sequence[ScreenText]]) -> None:
        self._carried.discard(reading)
        if not reading.cancelled():
            reading.exception()  # whoever still waits gets it; nobody else needs to hear
