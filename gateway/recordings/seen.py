"""The audit of what is looked at: one entry for each person, agent, purpose and five minutes, before anything is shown.

Never lets a request through whose entry is not stored, and never tells of less than what was shown: what an entry does
not cover yet gets one of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_S = 300.0
REACH_MS = 30 * 60_000
"""An entry covers so much time before and after what was asked for: who plays on is not written down at every step."""

MOST_KEPT = 10_000


class Look(NamedTuple):
    """Who looks at what."""

    actor: str
    agent: str
    stream: str
    purpose: str


@dataclass(slots=True)
class _Entry:
    until_s: float
    since_ms: int
    until_ms: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


Write = Callable[[int, int], Awaitable[None]]
"""Writes an entry that covers from when until when; raises when it is not stored."""


class Seen:
    """What entries cover."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[Look, _Entry] = OrderedDict()

    async def note(self, look: Look, since_ms: int, until_ms: int, write: Write) -> None:
        """Return when an entry is stored that covers this."""
        entry = self._entries.setdefault(look, _Entry(0.0, 0, 0))
        self._entries.move_to_end(look)
        if len(self._entries) > MOST_KEPT:
            self._entries.popitem(last=False)
        async with entry.lock:
            covered = entry.since_ms <= since_ms and until_ms <= entry.until_ms
            if covered and self._clock() < entry.until_s:
                return
            told = max(0, since_ms - REACH_MS), until_ms + REACH_MS
            await write(*told)
            entry.until_s, (entry.since_ms, entry.until_ms) = self._clock() + WINDOW_S, told
