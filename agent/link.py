"""One connection to a gateway: the shell round `schemas.wire`, from Hello to Goodbye.

Never forgets an envelope before its Ack, and never sends more than its credit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import structlog

from agent.ack_watch import AckWatch
from agent.bell import Bell
from agent.clock import Clock, wait_at_most
from agent.https import Check
from agent.settings import UplinkSettings
from agent.spool import Spool
from schemas.errors import RemoteError, WireError
from schemas.frames import (
    ASKS_BACKLOG,
    Ack,
    AudioOpen,
    Backlog,
    Drain,
    Frame,
    Goodbye,
    GoodbyeCode,
    Hello,
    LiveFrame,
    LiveStart,
    LiveState,
    LiveStop,
    Nack,
    Ping,
    Policy,
    Pong,
    Welcome,
)
from schemas.topics import MAX_ENVELOPE_BYTES
from schemas.wire import Connection, Role, State

log = structlog.get_logger()

WRITE_BUFFER_BYTES = 1024 * 1024
LOOK_AGAIN_S = 5.0

LOOKS = 5
"""So often within the time that a gateway has for acknowledging is looked whether it did."""

LOOK_LEAST_S = 0.02


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a connection ended. `server` is where to go next, if that is known."""

    reason: str
    code: int | None = None
    server: str = ""
    drained: bool = False


@dataclass(slots=True)
class LinkCounts:
    """What went over a connection."""

    pushed: int = 0
    acked: int = 0
    nacked: int = 0
    last_ack_us: int = 0


class Way(Protocol):
    """What live viewing asks of the connection that it came by."""

    @property
    def host(self) -> str:
        """The address at the other end."""

    def tell(self, frame: LiveState) -> None:
        """Send it, if the connection is still open."""


async def _nowhere() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """Who is told what the gateway says, and of the end; none of these may wait. `check` looks at the other end, and
    raises. `patience_s` says how long the gateway may acknowledge nothing, 0 for ever; `elsewhere` then names another
    server, or none.
    """

    welcome: Callable[[Welcome], None]
    policy: Callable[[Policy], None]
    counts: LinkCounts = field(default_factory=LinkCounts)
    check: Check = lambda _connected: None
    live: Callable[[LiveFrame, Way], None] = lambda _frame, _way: None
    ended: Callable[[], None] = lambda: None
    patience_s: Callable[[], float] = lambda: 0.0
    elsewhere: Callable[[], Awaitable[str]] = _nowhere


