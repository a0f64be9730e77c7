"""Courtesy: a replay stands back while the live group falls behind, and keeps to a rate when told to.

Never waits for a live group that does not move: where no worker runs there is nothing to give way to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

LOOK_S = 2.0
QUIET_LAG = 200
"""A live lag of so few records is nothing to stand back for."""

Lag = Callable[[], Awaitable[tuple[int, int]]]
"""Records that the live group has still to settle, and the sum of its next offsets."""


class Courtesy:
    """Decides, between batches, whether to go on. `paused` says that live traffic has the way."""

    def __init__(
        self,
        lag: Lag,
        *,
        records_per_s: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lag = lag
        self._rate = records_per_s
        self._sleep = sleep
        self._clock = clock
        self._looked = clock() - LOOK_S
        self._before = (0, 0)
        self._began = clock()
        self._taken = 0
        self.paused = False

    async def give_way(self, records: int) -> None:
        """Return when `records` more may be taken."""
        if self._clock() - self._looked >= LOOK_S:
            await self._look()
            while self.paused:
                await self._sleep(LOOK_S)
                await self._look()
        self._taken += records
        if self._rate:
            ahead_s = self._taken / self._rate - (self._clock() - self._began)
            if ahead_s > 0:
                await self._sleep(ahead_s)

    async def _look(self) -> None:
        lag, reached = await self._lag()
        growing, moving = lag > self._before[0], reached > self._before[1]
        was_paused = self.paused
        self._before = lag, reached
        self._looked = self._clock()
        self.paused = lag > QUIET_LAG and moving and (growing or was_paused)
        if self.paused != was_paused:
            log.info("replay_gives_way" if self.paused else "replay_goes_on", live_lag=lag)
