"""Time as an argument: the system's clock, and one that moves only when a test says so.

No other module of the agent reads a clock or sleeps.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """What the agent asks of time."""

    def now_us(self) -> int:
        """Wall clock, microseconds since 1970-01-01 UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait, by `monotonic`."""


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Wall clock, microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands until `advance` moves it; sleepers wake in the order of their times."""

    def __init__(self, start_us: int = 1_795_420_800_000_000) -> None:
        self._start_us = start_us
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_us(self) -> int:
        """Start and what was advanced, microseconds."""
        return self._start_us + round(self._elapsed * 1_000_000)

    def monotonic(self) -> float:
        """Seconds that were advanced."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on, waking each sleeper at its time and letting what it woke run until it waits again."""
        until = self._elapsed + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, woken = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, at)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._elapsed = until

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def wait_at_most(clock: Clock, awaited: Coroutine[Any, Any, T], seconds: float) -> T:
    """What `awaited` gives, or `TimeoutError` after `seconds` of `clock`; `awaited` is cancelled then."""
    task = asyncio.ensure_future(awaited)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        alarm.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
