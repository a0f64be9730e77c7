"""A lock among the processes of a node, by a file: one at a time does what concerns files that all of them read.

Never outlives its process, and never blocks the event loop.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.errors import UnavailableError

WITHIN_S = 10.0
LOOK_S = 0.02


@asynccontextmanager
async def hold_alone(path: Path, within_s: float = WITHIN_S, look_s: float = LOOK_S) -> AsyncIterator[None]:
    """Hold the lock of that file, asked for every `look_s`; raises `UnavailableError` when another has it that long."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as lock:
        for _ in range(round(within_s / look_s)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(look_s)
            else:
                break
        else:
            raise UnavailableError(f"another process of this node has held {path} for {within_s:.0f} s")
        yield
