"""A room: everybody who watches one agent's screen, or hears its sound, and what the agent is asked for their sake.

Never asks an agent for what nobody wants, and never forgets to tell it that the last one has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.facts import now_ms
from schemas.envelope import EpochFlags, Peek
from schemas.frames import LiveStart, LiveStop
from schemas.kinds import StreamKind
from schemas.live import LEASE_S, MAX_VIEWER_KEYS, LiveMessage, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.connection import AgentConnection
    from gateway.live.view import Seat

Tee = Callable[[Peek, bytes], None]
"""Gets each envelope that an agent pushes, with its header. Never waits, never raises."""

FRESH_S = 2.0
"""A viewer who fell behind gets a whole frame so often at most."""

EARLIER_MS = 3000
"""What was captured so long before somebody came is still shown: clocks are not that exact."""

Count = Callable[[str, int], None]
"""Counts an envelope's size, a packet, or a mishap."""


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
    """Whoever looks at one stream of one agent, in the order in which they came. Closed after the last."""

    def __init__(self, seats: Iterable[Seat] = ()) -> None:
        self.seats: dict[Seat, None] = dict.fromkeys(seats)
        self.away_since: float | None = None
        """Since when nothing can come, loop time."""
        self._state: dict[str, Any] = {"state": "asked", "reason": ""}
        self._loop = asyncio.get_running_loop()

    @property
    def viewers(self) -> int:
        """People who look now."""
        return sum(seat.viewers for seat in self.seats)

    def enter(self, seat: Seat) -> None:
        """Somebody comes."""
        self.seats[seat] = None
        self.refresh(fresh=True)
        self.tell_all()

    def leave(self, seat: Seat) -> None:
        """Somebody goes; `close` the room after the last."""
        del self.seats[seat]
        if self.seats:
            self.refresh()
            self.tell_all()

    def close(self) -> None:
        """Nobody is here any more."""
        raise NotImplementedError

    def end(self) -> None:
        """Nothing comes by this way any more."""
        raise NotImplementedError

    def refresh(self, *, fresh: bool = False) -> None:
        """Ask for what those who are here want; `fresh`: beginning with what stands by itself."""
        raise NotImplementedError

    def freshen(self) -> None:
        """Somebody who is here already needs what stands by itself; sound does always."""

    def tell_all(self, **state: Any) -> None:
        """Tell everybody what became of it."""
        self._state.update(state)
        for seat in self.seats:
            seat.tell("state", **self._told())

    def begin_anew(self) -> None:
        """It comes by another way from now on: what was drawn before is no base for what comes next."""
        for seat in self.seats:
            seat.tell("behind")

    def _told(self) -> dict[str, Any]:
        return {**self._state, "viewers": self.viewers, "ahead_ms": 0, "server_ms": now_ms()}


class LocalRoom(Room):
    """The room of an agent that is connected here, by the connection that it has now."""

    what = ""

    def __init__(self, present: Present, seats: Iterable[Seat] = ()) -> None:
        super().__init__(seats)
        self.present = present
        self._renewing: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin, for those who are here already."""
        if self.seats:
            self.begin_anew()
            self.refresh(fresh=True)
            self.tell_all()

    def close(self) -> None:
        """Nobody is here any more."""
        self.end()
        self.present.connection.tell(LiveStop({"stream": self.what}))

    def end(self) -> None:
        """Nothing comes by this connection any more."""
        if self._renewing:
            self._renewing.cancel()

    def said(self, state: str, reason: str) -> None:
        """What the agent says of it."""
        self.tell_all(state=state, reason=reason)

    def refresh(self, *, fresh: bool = False) -> None:
        """Tell the agent who is here now, and again in time."""
        if self._renewing:
            self._renewing.cancel()
        self._renewing = self._loop.call_later(LEASE_S / 3, self.refresh)
        self._send(fresh=fresh)

    def _send(self, *, fresh: bool) -> None:
        raise NotImplementedError

    def _told(self) -> dict[str, Any]:
        return {**super()._told(), "ahead_ms": self.present.ahead_ms}


class ScreenRoom(LocalRoom):
    """The viewers of one screen: they get copies of the sealed envelopes, those that are for them."""

    what = StreamKind.SCREEN.label

    def __init__(self, present: Present, count: Count, seats: Iterable[Seat] = ()) -> None:
        super().__init__(present, seats)
        self._since_ms = now_ms() - EARLIER_MS
        self._freshener = Freshener(self)
        self._count = count

    def end(self) -> None:
        """Nothing comes by this connection any more."""
        super().end()
        self._freshener.cancel()
        self.present.connection.tee = None

    def freshen(self) -> None:
        """A whole frame is asked for, now or soon."""
        self._freshener.ask()

    def tee(self, seen: Peek, envelope: bytes) -> None:
        """An envelope of this agent has come."""
        if seen.record.kind is not StreamKind.SCREEN:
            return
        sealed = bool(seen.epoch.flags & EpochFlags.END_TO_END)
        if sealed and seen.record.capture_ms - self.present.ahead_ms < self._since_ms:
            return
        hand_on(self.seats, seen, envelope, self._count, self._freshener)

    def _send(self, *, fresh: bool) -> None:
        if fresh:
            self._freshener.note()
        self.present.connection.tee = self.tee
        keys = dict.fromkeys(ticket.viewer_key for seat in self.seats for ticket in seat.tickets if ticket.viewer_key)
        watch = Watch(tuple(sorted(keys))[:MAX_VIEWER_KEYS], self.viewers, fresh=fresh)
        self.present.connection.tell(LiveStart(watch.to_detail()))


class Freshener:
    """Asks for a whole frame for who fell behind, every `FRESH_S` at most."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._at = 0.0
        self._waiting: asyncio.TimerHandle | None = None

    def note(self) -> None:
        """One was asked for just now."""
        self._at = self._loop.time()

    def ask(self) -> None:
        """Somebody needs one."""
        if self._waiting is None:
            wait_s = max(0.0, self._at + FRESH_S - self._loop.time())
            self._waiting = self._loop.call_later(wait_s, self._ask_now)

    def cancel(self) -> None:
        """Nobody does any more."""
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _ask_now(self) -> None:
        self._waiting = None
        self._room.refresh(fresh=True)


def hand_on(seats: Iterable[Seat], seen: Peek, envelope: bytes, count: Count, freshener: Freshener) -> None:
    """Give an envelope to those for whom it is; who has no place for it begins anew with a whole frame."""
    for seat in seats:
        if seat.wants(seen):
            count("envelope", len(envelope))
            if not seat.offer(LiveMessage.ENVELOPE, envelope):
                count("behind", 1)
                seat.tell("behind")
                freshener.ask()
