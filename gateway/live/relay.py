"""Live views across gateways: asks the one that has an agent, and shows others what they ask for (R2.3, R4.5, R2.8).

Never shows anything to who does not prove to be a gateway of this installation, with tickets of its viewers, and never
holds anything up: what Redis does not take in time is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gateway.facts import now_ms
from gateway.live.bus import Bus
from gateway.live.channel import LABEL, Kind, Opener, Sealer, read_head
from gateway.live.distant import LEASE_S, NO_REDIS, DistantRoom, Tie
from gateway.live.outlet import Outlet
from gateway.live.tickets import LIFE_MS, Ticket, Tickets
from schemas.errors import MalformedError, UnavailableError
from schemas.live import LIVE_STREAMS, MAX_VIEWER_KEYS, LiveMessage

if TYPE_CHECKING:
    from gateway.live.hub import Hub
    from infra.metrics import Metrics
    from infra.settings import Settings

log = structlog.get_logger()

SKEW_MS = 30_000
"""An ask is as old as that at most, by the clocks of both gateways."""

LOOK_S = 3.0
"""So long a viewer who comes waits for the gateway that has the agent to be known."""

MAX_STREAMS = 4096
"""Streams whose asks are remembered, so that none is taken twice."""

NOT_UNDERSTOOD = (ValueError, LookupError, TypeError, RecursionError)
"""What reading JSON of another release raises."""


class Place(Protocol):
    """Where an agent is."""

    @property
    def gateway(self) -> str:
        """The id of the gateway that has it."""


class Finder(Protocol):
    """Who knows where agents are."""

    async def find(self, agent_id: str) -> Place | None:
        """Where it is connected now; may be a little out of date."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a gateway asks another one for: no tickets to say that nobody looks any more."""

    gateway: str
    agent_id: str
    what: str
    tickets: list[str]
    fresh: bool
    at_ms: int

    def dump(self) -> bytes:
        """As it is sealed."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode()

    @classmethod
    def load(cls, data: bytes) -> Ask:
        """The mirror image; raises `MalformedError`."""
        try:
            values = json.loads(data)
            ask = cls(**{name: values[name] for name in cls.__slots__})
            texts = [ask.gateway, ask.agent_id, *ask.tickets]
            fits = len(ask.tickets) <= MAX_VIEWER_KEYS and ask.what in LIVE_STREAMS
            fresh_enough = abs(now_ms() - ask.at_ms) <= SKEW_MS
        except NOT_UNDERSTOOD:
            raise MalformedError("an ask of another release", "relay_malformed") from None
        if not fits or not all(isinstance(text, str) for text in texts):
            raise MalformedError("an ask of another release", "relay_malformed")
        if not fresh_enough:
            raise MalformedError("an ask of long ago, or the gateways' clocks differ", "relay_stale")
        return ask


class Relay:
    """One of them for the process. `finder` is set once there is one."""

    def __init__(self, settings: Settings, own: str, hub: Hub, tickets: Tickets, metrics: Metrics) -> None:
        self.own = own
        self.finder: Finder | None = None
        self.bus = Bus(settings.redis, own, self._take)
        self.secret = b""
        self._settings = settings
        self._hub = hub
        self._tickets = tickets
        self._metrics = metrics
        self._rooms: dict[bytes, DistantRoom] = {}
        self._outlets: dict[bytes, Outlet] = {}
        self._asked: OrderedDict[bytes, Opener] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled; the tickets' key must be loaded."""
        self.secret = self._tickets.derive(LABEL)
        try:
            await self.bus.run()
        finally:
            while self._tasks:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let it run beside; a fault in it is told in the log."""
        task = asyncio.create_task(work, name="live relay")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    # For viewers here.

    async def look(self, agent_id: str) -> None:
        """Return when another gateway has the agent; raises `UnavailableError`, with words for the viewer."""
        until = asyncio.get_running_loop().time() + LOOK_S
        while not await self.find(agent_id):
            if self.finder is None or asyncio.get_running_loop().time() > until:
                raise UnavailableError("the agent is not connected to any server now" if self.bus.up else NO_REDIS)
            await asyncio.sleep(LOOK_S / 6)
        if not self.bus.up and not self._hub.find(agent_id):
            raise UnavailableError(NO_REDIS)

    async def find(self, agent_id: str) -> str:
        """The id of the gateway that has the agent; empty when nobody knows of one."""
        place = await self.finder.find(agent_id) if self.finder else None
        return place.gateway if place else ""

    def listen(self, stream: bytes, room: DistantRoom) -> None:
        """Let that room have what comes of that stream."""
        self._rooms[stream] = room
        self._metrics.gauge("gateway_live_relays").labels("got").set(len(self._rooms))

    def let_go(self, tie: Tie, agent_id: str, what: str) -> None:
        """It wants no more of it: the other gateway is told, if that can be."""
        del self._rooms[tie.stream]
        self._metrics.gauge("gateway_live_relays").labels("got").set(len(self._rooms))
        self.start(self._say_leave(tie, agent_id, what))

    async def ask(self, tie: Tie, agent_id: str, what: str, tickets: list[Ticket], *, fresh: bool) -> bool:
        """Ask for it, or again; whether that gateway listens. Raises `UnavailableError`."""
        texts = [self._tickets.issue(ticket) for ticket in tickets]
        ask = Ask(self.own, agent_id, what, texts, fresh, now_ms())
        return await self.bus.publish(tie.gateway, tie.sealer.seal(ask.dump()))

    async def _say_leave(self, tie: Tie, agent_id: str, what: str) -> None:
        with contextlib.suppress(UnavailableError):  # then its lease ends
            await self.ask(tie, agent_id, what, [], fresh=False)

    # What comes.

    def _take(self, message: bytes) -> None:
        try:
            kind, stream = read_head(message)
            if kind is Kind.ASK:
                self._take_ask(stream, message)
            elif room := self._rooms.get(stream):
                self._metrics.counter("gateway_live_relay_bytes_total").labels("got").inc(len(message))
                room.take(message)
        except MalformedError as error:
            self._note(error.reason)
        except NOT_UNDERSTOOD:
            self._note("relay_malformed")

    def _take_ask(self, stream: bytes, message: bytes) -> None:
        opener = self._asked.get(stream) or Opener(self.secret, Kind.ASK, stream, self.own)
        ask = Ask.load(opener.open(message))
        self._asked[stream] = opener
        self._asked.move_to_end(stream)
        if len(self._asked) > MAX_STREAMS:
            self._asked.popitem(last=False)
        tickets = tuple(self._check(text, ask) for text in ask.tickets)
        outlet = self._outlets.get(stream)
        if not tickets:
            if outlet:
                outlet.end("nobody looks any more")
            return
        try:
            outlet = self._seat(stream, outlet, tickets, ask)
        except UnavailableError as error:
            if outlet:
                outlet.end(str(error))
            self.start(self._say(stream, ask.gateway, "refused", reason=str(error)))
            return
        if outlet is None:
            self.start(self._say(stream, ask.gateway, "absent"))
            return
        outlet.renew(LEASE_S)
        outlet.tell("held", full=[ticket.id for ticket in tickets if ticket not in outlet.tickets])

    def _check(self, text: str, ask: Ask) -> Ticket:
        """One viewer's ticket, however long they have looked; raises `MalformedError`."""
        ticket = self._tickets.verify(text)
        if (ticket.agent_id, ticket.what) != (ask.agent_id, ask.what):
            raise MalformedError("a ticket for something else", "relay_ticket")
        if now_ms() - LIFE_MS > ticket.until_ms + self._settings.live.session_s * 1000:
            raise MalformedError("a ticket whose view must be over", "relay_ticket")
        return ticket

    def _seat(self, stream: bytes, outlet: Outlet | None, tickets: tuple[Ticket, ...], ask: Ask) -> Outlet | None:
        """The outlet with those who may look, if the agent is here; raises `UnavailableError` when nobody may."""
        if self._hub.find(ask.agent_id) is None:
            return None
        if refusal := self._hub.allows(ask.what):
            raise UnavailableError(refusal)
        before = outlet or self._outlet_before(ask)
        tickets = self._hub.choose(tickets, besides=before)
        if outlet and not outlet.end_reason:
            if outlet.tickets != tickets or ask.fresh:
                outlet.seat(tickets)
                self._hub.refresh(outlet, fresh=ask.fresh)
            return outlet
        sealer = Sealer(self.secret, Kind.SHOW, stream, ask.gateway)
        outlet = Outlet(tickets, self._settings.live.queue_bytes, ask.gateway, sealer, self._count_published)
        self._hub.lend(outlet)
        if before:
            before.end("asked for anew")
            self._hub.release(before)
        self._outlets[stream] = outlet
        self.start(self._serve(stream, outlet))
        return outlet

    def _outlet_before(self, ask: Ask) -> Outlet | None:
        """What that gateway asked for before, and has given up without our hearing of it."""
        wanted = ask.gateway, ask.agent_id, ask.what
        return next((one for one in self._outlets.values() if (one.gateway, one.agent_id, one.what) == wanted), None)

    async def _serve(self, stream: bytes, outlet: Outlet) -> None:
        log.info("live_relay_begins", agent=outlet.agent_id, what=outlet.what, gateway=outlet.gateway)
        self._metrics.gauge("gateway_live_relays").labels("given").inc()
        try:
            await outlet.run(self.bus)
        finally:
            self._metrics.gauge("gateway_live_relays").labels("given").dec()
            if self._outlets.get(stream) is outlet:
                del self._outlets[stream]
            self._hub.release(outlet)
            log.info("live_relay_ends", agent=outlet.agent_id, what=outlet.what, reason=outlet.end_reason)

    async def _say(self, stream: bytes, gateway: str, kind: str, **values: str) -> None:
        """Tell a gateway why it gets nothing, if it can be told."""
        status = bytes((LiveMessage.STATUS,)) + json.dumps({"kind": kind, **values}).encode()
        with contextlib.suppress(UnavailableError):
            await self.bus.publish(gateway, Sealer(self.secret, Kind.SHOW, stream, gateway).seal(status))

    def _count_published(self, size: int) -> None:
        self._metrics.counter("gateway_live_relay_bytes_total").labels("given").inc(size)

    def _note(self, event: str) -> None:
        self._metrics.counter("gateway_live_events_total").labels(event).inc()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            log.error("live_relay_failed", exc_info=fault)
