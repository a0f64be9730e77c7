"""The room of an agent that is not connected here: what its viewers see comes from the gateway that has it.

Never ends because an agent moves: it looks for the gateway that has it now, and asks there.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any

import structlog

from gateway.facts import now_ms
from gateway.live.channel import STREAM_BYTES, Kind, Opener, Sealer
from gateway.live.room import Count, Freshener, Room, hand_on
from schemas.envelope import peek
from schemas.errors import UnavailableError
from schemas.live import LiveMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.live.relay import Relay
    from gateway.live.view import Seat

log = structlog.get_logger()

SEEK_S = 0.5
"""So often it is asked where an agent is now."""

RENEW_S = 2.0
LEASE_S = 8.0
"""A gateway that is not asked again for so long shows nothing more, and asks the agent for nothing more."""

LOST_S = 7.0
"""A gateway that does not answer for so long has not got the agent, or is no more."""

AWAY = "the agent is not connected; it may be on its way to another server"
SILENT = "the server that has the agent does not answer: its time and its key of live tickets must be those of this one"
NO_REDIS = "the agent is not connected to this server, and Redis, through which others show it, does not answer"


class Tie:
    """One gateway that was asked, from then until it shows nothing more."""

    def __init__(self, secret: bytes, own: str, gateway: str, now: float) -> None:
        self.gateway = gateway
        self.stream = secrets.token_bytes(STREAM_BYTES)
        self.sealer = Sealer(secret, Kind.ASK, self.stream, gateway)
        self.opener = Opener(secret, Kind.SHOW, self.stream, own)
        self.heard_at = now
        self.answered = False
        self.held = False
        """It shows what was asked for."""
        self.lost = False
        """It said that it does not, or is no more."""


class DistantRoom(Room):
    """One of them. Without a `relay` its viewers wait for the agent to come here."""

    def __init__(self, agent_id: str, what: str, relay: Relay | None, count: Count, seats: Iterable[Seat] = ()) -> None:
        super().__init__(seats)
        self.agent_id, self.what = agent_id, what
        self.away_since = self._loop.time()
        self._relay = relay
        self._count = count
        self._wake = asyncio.Event()
        self._fresh = False
        self._freshener = Freshener(self)
        self._tie: Tie | None = None
        self._total: int | None = None
        """How many look, here and elsewhere, as the other gateway says."""
        self._ahead_ms = 0
        self._following: asyncio.Task[None] | None = None

    def open(self, **state: str) -> None:
        """Begin to look for the agent; `state` is what those who are here were told."""
        self._state.update(state)
        if self._relay:
            self._following = self._relay.start(self._follow(self._relay))

    def close(self) -> None:
        """Nobody is here any more."""
        self.end()

    def end(self) -> None:
        """It comes by another way."""
        self._freshener.cancel()
        if self._following:
            self._following.cancel()

    def freshen(self) -> None:
        """A whole frame is asked for, now or soon."""
        self._freshener.ask()

    def refresh(self, *, fresh: bool = False) -> None:
        """Tell the other gateway who is here now, soon."""
        self._fresh = self._fresh or fresh
        if fresh:
            self._freshener.note()
        self._wake.set()

    # What comes from the other gateway.

    def take(self, message: bytes) -> None:
        """A message of the stream that was asked for; raises `MalformedError` for what is forged, or not understood."""
        if self._tie is None:
            return
        data = self._tie.opener.open(message)
        self._tie.heard_at, self._tie.answered = self._loop.time(), True
        kind, payload = data[0], data[1:]
        if kind == LiveMessage.STATUS:
            self._hear(self._tie, dict(json.loads(payload)))
        elif kind == LiveMessage.SOUND:
            for seat in self.seats:
                seat.offer(LiveMessage.SOUND, payload)
        elif kind == LiveMessage.ENVELOPE:
            hand_on(self.seats, peek(payload), payload, self._count, self._freshener)

    def _hear(self, tie: Tie, status: dict[str, Any]) -> None:
        match status.get("kind"):
            case "held":
                self._hold(tie, set(status["full"]))
            case "refused":
                for seat in self.seats:
                    seat.end(str(status.get("reason")))
            case "absent":
                self._lose(tie)
            case "behind":
                self.begin_anew()
            case "state" if status.get("state") == "away":
                self._lose(tie)
            case "state":
                self._total = int(status["viewers"])
                self._ahead_ms = int(status["ahead_ms"]) + int(status["server_ms"]) - now_ms()
                self.tell_all(state=str(status["state"]), reason=str(status["reason"]))

    def _hold(self, tie: Tie, full: set[str]) -> None:
        """It shows what was asked for, but to those with the tickets `full`, for whom there is no place."""
        if not tie.held:
            tie.held = True
            self.away_since = None
            self.begin_anew()
            self.tell_all(state="asked", reason="")
        for seat in self.seats:
            if any(ticket.id in full for ticket in seat.tickets):
                seat.end("so many people watch already that no more may")

    def _lose(self, tie: Tie) -> None:
        tie.lost = True
        self._wake.set()

    # What goes on by itself.

    async def _follow(self, relay: Relay) -> None:
        """Look for the agent, and hold on to whoever has it, until cancelled."""
        while True:
            gateway = await self._seek(relay)
            self._tie = tie = Tie(relay.secret, relay.own, gateway, self._loop.time())
            relay.listen(tie.stream, self)
            try:
                await self._hold_on(relay, tie)
                self._note_away(AWAY if tie.answered or tie.lost else SILENT)
            except UnavailableError:
                self._note_away(NO_REDIS)
            finally:
                self._tie = None
                relay.let_go(tie, self.agent_id, self.what)
            await asyncio.sleep(SEEK_S)

    async def _seek(self, relay: Relay) -> str:
        """The gateway that has the agent, once another one does."""
        while True:
            gateway = await relay.find(self.agent_id)
            if not relay.bus.up:
                self._note_away(NO_REDIS)
            elif gateway and gateway != relay.own:
                return gateway
            await asyncio.sleep(SEEK_S)

    async def _hold_on(self, relay: Relay, tie: Tie) -> None:
        """Ask, and again in time; returns when that gateway has not got the agent any more."""
        self._fresh = True
        while not tie.lost and self._loop.time() - tie.heard_at < LOST_S:
            fresh, self._fresh = self._fresh, False
            self._wake.clear()
            tickets = [ticket for seat in self.seats for ticket in seat.tickets]
            if not await relay.ask(tie, self.agent_id, self.what, tickets, fresh=fresh):
                tie.lost = True  # nobody listens there
                return
            try:
                async with asyncio.timeout(RENEW_S):
                    await self._wake.wait()
            except TimeoutError:
                if await relay.find(self.agent_id) not in ("", tie.gateway):
                    return

    def _note_away(self, reason: str) -> None:
        if self.away_since is None:
            self.away_since = self._loop.time()
        self._total = None
        told = {"state": "away", "reason": reason}
        if told.items() - self._state.items():
            self.tell_all(**told)

    def _told(self) -> dict[str, Any]:
        viewers = self.viewers if self._total is None else self._total
        return {**super()._told(), "viewers": viewers, "ahead_ms": self._ahead_ms}
