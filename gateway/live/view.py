"""One viewer's queue: what is to be sent, bounded in bytes.

Never keeps more than its limit for a viewer who does not read: then all that waits is dropped, and what comes next
begins anew.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from schemas.envelope import EpochFlags
from schemas.live import LiveMessage

if TYPE_CHECKING:
    from gateway.live.tickets import Ticket
    from schemas.envelope import Peek

STATUS_LIMIT = 256
"""Changes of state that may wait; more are a fault of ours, or of an agent that says them all the time."""


class Seat:
    """A place in a room: of one viewer, or of all those who look through another gateway."""

    def __init__(self, tickets: tuple[Ticket, ...], max_bytes: int) -> None:
        self.end_reason = ""
        """Why the gateway ends it, once it does."""
        self.sent = 0
        """Messages that were taken from the queue."""
        self.dropped = 0
        self._max_bytes = max_bytes
        self._queue: deque[bytes] = deque()
        self._statuses: deque[bytes] = deque(maxlen=STATUS_LIMIT)
        self._held = 0
        self._more = asyncio.Event()
        self.seat(tickets)

    def seat(self, tickets: tuple[Ticket, ...]) -> None:
        """Those for whom it is from now on."""
        self.tickets = tickets
        self.key_ids = frozenset(ticket.viewer_key_id for ticket in tickets)

    @property
    def viewers(self) -> int:
        """How many people sit there."""
        return len(self.tickets)

    def wants(self, seen: Peek) -> bool:
        """Whether an envelope is sealed to somebody here, or to officers' KEKs alone."""
        return bool(seen.epoch.flags & EpochFlags.END_TO_END) or not self.key_ids.isdisjoint(seen.epoch.key_ids)

    def offer(self, kind: LiveMessage, payload: bytes) -> bool:
        """Queue a message; false when the viewer has fallen behind and everything that waited was dropped."""
        size = len(payload) + 1
        fits = self._held + size <= self._max_bytes
        if not fits:
            self.dropped += len(self._queue) + 1
            self._queue.clear()
            self._held = 0
            return False
        self._queue.append(bytes((kind,)) + payload)
        self._held += size
        self._more.set()
        return True

    def tell(self, kind: str, **values: Any) -> None:
        """Queue a status, which goes before everything else."""
        self._statuses.append(bytes((LiveMessage.STATUS,)) + json.dumps({"kind": kind, **values}).encode())
        self._more.set()

    def end(self, reason: str) -> None:
        """Let `take` return nothing more."""
        self.end_reason = self.end_reason or reason
        self._more.set()

    async def take(self) -> bytes | None:
        """The next message, when there is one; `None` once the view is over."""
        while True:
            if self._statuses:
                return self._statuses.popleft()
            if self.end_reason:
                return None
            if self._queue:
                message = self._queue.popleft()
                self._held -= len(message)
                self.sent += 1
                return message
            self._more.clear()
            await self._more.wait()


class View(Seat):
    """One websocket's view of one agent's screen or sound."""

    def __init__(self, ticket: Ticket, max_bytes: int) -> None:
        super().__init__((ticket,), max_bytes)
        self.ticket = ticket
        self.holds = False
        """Nobody looks at it now: it is out of sight. What comes meanwhile is not kept."""

    def wants(self, seen: Peek) -> bool:
        """As of any seat, while somebody looks."""
        return not self.holds and super().wants(seen)
