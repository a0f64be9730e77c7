"""The audit of what is looked at: one entry before anything is shown, one after five minutes that says what it was.

Never lets a request through that no stored entry covers. The first entry (`begun`) covers some time around what was
asked for, so that who plays on is not written down at every step; the second (`done`) tells exactly what was shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from schemas.errors import SealstreamError

log = structlog.get_logger(__name__)

WINDOW_S = 300.0
REACH_MS = 30 * 60_000
"""A first entry covers so much time before and after what was asked for."""

JOINED_MS = 10_000
"""Stretches that are so near each other are told as one."""

MOST_STRETCHES = 20
_LOOK_S = 10.0


class Look(NamedTuple):
    """Who looks at what."""

    actor: str
    agent: str
    stream: str
    purpose: str


Stretch = tuple[int, int]
Write = Callable[[str, Sequence[Stretch]], Awaitable[None]]
"""Writes an entry with its outcome and the times that it is about; raises when it is not stored."""


@dataclass(slots=True)
class _Entry:
    write: Write
    until_s: float = 0.0
    covers: Stretch = (0, 0)
    shown: list[Stretch] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Seen:
    """What entries cover."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[Look, _Entry] = {}
        self._telling: asyncio.Task[None] | None = None

    async def note(self, look: Look, since_ms: int, until_ms: int, write: Write) -> None:
        """Return when an entry is stored that covers this."""
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_old(), name="seen")
        entry = self._entries.setdefault(look, _Entry(write))
        async with entry.lock:
            covered = entry.covers[0] <= since_ms and until_ms <= entry.covers[1]
            if not covered or self._clock() >= entry.until_s:
                await self._tell(entry)
                covers = (max(0, since_ms - REACH_MS), until_ms + REACH_MS)
                await write("begun", [covers])
                entry.write, entry.covers, entry.until_s = write, covers, self._clock() + WINDOW_S
            entry.shown = join_stretches([*entry.shown, (since_ms, until_ms)])
            self._entries[look] = entry

    async def close(self) -> None:
        """Tell what is not told yet."""
        if self._telling is not None:
            self._telling.cancel()
        for entry in self._entries.values():
            await self._tell(entry)
        self._entries.clear()

    async def tell_old(self) -> None:
        """Tell what was shown in the windows that are over."""
        now_s = self._clock()
        for look, entry in list(self._entries.items()):
            if now_s >= entry.until_s and not entry.lock.locked():
                async with entry.lock:
                    del self._entries[look]
                    await self._tell(entry)

    async def _tell_old(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.tell_old()

    @staticmethod
    async def _tell(entry: _Entry) -> None:
        """The second entry; without it the first one stands, which covers more."""
        shown, entry.shown = entry.shown, []
        if not shown:
            return
        try:
            await entry.write("done", shown)
        except SealstreamError as error:
            log.warning("view_not_told", reason=str(error))


def join_stretches(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches in order, those near each other as one; at most `MOST_STRETCHES`, the rest joined to the last."""
    joined: list[Stretch] = []
    for since_ms, until_ms in sorted(stretches):
        if joined and (since_ms - joined[-1][1] <= JOINED_MS or len(joined) == MOST_STRETCHES):
            joined[-1] = (joined[-1][0], max(joined[-1][1], until_ms))
        else:
            joined.append((since_ms, until_ms))
    return joined


def told(stretches: Sequence[Stretch]) -> dict[str, str]:
    """How an entry says of which times it is."""
    first, last = stretches[0][0], max(until_ms for _, until_ms in stretches)
    detail = {"since_ms": str(first), "until_ms": str(last)}
    if len(stretches) > 1:
        detail["stretches"] = ",".join(f"{since_ms}-{until_ms}" for since_ms, until_ms in stretches)
    return detail