class Link(asyncio.Protocol):
    """One connection. `run` it once, after it is connected."""

    def __init__(self, hello: Hello, spool: Spool, settings: UplinkSettings, clock: Clock, events: LinkEvents) -> None:
        self._hello = hello
        self._spool = spool
        self._settings = settings
        self._clock = clock
        self._events = events
        self._wire = Connection(Role.AGENT)
        self._transport: asyncio.Transport | None = None
        self._sent: deque[int] = deque()
        """Spool numbers of what was pushed and is not settled."""
        self._drain: Drain | None = None
        self._ended: Ended | None = None
        self._writable = True
        self._trusted = False
        self._heard = clock.monotonic()
        self._bell = Bell()
        self._acks = AckWatch()
        self._told: Backlog | None = None
        """What the gateway knows of the spool, if it asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is done: look at the server's key before a byte is sent."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        try:
            self._events.check(self._transport)
        except RemoteError as error:
            self._ended = Ended(str(error), GoodbyeCode.REFUSED)
            self._transport.abort()
            self._bell.ring()
            return
        self._trusted = True
        self._send(self._hello)

    def data_received(self, data: bytes) -> None:
        """Bytes of the gateway; its mistakes end this connection alone."""
        self._heard = self._clock.monotonic()
        if not self._trusted:
            return
        try:
            for frame in self._wire.receive(data):
                self._take(frame)
        except WireError as error:
            self.end(Ended(f"the gateway broke the protocol: {error}", error.code), GoodbyeCode.PROTOCOL)

    def pause_writing(self) -> None:
        """The gateway reads slower than we write."""
        self._writable = False

    def resume_writing(self) -> None:
        """It caught up."""
        self._writable = True
        self._bell.ring()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, by whomever."""
        if self._ended is None:
            self._ended = Ended(f"the connection was lost: {error}" if error else "the gateway closed the connection")
        self._bell.ring()

    async def run(self) -> Ended:
        """Push until the connection ends; whatever is not settled then is offered again. Why it ended."""
        work = {"watch": self._watch(), "push": self._push(), "acks": self._mind_acks()}
        tasks = [asyncio.create_task(task, name=f"link {name}") for name, task in work.items()]
        for task in tasks:
            task.add_done_callback(lambda _: self._bell.ring())
        try:
            await self._bell.until(lambda: self._ended is not None or any(task.done() for task in tasks))
            for task in tasks:
                if task.done():
                    task.result()  # a fault of our own must show
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.end(Ended("the agent stops"), GoodbyeCode.DONE)
            self._spool.rewind()
            self._events.ended()
        assert self._ended is not None
        return self._ended

    def end(self, ended: Ended, code: GoodbyeCode) -> None:
        """Say goodbye and close."""
        if self._ended is None:
            self._ended = ended
        if self._transport is not None and not self._transport.is_closing():
            if self._wire.state is not State.CLOSED:
                self._send(Goodbye(code, ended.reason[:200]))
            self._transport.close()
        self._bell.ring()

    @property
    def host(self) -> str:
        """The address at the other end."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else ""

    def tell(self, frame: LiveState) -> None:
        """Send it, if the connection is still open."""
        if self._wire.state in {State.OPEN, State.DRAINING}:
            self._send(frame)

    def abort(self) -> None:
        """Close without a word, when closing in good order takes too long."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: Frame) -> None:
        match frame:
            case Ack(next=settled):
                self._release(settled)
            case Nack():
                self._events.counts.nacked += 1
                number = self._sent[frame.index - self._first]
                self._spool.quarantine(number, f"{frame.code.name.lower()}: {frame.reason}"[:200])
            case Ping(token=token):
                self._send(Pong(token))
            case Pong(token=token):
                self._acks.answered(token, self._first, self._clock.monotonic())
            case Welcome():
                self._begin(frame)
            case Policy():
                self._events.policy(frame)
            case Drain():
                self._drain = frame
            case Goodbye():
                self._ended = self._ended or Ended(_explain(frame), frame.code)
                self.end(self._ended, GoodbyeCode.DONE)
            case LiveStart() | LiveStop() | AudioOpen():
                self._events.live(frame, self)
        self._bell.ring()

    def _begin(self, welcome: Welcome) -> None:
        self._events.welcome(welcome)
        if ASKS_BACKLOG in welcome.asks:
            self._tell_backlog()

    @property
    def _first(self) -> int:
        """Number on this connection of the first envelope that is not settled."""
        return self._wire.pushed - len(self._sent)

    def _release(self, settled: int) -> None:
        numbers = [self._sent.popleft() for _ in range(settled - self._first)]
        if numbers:
            self._spool.release(numbers[-1] + 1)
            self._events.counts.acked += len(numbers)
            self._events.counts.last_ack_us = self._clock.now_us()
            self._acks.acknowledged(self._first, self._clock.monotonic())

    async def _push(self) -> None:
        """Push what the spool has, within the credit, until told to drain."""
        await self._bell.until(lambda: self._wire.state is not State.WELCOMING)
        while self._drain is None:
            more = asyncio.create_task(self._spool.more(), name="spool more")
            try:
                await self._either(more)
            finally:
                more.cancel()
            if self._drain is None and more.done():
                await self._push_some()
        await self._leave(self._drain)

    async def _either(self, more: asyncio.Task[None]) -> None:
        more.add_done_callback(lambda _: self._bell.ring())
        await self._bell.until(lambda: more.done() or self._drain is not None)

    async def _push_some(self) -> None:
        await self._bell.until(lambda: self._writable or self._drain is not None)
        credit = self._wire.credit_left
        lent = self._spool.take(min(credit, max(self._settings.push_bytes, MAX_ENVELOPE_BYTES)))
        if not lent:
            await self._await_credit(credit)
            return
        self._sent.extend(one.number for one in lent)
        self._events.counts.pushed += len(lent)
        self._write(self._wire.push(tuple(one.envelope for one in lent)))
        await asyncio.sleep(0)

    async def _await_credit(self, credit: int) -> None:
        """The next envelope is beyond the credit, or being mended: wait for more, and look again now and then."""
        with contextlib.suppress(TimeoutError):
            more = self._bell.until(lambda: self._wire.credit_left > credit or self._drain is not None)
            await wait_at_most(self._clock, more, LOOK_AGAIN_S)

    async def _leave(self, drain: Drain) -> None:
        """Wait for what is outstanding, as long as the gateway gives us, and go."""
        try:
            within_s = drain.within_ms / 1000
            await wait_at_most(self._clock, self._bell.until(lambda: not self._sent), within_s)
        except TimeoutError:
            log.info("drain_unsettled", envelopes=len(self._sent))
        self.end(Ended(f"drained: {drain.reason}", None, drain.server, drained=True), GoodbyeCode.DRAINING)

    async def _watch(self) -> None:
        """Try a quiet connection, and give up a silent one."""
        opened = self._clock.monotonic()
        while self._ended is None:
            await self._clock.sleep(min(self._settings.ping_s, self._settings.silence_s / 3))
            silent = self._clock.monotonic() - self._heard
            welcomed = self._wire.state in {State.OPEN, State.DRAINING}
            if silent >= self._settings.silence_s:
                self.end(Ended("the gateway is silent"), GoodbyeCode.TIMEOUT)
                self.abort()
            elif not welcomed and self._clock.monotonic() - opened >= self._settings.connect_timeout_s:
                self.end(Ended("the gateway does not welcome us"), GoodbyeCode.TIMEOUT)
                self.abort()
            elif welcomed and silent >= self._settings.ping_s:
                self._send(Ping(self._clock.now_us()))
            if welcomed and self._told is not None:
                self._tell_backlog()

    async def _mind_acks(self) -> None:
        """Leave for another server when this one answers, and acknowledges nothing for too long."""
        while patience_s := self._events.patience_s():
            await self._clock.sleep(max(LOOK_LEAST_S, patience_s / LOOKS))
            if self._acks.waited_s >= self._events.patience_s():
                await self._go_elsewhere()
            elif self._sent and not self._acks.waits and self._drain is None and self._wire.state is State.OPEN:
                token = self._clock.now_us()
                self._acks.asked(token, self._wire.pushed)
                self._send(Ping(token))
        await asyncio.Event().wait()

    async def _go_elsewhere(self) -> None:
        acked = self._events.counts.acked
        self._acks.begin_anew()
        server = await self._events.elsewhere()
        if server and self._drain is None and self._events.counts.acked == acked:
            self.end(Ended("the gateway acknowledges nothing", server=server), GoodbyeCode.TIMEOUT)

    def _tell_backlog(self) -> None:
        """Say what waits in the spool; nothing, while there is nothing and the gateway knows it."""
        envelopes, size, since_ms = self._spool.backlog()
        if self._wire.state not in {State.OPEN, State.DRAINING}:
            return
        if envelopes or self._told is None or self._told.envelopes:
            oldest_ms = 0 if since_ms is None else max(0, self._clock.now_us() // 1000 - since_ms)
            self._told = Backlog(envelopes, size, oldest_ms)
            self._send(self._told)

    def _send(self, frame: Frame) -> None:
        self._write(self._wire.send(frame))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _explain(goodbye: Goodbye) -> str:
    """For a person: why the gateway ended it."""
    if goodbye.code == GoodbyeCode.VERSION:
        return f"agent and server have no version of the protocol in common, update the older one: {goodbye.reason}"
    name = GoodbyeCode(goodbye.code).name.lower() if goodbye.code in set(GoodbyeCode) else str(goodbye.code)
    return f"the gateway said goodbye: {name}, {goodbye.reason}"
