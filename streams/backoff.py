"""How long to wait before trying again: exponential, with full jitter.

Never gives up by itself; who waits decides when that is pointless.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of up to `first_s`, doubling up to `most_s`. `sleep` and `draw` are arguments for tests."""

    first_s: float = 0.2
    most_s: float = 10.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random

    async def wait(self, attempt: int) -> None:
        """Wait before attempt number `attempt` + 1; attempts count from 1."""
        ceiling = min(self.most_s, self.first_s * 2 ** min(attempt - 1, 16))
        await self.sleep(ceiling * (0.5 + self.draw() / 2))
