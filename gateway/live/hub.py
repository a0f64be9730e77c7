"""The hub: agents that are connected here, and the rooms of those who watch or hear them.

Never holds anything back from Kafka: a room gets a copy on the way, and what a viewer does not take is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import structlog

from gateway.facts import now_ms
from gateway.live.distant import AWAY, DistantRoom
from gateway.live.outlet import Outlet
from gateway.live.room import LocalRoom, Present, Room, ScreenRoom
from gateway.live.sound import SoundRoom, split_host
from gateway.live.view import View
from schemas.errors import MalformedError, UnavailableError
from schemas.keyset import parse_payload
from schemas.kinds import StreamKind
from schemas.live import LIVE_STREAMS

if TYPE_CHECKING:
    from gateway.connection import AgentConnection
    from gateway.live.relay import Relay
    from gateway.live.tickets import Ticket
    from gateway.live.view import Seat
    from gateway.policy import Told
    from infra.metrics import Metrics
    from infra.settings import LiveSettings
    from schemas.frames import Hello, LiveState

log = structlog.get_logger()

AWAY_S = 60.0
"""An agent that has lost its connection may come back; after so long its viewers are sent away."""

SWEEP_S = 5.0
DEFAULT_LIVE = ("screen",)
"""What a policy allows that does not say."""


@lru_cache(maxsize=4096)
def _bound(payload: str) -> frozenset[str]:
    """Streams that a key set seals end to end; kept, since a list of agents asks for each of them."""
    try:
        return parse_payload(payload).bound if payload else frozenset()
    except MalformedError:
        return frozenset()


class Hub:
    """Live viewing of one gateway. Must be made on the running event loop; `sweep` runs beside."""

    def __init__(self, settings: LiveSettings, host: str, told: Callable[[], Told], metrics: Metrics) -> None:
        self._settings = settings
        self._host = host
        self._told = told
        self._metrics = metrics
        self.relay: Relay | None = None
        """By which agents of other gateways are seen; without it none are."""
        self._present: dict[str, Present] = {}
        self._rooms: dict[tuple[str, str], Room] = {}
        self._loop = asyncio.get_running_loop()

    # What the agent port tells.

    def came(self, connection: AgentConnection, hello: Hello) -> None:
        """An agent was welcomed."""
        peer = connection.peer
        assert peer
        live = frozenset(str(hello.detail.get("live", "")).split(",")) & LIVE_STREAMS
        present = Present(
            peer.agent_id,
            hello.user[:256],
            hello.computer[:256],
            live,
            split_host(peer.address),
            hello.time_ms - now_ms(),
            connection,
        )
        self._present[peer.agent_id] = present
        for key in self._rooms_of(peer.agent_id):
            self._bring_here(key, present)

    def gone(self, connection: AgentConnection) -> None:
        """An agent has no connection any more."""
        assert connection.peer
        agent_id = connection.peer.agent_id
        if self._present.pop(agent_id, None):
            for key in self._rooms_of(agent_id):
                self._send_away(key, AWAY)

    def said(self, connection: AgentConnection, state: LiveState) -> None:
        """What an agent says of a stream that it was asked for."""
        if connection.peer is None:
            return
        room = self._rooms.get((connection.peer.agent_id, str(state.detail.get("stream"))))
        if isinstance(room, LocalRoom) and room.present.connection is connection:
            room.said(str(state.detail.get("state"))[:16], str(state.detail.get("reason", ""))[:200])

    # What the API asks.

    def present(self) -> Iterable[Present]:
        """Agents that are connected to this gateway now."""
        return self._present.values()

    def find(self, agent_id: str) -> Present | None:
        """One of them."""
        return self._present.get(agent_id)

    def viewers(self, agent_id: str, what: str) -> int:
        """How many watch or hear it now, by this gateway."""
        room = self._rooms.get((agent_id, what))
        return room.viewers if room else 0

    def allows(self, what: str) -> str:
        """Why the policy does not allow to watch that stream; empty when it does."""
        policy = self._told().policy
        if policy.get("paused") is True:
            return "the policy says that nothing is recorded now"
        if what not in policy.get("streams", ()):
            return f"the policy does not record {what}: only what is recorded can be watched"
        if what not in policy.get("live", DEFAULT_LIVE):
            return f"the policy does not allow live {what}: its field `live` lists what may be watched"
        return ""

    def end_to_end(self, agent_id: str) -> bool:
        """Whether that agent's screens are sealed to officers' KEKs alone."""
        told = self._told()
        screen = StreamKind.SCREEN.label
        if screen in told.policy.get("end_to_end", ()):
            return True
        return screen in _bound(told.key_set_for(agent_id).get("payload", ""))

    # What the websockets ask.

    async def admit(self, ticket: Ticket) -> View:
        """`enter`, once it is known where the agent is; raises `UnavailableError` with words for the viewer."""
        known = ticket.agent_id in self._present or (ticket.agent_id, ticket.what) in self._rooms
        if self.relay and not known:
            await self.relay.look(ticket.agent_id)
        return self.enter(ticket)

    def enter(self, ticket: Ticket) -> View:
        """A view for whoever shows that ticket; raises `UnavailableError` with words for them."""
        if ticket.agent_id not in self._present and self.relay is None:
            raise UnavailableError("the agent is not connected to this server any more")
        if refusal := self.allows(ticket.what):
            raise UnavailableError(refusal)
        self.places(ticket.agent_id, ticket.what)
        view = View(ticket, self._settings.queue_bytes)
        self._room(ticket.agent_id, ticket.what).enter(view)
        self._metrics.gauge("gateway_live_viewers").labels(ticket.what).inc()
        return view

    def leave(self, view: View) -> None:
        """That view is over."""
        what = view.ticket.what
        if self._vacate((view.ticket.agent_id, what), view):
            self._metrics.gauge("gateway_live_viewers").labels(what).dec()

    def hold(self, view: View, *, holds: bool) -> None:
        """It is out of sight of its viewer, or in sight again: then it goes on with what stands by itself."""
        room = self._rooms.get((view.ticket.agent_id, view.ticket.what))
        if room and view.holds and not holds:
            view.tell("behind")
            room.freshen()
        view.holds = holds

    # What other gateways ask.

    def places(self, agent_id: str, what: str, besides: Seat | None = None) -> int:
        """How many more may look, were it not for who has the seat `besides`; raises `UnavailableError` for none."""
        room, seated = self._rooms.get((agent_id, what)), besides.viewers if besides else 0
        here = (room.viewers if room else 0) - seated
        if here >= self._settings.viewers_each:
            raise UnavailableError(f"{here} people watch already: no more may")
        everywhere = sum(one.viewers for one in self._rooms.values()) - seated
        if everywhere >= self._settings.viewers:
            raise UnavailableError("too many people watch now: try again later")
        return min(self._settings.viewers_each - here, self._settings.viewers - everywhere)

    def choose(self, tickets: tuple[Ticket, ...], besides: Seat | None) -> tuple[Ticket, ...]:
        """Those of one stream that may look, were it not for who has the seat `besides`, each by one seat alone.

        Raises `UnavailableError` when there is no place.
        """
        agent_id, what = tickets[0].agent_id, tickets[0].what
        room = self._rooms.get((agent_id, what))
        seats = [seat for seat in room.seats if seat is not besides] if room else []
        seated = {ticket.id for seat in seats for ticket in seat.tickets}
        chosen = tuple(ticket for ticket in tickets if ticket.id not in seated)
        if not chosen:
            raise UnavailableError("this ticket was used: ask for another")
        return chosen[: self.places(agent_id, what, besides)]

    def lend(self, outlet: Outlet) -> None:
        """Let those who look through another gateway in; the agent is here. Raises `UnavailableError`."""
        self._room(outlet.agent_id, outlet.what).enter(outlet)

    def refresh(self, outlet: Outlet, *, fresh: bool) -> None:
        """Others look through that gateway now, or somebody there needs a whole frame."""
        room = self._rooms.get((outlet.agent_id, outlet.what))
        if room and outlet in room.seats:
            room.refresh(fresh=fresh)
            room.tell_all()

    def release(self, outlet: Outlet) -> None:
        """Nobody looks through that gateway any more."""
        self._vacate((outlet.agent_id, outlet.what), outlet)

    # What goes on by itself.

    def end_all(self, reason: str) -> None:
        """Send every viewer away."""
        for room in self._rooms.values():
            for seat in room.seats:
                seat.end(reason)

    async def sweep(self) -> None:
        """Send viewers away whose agent does not come back, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for room in self._rooms.values():
                if room.away_since is not None and self._loop.time() - room.away_since > AWAY_S:
                    for seat in room.seats:
                        seat.end("the agent has not come back")

    def _room(self, agent_id: str, what: str) -> Room:
        """The room of that stream, opened when there is none."""
        key = agent_id, what
        if key not in self._rooms:
            present = self._present.get(agent_id)
            room = self._local(present, what, ()) if present else DistantRoom(agent_id, what, self.relay, self._count)
            room.open()
            self._rooms[key] = room
        return self._rooms[key]

    def _local(self, present: Present, what: str, seats: Iterable[Seat]) -> LocalRoom:
        if what == StreamKind.SCREEN.label:
            return ScreenRoom(present, self._count, seats)
        return SoundRoom(present, self._settings, self._host, self._count, seats)

    def _bring_here(self, key: tuple[str, str], present: Present) -> None:
        """What comes by another connection, or by another gateway, comes by this connection from now on."""
        before = self._rooms[key]
        room = self._local(present, key[1], before.seats)
        try:
            room.open()
        except UnavailableError as error:
            self._send_away(key, str(error), state="refused")
            return
        before.end()
        self._rooms[key] = room

    def _send_away(self, key: tuple[str, str], reason: str, state: str = "away") -> None:
        """Nothing comes by a connection of this gateway: tell those who look, and look for the agent elsewhere.

        Who looks through another gateway is told, and looks from there.
        """
        before = self._rooms[key]
        before.tell_all(state=state, reason=reason)
        before.end()
        for seat in before.seats:
            if isinstance(seat, Outlet):
                seat.end(reason)
        views = [seat for seat in before.seats if not isinstance(seat, Outlet)]
        if views:
            room = self._rooms[key] = DistantRoom(*key, self.relay, self._count, views)
            room.open(state=state, reason=reason)
        else:
            del self._rooms[key]

    def _vacate(self, key: tuple[str, str], seat: Seat) -> bool:
        """Nobody sits there any more; whether somebody did."""
        room = self._rooms.get(key)
        if room is None or seat not in room.seats:
            return False
        room.leave(seat)
        if not room.seats:
            del self._rooms[key]
            room.close()
        return True

    def _rooms_of(self, agent_id: str) -> list[tuple[str, str]]:
        return [key for key in self._rooms if key[0] == agent_id]

    def _count(self, what: str, amount: int) -> None:
        """An envelope's size, a packet, or a mishap."""
        if what == "envelope":
            self._metrics.counter("gateway_live_bytes_total").inc(amount)
        else:
            self._metrics.counter("gateway_live_events_total").labels(what).inc(amount)
