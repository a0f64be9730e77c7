"""A room: everybody who watches one agent's screen, or hears its sound, and what the agent is asked for their sake.

Never asks an agent for what nobody wants, and never forgets to tell it that the last one has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from gateway.facts import now_ms
from schemas.envelope import EpochFlags, Peek
from schemas.frames import LiveStart, LiveStop
from schemas.kinds import StreamKind
from schemas.live import LEASE_S, MAX_VIEWER_KEYS, LiveMessage, Watch

if TYPE_CHECKING:
    from gateway.connection import AgentConnection
    from gateway.live.view import View

log = structlog.get_logger()

Tee = Callable[[Peek, bytes], None]
"""Gets each envelope that an agent pushes, with its header. Never waits, never raises."""

FRESH_S = 2.0
"""A viewer who fell behind gets a whole frame so often at most."""

EARLIER_MS = 3000
"""What was captured so long before somebody came is still shown: clocks are not that exact."""


@dataclass(frozen=True, slots=True)
class Present:
    """An agent that is connected to this gateway now. `ahead_ms`: how much its clock is ahead of ours."""

    agent_id: str
    user: str
    computer: str
    live: frozenset[str]
    host: str
    ahead_ms: int
    connection: AgentConnection


class Room:
    """What screens and sound have in common. Made for the first view, closed after the last."""

    what = ""

    def __init__(self, present: Present) -> None:
        self.present: Present | None = present
        self.views: set[View] = set()
        self.away_since: float | None = None
        self._state: dict[str, Any] = {"state": "asked", "reason": ""}
        self._loop = asyncio.get_running_loop()
        self._renewing: asyncio.TimerHandle | None = None

    def enter(self, view: View) -> None:
        """Somebody comes."""
        self.views.add(view)
        self._ask(fresh=True)
        view.tell("state", **self._told())

    def leave(self, view: View) -> None:
        """Somebody goes; `close` the room after the last."""
        self.views.discard(view)
        if self.views:
            self._ask()

    def close(self) -> None:
        """Nobody is here any more."""
        if self._renewing:
            self._renewing.cancel()
        if self.present:
            self.present.connection.tell(LiveStop({"stream": self.what}))

    def came_back(self, present: Present) -> None:
        """The agent has another connection."""
        self.present, self.away_since = present, None
        self._ask(fresh=True)
        self._tell_all(state="asked", reason="")

    def gone(self) -> None:
        """The agent has lost its connection; it may come back."""
        self.present, self.away_since = None, self._loop.time()
        self._tell_all(state="away", reason="the agent is not connected")

    def said(self, state: str, reason: str) -> None:
        """What the agent says of it."""
        self._tell_all(state=state, reason=reason)

    def _ask(self, *, fresh: bool = False) -> None:
        """Tell the agent who is here now, and again in time."""
        if self._renewing:
            self._renewing.cancel()
        self._renewing = self._loop.call_later(LEASE_S / 3, self._ask)
        if self.present:
            self._send(self.present, fresh=fresh)

    def _send(self, present: Present, *, fresh: bool) -> None:
        raise NotImplementedError

    def _told(self) -> dict[str, Any]:
        ahead_ms = self.present.ahead_ms if self.present else 0
        return {**self._state, "viewers": len(self.views), "ahead_ms": ahead_ms, "server_ms": now_ms()}

    def _tell_all(self, **state: Any) -> None:
        self._state.update(state)
        for view in self.views:
            view.tell("state", **self._told())


class ScreenRoom(Room):
    """The viewers of one screen: they get copies of the sealed envelopes, those that are for them."""

    what = StreamKind.SCREEN.label

    def __init__(self, present: Present, count: Callable[[str, int], None]) -> None:
        super().__init__(present)
        self._since_ms = now_ms() - EARLIER_MS
        self._fresh_at = 0.0
        self._freshening: asyncio.TimerHandle | None = None
        self._count = count

    def close(self) -> None:
        """Nobody is here any more."""
        super().close()
        if self._freshening:
            self._freshening.cancel()
        if self.present:
            self.present.connection.tee = None

    def tee(self, seen: Peek, envelope: bytes) -> None:
        """An envelope of this agent has come."""
        if seen.record.kind is not StreamKind.SCREEN or self.present is None:
            return
        sealed = bool(seen.epoch.flags & EpochFlags.END_TO_END)
        if sealed and seen.record.capture_ms - self.present.ahead_ms < self._since_ms:
            return
        for view in self.views:
            if sealed or view.key_id in seen.epoch.key_ids:
                self._count("envelope", len(envelope))
                if not view.offer(LiveMessage.ENVELOPE, envelope):
                    self._count("behind", 1)
                    view.tell("behind")
                    self._freshen()

    def _freshen(self) -> None:
        """Ask for a frame that stands by itself, soon."""
        if self._freshening is None:
            wait_s = max(0.0, self._fresh_at + FRESH_S - self._loop.time())
            self._freshening = self._loop.call_later(wait_s, self._freshen_now)

    def _freshen_now(self) -> None:
        self._freshening = None
        self._ask(fresh=True)

    def _send(self, present: Present, *, fresh: bool) -> None:
        if fresh:
            self._fresh_at = self._loop.time()
        present.connection.tee = self.tee
        keys = dict.fromkeys(view.ticket.viewer_key for view in self.views if view.ticket.viewer_key)
        watch = Watch(tuple(sorted(keys))[:MAX_VIEWER_KEYS], len(self.views), fresh=fresh)
        present.connection.tell(LiveStart(watch.to_detail()))
