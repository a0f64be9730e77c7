"""Waiting for what other tasks and threads do, without guessing how long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def wait_until(fact: Callable[[], bool], seconds: float = 60) -> None:
    """Let tasks and threads run until `fact` holds; fails after `seconds`."""

    async def look() -> None:
        while not fact():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)

    await asyncio.sleep(0.02)
    await asyncio.wait_for(look(), seconds)
