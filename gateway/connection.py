"""One agent's connection: the shell round `schemas.wire`, and the way of an envelope from socket to Kafka.

Never acknowledges what Kafka has not, never changes a byte of an envelope, never lets a peer's mistake out of here.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast
from uuid import UUID

import structlog

from gateway.budget import ENVELOPE_OVERHEAD
from gateway.facts import now_ms
from gateway.ledger import Ledger
from gateway.nack import Refusal, older_side
from gateway.peer import Peer, identify_peer
from gateway.publisher import Outcome
from gateway.sequence import Continuity, Sequences
from gateway.suites import yes_or_no
from schemas.errors import LocalError, MalformedError, WireError
from schemas.frames import (
    Ack,
    Backlog,
    Goodbye,
    GoodbyeCode,
    Hello,
    LiveState,
    Nack,
    NackCode,
    Ping,
    Pong,
    Push,
    Welcome,
)
from schemas.kinds import StreamKind
from schemas.lifecycle import AgentEvent
from schemas.topics import ENVELOPE_CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_ENVELOPE_BYTES, envelope_topic
from schemas.wire import VERSION, Connection, Role, State

if TYPE_CHECKING:
    from gateway.agents import AgentPort
    from gateway.live.room import Tee
    from gateway.publisher import Headers
    from schemas.envelope import Peek
    from schemas.frames import Drain, Frame

log = structlog.get_logger()

_TOPICS = {kind: envelope_topic(kind) for kind in StreamKind}
_WRITE_HIGH_BYTES = 64 * 1024
_MAX_LABEL = 256
_MAX_REFUSALS = 1000
"""Envelopes refused on one connection until it ends: empty ones cost a peer no credit, and us an answer each."""

_TOLD_REFUSALS = 10
"""How many of them the log tells; the metrics count all."""


class AgentConnection(asyncio.BufferedProtocol):
    """The protocol of one TLS connection on the agent port `port`, which owns everything that is shared."""

    __slots__ = (
        "_ack_due",
        "_agent_bytes",
        "_audited",
        "_headers",
        "_hello_timer",
        "_key",
        "_ledger",
        "_port",
        "_refused",
        "_sequences",
        "_transport",
        "_waits",
        "_wire",
        "backlog",
        "goodbye",
        "heard_at",
        "partial_bytes",
        "peer",
        "stuck_since",
        "tee",
    )

    def __init__(self, port: AgentPort) -> None:
        self.peer: Peer | None = None
        self.heard_at = port.loop.time()
        """When bytes last came, loop time; the port's sweep looks at it."""
        self.stuck_since: float | None = None
        """Since when the agent has not been reading what we write."""
        self.partial_bytes = 0
        """Bytes of a frame that is not complete yet."""
        self.backlog: Backlog | None = None
        """What the agent said last that waits in its spool."""
        self.goodbye = ""
        """Why we ended it, if we did."""
        self.tee: Tee | None = None
        """Who watches gets each envelope that will be stored, while somebody does."""
        self._port = port
        self._wire = Connection(Role.GATEWAY)
        self._ledger = Ledger()
        self._sequences = Sequences()
        self._transport: asyncio.Transport | None = None
        self._agent_bytes = b""
        self._headers: Headers = []
        self._key = b""
        self._hello_timer: asyncio.TimerHandle | None = None
        self._audited = False
        self._refused = 0
        self._ack_due = False
        self._waits = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is done: look at the certificate before a byte is read or written."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        try:
            self.peer = identify_peer(transport)
            self._port.admit(self)
        except WireError as error:
            self.break_off(error.code, str(error))
            return
        if self.goodbye:
            return
        self._hello_timer = self._port.loop.call_later(self._port.limits.hello_timeout_s, self._miss_hello)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - one size for all
        """The buffer that all connections share: it is emptied before anybody else can use it."""
        return self._port.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        self.heard_at = self._port.loop.time()
        if self._wire.state is State.CLOSED:
            return
        try:
            for frame in self._wire.receive(self._port.buffer[:nbytes]):
                self._take(frame)
        except WireError as error:
            self.break_off(error.code, str(error))
        self._count_partial(self._wire.buffered)
        budget = self._port.budget
        if budget.full and not (self.partial_bytes and budget.may_finish(self)):
            self._wait_for_memory()

    def eof_received(self) -> bool:
        """The agent closed its side: close ours."""
        return False

    def pause_writing(self) -> None:
        """The agent does not read: say no more, and read no more, until it does."""
        self.stuck_since = self._port.loop.time()
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again: one ack makes up for all that were not sent."""
        self.stuck_since = None
        self._read_on()
        self.acknowledge()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over; what is under way to Kafka goes on, unacknowledged."""
        self._transport = None
        self._count_partial(0)
        self._forget_hello()
        reason = self.goodbye or (type(exc).__name__ if exc else "closed by the agent")
        self._port.forget(self, reason, greeted=bool(self._key))

    # What the port calls.

    def acknowledge(self) -> None:
        """Tell how far the contiguous prefix is settled, and what credit that frees."""
        self._ack_due = False
        if self.stuck_since is not None or self._wire.state not in (State.OPEN, State.DRAINING):
            return
        credit = max(self._wire.credit, self._ledger.settled_bytes + self._port.budget.window)
        if self._ledger.next > self._wire.settled or credit > self._wire.credit:
            if self._ledger.oldest_s:
                self._port.ack_seconds.observe(self._port.loop.time() - self._ledger.oldest_s)
                self._ledger.oldest_s = 0.0
            self._write(Ack(self._ledger.next, credit))

    def tell(self, frame: Frame) -> None:
        """Send a frame that is legal only while the connection is open; not while the agent does not read."""
        if self._wire.state is State.OPEN and self.stuck_since is None:
            self._write(frame)

    def read_on(self) -> None:
        """There is memory again."""
        self._waits = False
        self._read_on()

    def drain(self, frame: Drain) -> None:
        """Send the agent away: nothing more is read, what was read is acknowledged when it is stored."""
        if self._transport:
            self._transport.pause_reading()
        self.tell(frame)

    @property
    def unsettled(self) -> int:
        """Envelopes that are under way to Kafka."""
        return self._ledger.unsettled

    def break_off(self, code: int, reason: str) -> None:
        """Say goodbye and close; nothing that is not settled is acknowledged."""
        if self._wire.state is State.CLOSED or self._transport is None:
            return
        self.goodbye = reason
        self._port.count_turned_away(code, self, reason)
        self._write(Goodbye(code, reason[:_MAX_LABEL]))
        self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once: the agent does not even read."""
        if self._transport:
            self.goodbye = reason
            self._transport.abort()

    # Frames.

    def _take(self, frame: Frame) -> None:
        if self.goodbye:
            return
        match frame:
            case Push():
                self._take_push(frame)
            case Ping():
                self._write(Pong(frame.token))
            case Hello():
                self._greet(frame)
            case LiveState():
                self._port.live.said(self, frame)
            case Backlog():
                self.backlog = frame
            case Goodbye():
                self.goodbye = f"goodbye from the agent: {frame.reason[:_MAX_LABEL]}"
                if self._transport:
                    self._transport.close()
            case _:
                pass

    def _greet(self, hello: Hello) -> None:
        assert self.peer
        self._forget_hello()
        if VERSION not in hello.versions:
            raise WireError(older_side(hello.versions), GoodbyeCode.VERSION)
        if hello.agent_id != self.peer.agent_id:
            self._audit("connect", "hello", claimed=hello.agent_id[:_MAX_LABEL])
            raise WireError("Hello names another agent than the certificate", GoodbyeCode.NOT_IDENTIFIED)
        self._agent_bytes = UUID(self.peer.agent_id).bytes
        user, computer = hello.user[:_MAX_LABEL], hello.computer[:_MAX_LABEL]
        self._headers = [
            (HEADER_CONTENT_TYPE, ENVELOPE_CONTENT_TYPE),
            ("user", user.encode()),
            ("computer", computer.encode()),
        ]
        told = self._port.welcome(self, hello)
        self._key = self.peer.agent_id.encode()
        self._write(
            Welcome(
                VERSION,
                self._port.facts.reporter,
                self._port.budget.window,
                MAX_ENVELOPE_BYTES,
                told.policy,
                told.recipients,
                now_ms(),
                dict(told.key_set_for(self.peer.agent_id)),
                self._port.asks,
            )
        )
        detail = {"user": user, "computer": computer, "software": hello.software[:_MAX_LABEL]}
        detail |= {"platform": hello.platform[:_MAX_LABEL], "tls": self.peer.version, "suite": self.peer.suite}
        detail["forward_secret"] = yes_or_no(self.peer.forward_secret)
        self._port.facts.tell_agent(self.peer.agent_id, AgentEvent.CONNECTED, self.peer.address, detail)
        self._port.live.came(self, hello)

    def _take_push(self, push: Push) -> None:
        headers = [*self._headers, ("received-ms", str(now_ms()).encode())]
        ledger, publish, total = self._ledger, self._port.publisher.publish, 0
        ledger.oldest_s = ledger.oldest_s or self.heard_at
        for index, envelope in enumerate(push.envelopes, push.first):
            if self.goodbye:
                break  # nothing more of it will be acknowledged
            size = len(envelope)
            total += size
            ledger.open(index, size)
            self._port.budget.take(size + ENVELOPE_OVERHEAD)
            try:
                seen = self._check(envelope)
            except Refusal as refusal:
                self._refuse(index, refusal.code, str(refusal))
                continue
            if self.tee is not None:
                self.tee(seen, envelope)
            publish(_TOPICS[seen.record.kind], self._key, envelope, headers, partial(self._settle, index))
        self._port.count_received(total)

    def _check(self, envelope: bytes) -> Peek:
        """The header of an envelope; raises `Refusal` for one that can never be stored."""
        if len(envelope) > MAX_ENVELOPE_BYTES:
            raise Refusal(NackCode.TOO_LARGE, f"larger than {MAX_ENVELOPE_BYTES} bytes")
        try:
            seen = self._port.peeker.peek(envelope)
        except MalformedError as error:
            raise Refusal(NackCode.MALFORMED, error.reason) from None
        if seen.epoch.agent_id != self._agent_bytes:
            self._audit(
                "push",
                "envelope",
                claimed=str(UUID(bytes=seen.epoch.agent_id)),
                epoch=seen.epoch.epoch_id.hex(),
                sequence=str(seen.record.sequence),
                stream=seen.record.kind.label,
            )
            raise Refusal(NackCode.NOT_YOURS, "another agent's")
        continuity = self._sequences.note(seen.epoch.epoch_id, seen.record.sequence)
        if continuity is not Continuity.NEXT:
            self._port.count_discontinuity(self, continuity, seen)
        return seen

    # Settling.

    def _settle(self, index: int, outcome: Outcome) -> None:
        if outcome is Outcome.DELIVERED:
            self._close_entry(index)
        elif outcome is Outcome.REFUSED:
            self._refuse(index, NackCode.TOO_LARGE, "the broker takes no record of this size")
        else:
            self._port.budget.give(self._ledger.abandon(index) + ENVELOPE_OVERHEAD)
            self.break_off(GoodbyeCode.OVERLOADED, "kafka lost what was under way: push it again")
        self._port.count_settled(outcome)

    def _refuse(self, index: int, code: NackCode, reason: str) -> None:
        if self._wire.state in (State.OPEN, State.DRAINING):
            self._write(Nack(index, code, reason))
        self._refused += 1
        self._port.count_nack(self, code, reason, told=self._refused <= _TOLD_REFUSALS)
        self._close_entry(index)
        if self._refused >= _MAX_REFUSALS:
            self.acknowledge()
            self.break_off(GoodbyeCode.OVERLOADED, f"{self._refused} envelopes refused: go on later")

    def _close_entry(self, index: int) -> None:
        self._port.budget.give(self._ledger.settle(index) + ENVELOPE_OVERHEAD)
        if not self._ack_due:
            self._ack_due = True
            self._port.owe_ack(self)

    # The transport.

    def _write(self, frame: Frame) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            self._transport.write(self._wire.send(frame))
        except LocalError:
            log.exception("illegal_move", frame=type(frame).__name__, agent=self.peer and self.peer.agent_id)
            self._transport.abort()

    def _wait_for_memory(self) -> None:
        if not self._waits and self._transport:
            self._waits = True
            self._transport.pause_reading()
            self._port.budget.wait(self)

    def _read_on(self) -> None:
        ready = not self._waits and self.stuck_since is None and not self._port.draining
        if ready and self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def _count_partial(self, size: int) -> None:
        change, self.partial_bytes = size - self.partial_bytes, size
        if change:
            self._port.budget.change_partial(change)
        if not size:
            self._port.budget.finished(self)

    def _forget_hello(self) -> None:
        if self._hello_timer:
            self._hello_timer.cancel()
            self._hello_timer = None

    def _miss_hello(self) -> None:
        self.break_off(GoodbyeCode.TIMEOUT, "no Hello came")

    def _audit(self, action: str, where: str, **detail: str) -> None:
        """Once a connection: who forges a thousand envelopes is one finding."""
        assert self.peer
        if not self._audited:
            self._audited = True
            detail |= {"where": where, "address": self.peer.address}
            self._port.facts.audit(action, self.peer.agent_id, "refused", **detail)
