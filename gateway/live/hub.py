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
from gateway.live.room import Present, Room, ScreenRoom
from gateway.live.sound import SoundRoom, split_host
from gateway.live.view import View
from schemas.errors import MalformedError, UnavailableError
from schemas.keyset import parse_payload
from schemas.kinds import StreamKind
from schemas.live import LIVE_STREAMS

if TYPE_CHECKING:
    from gateway.connection import AgentConnection
    from gateway.live.tickets import Ticket
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
        for room in self._rooms_of(peer.agent_id):
            room.came_back(present)

    def gone(self, connection: AgentConnection) -> None:
        """An agent has no connection any more."""
        assert connection.peer
        agent_id = connection.peer.agent_id
        if self._present.pop(agent_id, None):
            for room in self._rooms_of(agent_id):
                room.gone()

    def said(self, connection: AgentConnection, state: LiveState) -> None:
        """What an agent says of a stream that it was asked for."""
        if connection.peer is None:
            return
        room = self._rooms.get((connection.peer.agent_id, str(state.detail.get("stream"))))
        if room and room.present and room.present.connection is connection:
            room.said(str(state.detail.get("state"))[:16], str(state.detail.get("reason", ""))[:200])

    # What the API asks.

    def present(self) -> Iterable[Present]:
        """Agents that are connected to this gateway now."""
        return self._present.values()

    def find(self, agent_id: str) -> Present | None:
        """One of them."""
        return self._present.get(agent_id)

    def viewers(self, agent_id: str, what: str) -> int:
        """How many watch or hear it now."""
        room = self._rooms.get((agent_id, what))
        return len(room.views) if room else 0

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

    def enter(self, ticket: Ticket) -> View:
        """A view for whoever shows that ticket; raises `UnavailableError` with words for them."""
        present = self._present.get(ticket.agent_id)
        if present is None:
            raise UnavailableError("the agent is not connected to this server any more")
        if refusal := self.allows(ticket.what):
            raise UnavailableError(refusal)
        room = self._rooms.get((ticket.agent_id, ticket.what))
        if room and len(room.views) >= self._settings.viewers_each:
            raise UnavailableError(f"{len(room.views)} people watch already: no more may")
        if sum(len(one.views) for one in self._rooms.values()) >= self._settings.viewers:
            raise UnavailableError("too many people watch now: try again later")
        if room is None:
            room = self._rooms[ticket.agent_id, ticket.what] = self._open_room(present, ticket.what)
        view = View(ticket, self._settings.queue_bytes)
        room.enter(view)
        self._metrics.gauge("gateway_live_viewers").labels(ticket.what).inc()
        return view

    def leave(self, view: View) -> None:
        """That view is over."""
        key = view.ticket.agent_id, view.ticket.what
        room = self._rooms.get(key)
        if room is None or view not in room.views:
            return
        self._metrics.gauge("gateway_live_viewers").labels(view.ticket.what).dec()
        room.leave(view)
        if not room.views:
            del self._rooms[key]
            room.close()

    def end_all(self, reason: str) -> None:
        """Send every viewer away."""
        for room in self._rooms.values():
            for view in room.views:
                view.end(reason)

    async def sweep(self) -> None:
        """Send viewers away whose agent does not come back, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for room in self._rooms.values():
                if room.away_since is not None and self._loop.time() - room.away_since > AWAY_S:
                    for view in room.views:
                        view.end("the agent has not come back")

    def _open_room(self, present: Present, what: str) -> Room:
        if what == StreamKind.SCREEN.label:
            return ScreenRoom(present, self._count)
        room = SoundRoom(present, self._settings, self._host, self._count)
        room.open()
        return room

    def _rooms_of(self, agent_id: str) -> list[Room]:
        return [room for (agent, _), room in self._rooms.items() if agent == agent_id]

    def _count(self, what: str, amount: int) -> None:
        """An envelope's size, a packet, or a mishap."""
        if what == "envelope":
            self._metrics.counter("gateway_live_bytes_total").inc(amount)
        else:
            self._metrics.counter("gateway_live_events_total").labels(what).inc(amount)
