"""A bell: wakes whoever waits for something to change.

Never says what changed: who wakes looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Rings for all who wait now; nobody who comes later hears it."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake everybody."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait until `fact` holds, looking at each ring."""
        while not fact():
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                await waiting
            finally:
                self._waiting.discard(waiting)
