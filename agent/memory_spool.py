"""A spool in memory: for simulated agents, which are many, and for tests.

Never for a person's recording: what it holds is gone with the process.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from agent.bell import Bell
from agent.gap import Gap, GapReason, Mark, gaps_of
from agent.ledger import Ledger
from agent.spool import Backlog, Lent, Owed


class _Held(NamedTuple):
    number: int
    envelope: bytes
    mark: Mark


class MemorySpool:
    """`agent.spool.Spool` in memory: at most `max_bytes` of envelopes, the oldest are dropped first."""

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._held: deque[_Held] = deque()
        self._lent = 0
        self._next = 0
        self._bytes = 0
        self._ledger = Ledger()
        self._bell = Bell()

    def append(self, envelope: bytes, mark: Mark) -> None:
        """Take an envelope; drops the oldest when there are too many."""
        self._held.append(_Held(self._next, envelope, mark))
        self._next += 1
        self._bytes += len(envelope)
        while self._bytes > self._max_bytes and len(self._held) > 1:
            lost = self._pop()
            for gap in gaps_of([(lost.mark, len(lost.envelope))], GapReason.SPOOL_FULL, "the spool was full"):
                self.owe(gap)
        self._bell.ring()

    async def room(self) -> None:
        """There is always room."""

    async def flush(self) -> None:
        """Nothing gets more durable than it is."""

    def take(self, max_bytes: int) -> list[Lent]:
        """The next envelopes, at most `max_bytes` of them; lent until they are released."""
        taken: list[Lent] = []
        while self._lent < len(self._held):
            held = self._held[self._lent]
            max_bytes -= len(held.envelope)
            if max_bytes < 0:
                break
            taken.append(Lent(held.number, held.envelope))
            self._lent += 1
        return taken

    async def more(self) -> None:
        """Wait until `take` may give something that it did not give before."""
        await self._bell.until(lambda: self._lent < len(self._held))

    def rewind(self) -> None:
        """Offer again what was lent and not released."""
        self._lent = 0
        self._bell.ring()

    def release(self, next_number: int) -> None:
        """Forget every envelope below `next_number`."""
        while self._lent and self._held[0].number < next_number:
            self._pop()

    def quarantine(self, number: int, reason: str) -> None:
        """Owe a gap for a lent envelope that the server refuses."""
        for held in self._held:
            if held.number == number:
                for gap in gaps_of([(held.mark, len(held.envelope))], GapReason.NOT_STORABLE, reason):
                    self.owe(gap)

    def owe(self, gap: Gap) -> None:
        """Remember a gap until it was told."""
        self._ledger.owe(gap)
        self._bell.ring()

    def owed(self) -> list[Owed]:
        """Gaps that were not told yet, oldest first."""
        return [Owed(number, gap) for number, gap in self._ledger.owed.items()]

    async def gap_owed(self) -> None:
        """Wait until there is a gap to tell."""
        await self._bell.until(lambda: bool(self._ledger.owed))

    def settle(self, ids: list[int]) -> None:
        """These gaps were told."""
        for number in ids:
            self._ledger.owed.pop(number, None)

    def backlog(self) -> Backlog:
        """What waits to be acknowledged."""
        return Backlog(len(self._held), self._bytes, self._held[0].mark.until_us // 1000 if self._held else None)

    def recording(self, streams: frozenset[str]) -> None:
        """A kill leaves nothing behind to say what was lost."""

    async def close(self) -> None:
        """Nothing to keep."""

    def _pop(self) -> _Held:
        held = self._held.popleft()
        self._bytes -= len(held.envelope)
        self._lent = max(0, self._lent - 1)
        return held
