"""The agent port: all connections of agents, and what they share.

Never lets one connection hold up another: nothing here waits for a peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from gateway.budget import Budget
from gateway.connection import AgentConnection
from gateway.door import Door
from gateway.facts import now_ms
from gateway.live.side import LiveSide, NobodyWatches
from gateway.publisher import Outcome
from gateway.sequence import Continuity
from gateway.spools import show_spools
from gateway.suites import Suites
from gateway.tls_transport import accept_tls
from schemas.envelope import Peek, Peeker
from schemas.errors import WireError
from schemas.frames import ASKS_BACKLOG, Drain, GoodbyeCode, Hello, NackCode, Ping
from schemas.lifecycle import AgentEvent
from schemas.topics import MAX_ENVELOPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.facts import Facts
    from gateway.gate import Refusal
    from gateway.peer import Peer
    from gateway.policy import Told
    from gateway.publisher import Publisher
    from infra.metrics import Metrics

log = structlog.get_logger()

READ_BUFFER_BYTES = 256 * 1024
WINDOW_BYTES = MAX_ENVELOPE_BYTES + 256 * 1024
"""What one connection may have unsettled: its largest envelope, and one too large to be told so.

A larger window only makes queues longer: this is over 100 MB/s at 10 ms from push to ack, and what is in memory for a
shorter time is still in the processor's cache.
"""


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """What the agent port allows; seconds and counts."""

    max_connections: int = 12_000
    max_handshakes: int = 64
    handshake_timeout_s: float = 10.0
    hello_timeout_s: float = 10.0
    ping_after_s: float = 45.0
    idle_timeout_s: float = 120.0
    stuck_timeout_s: float = 30.0
    sweep_interval_s: float = 5.0
    drain_timeout_s: float = 10.0
    goodbye_timeout_s: float = 3.0


class AgentPort:
    """Owns the connections. Must be made on the running event loop."""

    def __init__(
        self,
        publisher: Publisher,
        facts: Facts,
        metrics: Metrics,
        told: Callable[[], Told],
        *,
        budget_bytes: int,
        limits: AgentLimits | None = None,
        refuses: Callable[[Peer], Refusal | None] = lambda _peer: None,
        live: LiveSide | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits or AgentLimits()
        self.publisher = publisher
        self.facts = facts
        self.buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self.budget = Budget(budget_bytes, WINDOW_BYTES)
        self.peeker = Peeker()
        self.suites = Suites(metrics)
        self.live = live or NobodyWatches()
        self.draining = False
        self.asks = [ASKS_BACKLOG]
        self.ack_seconds = metrics.histogram("gateway_ack_seconds")
        self._metrics = metrics
        self._told = told
        self._refuses = refuses
        self._connections: set[AgentConnection] = set()
        self._by_agent: dict[str, AgentConnection] = {}
        self._acks_due: list[AgentConnection] = []
        self._flush_scheduled = False
        self._door: Door | None = None
        self._sweeper: asyncio.Task[None] | None = None
        settled = metrics.counter("gateway_envelopes_total")
        self._settled = {outcome: settled.labels(outcome) for outcome in Outcome}
        self._counts = dict.fromkeys(Outcome, 0)
        self._received = 0
        self._received_before = 0
        self.greeted = 0
        """Agents that were welcomed since the process started."""
        self._gone = asyncio.Event()

    @property
    def connections(self) -> int:
        """Agents connected now."""
        return len(self._connections)

    @property
    def agents(self) -> int:
        """Agents that were welcomed and are connected now."""
        return len(self._by_agent)

    @property
    def received_bytes(self) -> int:
        """Bytes of envelopes that came since the process started."""
        return self._received_before + self._received

    @property
    def listening(self) -> bool:
        """Whether agents may come."""
        return self._door is not None

    def listen(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Open the port, also again after `drain`; the number it has, for who asked for 0."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
        listener.setblocking(False)
        self.draining = False
        self._door = Door(
            listener,
            lambda sock: accept_tls(
                sock, context, lambda: AgentConnection(self), timeout_s=self.limits.handshake_timeout_s
            ),
            max_handshakes=self.limits.max_handshakes,
            may_enter=self._may_enter,
        )
        self._door.open()
        self._sweeper = asyncio.create_task(self._keep_sweeping(), name="agent-sweep")
        return int(listener.getsockname()[1])

    def tell_policy(self) -> None:
        """Send what `told` says now to every agent."""
        told = self._told()
        for agent_id, connection in self._by_agent.items():
            connection.tell(told.frame(agent_id))

    def drop_refused(self) -> None:
        """End the connections of agents that would not be let in any more."""
        for connection in list(self._connections):
            if connection.peer and (refusal := self._refuses(connection.peer)):
                code = GoodbyeCode.DRAINING if refusal.renewable else GoodbyeCode.REFUSED
                connection.break_off(code, refusal.reason)

    async def drain(self, reason: str = "the gateway stops") -> None:
        """Send every agent away, acknowledge what is under way, and say goodbye."""
        self.draining = True
        if self._sweeper:
            self._sweeper.cancel()
        if self._door:
            await self._door.close()
            self._door = None
        within_ms = int(self.limits.drain_timeout_s * 1000)
        self._metrics.counter("gateway_moved_total").labels("drain").inc(len(self._by_agent))
        for connection in list(self._connections):
            connection.drain(Drain("", reason, within_ms))
        await self.publisher.flush(self.limits.drain_timeout_s)
        self._flush_acks()
        for connection in list(self._connections):
            connection.break_off(GoodbyeCode.DRAINING, reason)
        self._gone.clear()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), self.limits.goodbye_timeout_s)
        for connection in list(self._connections):
            connection.abort("did not take its goodbye")

    def send_away(self, agent_id: str, server: str, reason: str) -> bool:
        """Send one agent to `server`; whether it is here. It is read on, so that all it pushed is acknowledged."""
        connection = self._by_agent.get(agent_id)
        if connection is None or self.draining:
            return False
        within_s = self.limits.drain_timeout_s
        connection.tell(Drain(server, reason, int(within_s * 1000)))
        self.loop.call_later(
            within_s + self.limits.goodbye_timeout_s, connection.break_off, GoodbyeCode.DRAINING, reason
        )
        return True

    # What connections call.

    def admit(self, connection: AgentConnection) -> None:
        """Take a connection in by its certificate; raises `WireError` for one that may not connect.

        One that shows a key which is not its own is closed on without a word.
        """
        peer = connection.peer
        assert peer
        self._connections.add(connection)
        if refusal := self._refuses(peer):
            self.facts.audit("connect", peer.agent_id, "refused", where=refusal.reason, address=peer.address)
            if not refusal.silent:
                raise WireError(refusal.reason, GoodbyeCode.REFUSED)
            self.count_turned_away(GoodbyeCode.REFUSED, connection, refusal.reason)
            connection.abort(refusal.reason)
        if self.draining:
            raise WireError("the gateway stops", GoodbyeCode.DRAINING)

    def welcome(self, connection: AgentConnection, hello: Hello) -> Told:
        """An agent has said Hello: its newest connection is the one that counts."""
        peer = connection.peer
        assert peer
        before = self._by_agent.get(peer.agent_id)
        self._by_agent[peer.agent_id] = connection
        if before is not None and before is not connection:
            before.break_off(GoodbyeCode.DONE, "replaced by a newer connection of this agent")
        self.greeted += 1
        self.suites.enter(peer)
        self._metrics.histogram("gateway_agent_clock_seconds").observe(abs(now_ms() - hello.time_ms) / 1000)
        log.info(
            "agent_connected",
            agent=peer.agent_id,
            address=peer.address,
            tls=peer.version,
            suite=peer.suite,
            forward_secret=peer.forward_secret,
            software=hello.software[:64],
        )
        if not peer.forward_secret:
            log.warning("weak_suite", agent=peer.agent_id, address=peer.address, tls=peer.version, suite=peer.suite)
        return self._told()

    def forget(self, connection: AgentConnection, reason: str, *, greeted: bool) -> None:
        """A connection is over."""
        self._connections.discard(connection)
        if not self._connections:
            self._gone.set()
        peer = connection.peer
        if peer is None or not greeted:
            return
        self.suites.leave(peer)
        if self._by_agent.get(peer.agent_id) is connection:
            del self._by_agent[peer.agent_id]
            self.live.gone(connection)
            self.facts.tell_agent(peer.agent_id, AgentEvent.DISCONNECTED, peer.address, {"reason": reason})
        log.info("agent_disconnected", agent=peer.agent_id, reason=reason, unsettled=connection.unsettled)

    def owe_ack(self, connection: AgentConnection) -> None:
        """The connection will be asked to acknowledge after this run of settling."""
        self._acks_due.append(connection)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush_acks)

    def count_received(self, size: int) -> None:
        """Bytes of envelopes have come."""
        self._received += size

    def count_settled(self, outcome: Outcome) -> None:
        """What became of an envelope."""
        self._counts[outcome] += 1

    def count_nack(self, connection: AgentConnection, code: NackCode, reason: str, *, told: bool) -> None:
        """An envelope was refused; the log is told of it unless it has heard enough."""
        self._metrics.counter("gateway_envelopes_total").labels(f"nack_{code.name.lower()}").inc()
        if told:
            peer = connection.peer
            log.warning("envelope_refused", agent=peer and peer.agent_id, code=code.name.lower(), reason=reason)

    def count_turned_away(self, code: int, connection: AgentConnection, reason: str) -> None:
        """A connection was ended by us."""
        self._metrics.counter("gateway_turned_away_total").labels(_code_label(code)).inc()
        peer = connection.peer
        log.info("agent_turned_away", agent=peer and peer.agent_id, address=peer and peer.address, reason=reason)

    def count_discontinuity(self, connection: AgentConnection, continuity: Continuity, seen: Peek) -> None:
        """An envelope did not follow the one before it."""
        gap = continuity is Continuity.GAP
        self._metrics.counter("gateway_sequence_gaps_total" if gap else "gateway_repeated_total").inc()
        if gap:
            assert connection.peer
            log.warning(
                "sequence_gap",
                agent=connection.peer.agent_id,
                epoch=seen.epoch.epoch_id.hex(),
                sequence=seen.record.sequence,
                stream=seen.record.kind.label,
            )

    # What goes on by itself.

    def _may_enter(self, _address: object) -> bool:
        if len(self._connections) < self.limits.max_connections:
            return True
        self._metrics.counter("gateway_turned_away_total").labels("full").inc()
        return False

    def _flush_acks(self) -> None:
        self._flush_scheduled = False
        due, self._acks_due = self._acks_due, []
        for connection in due:
            connection.acknowledge()

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self.limits.sweep_interval_s)
            self._sweep(self.loop.time())

    def _sweep(self, now: float) -> None:
        """End what is silent or stuck, ping what may be, and let memory that cannot free itself go."""
        heard_at = 0.0
        for connection in list(self._connections):
            heard_at = max(heard_at, connection.heard_at)
            silent_s = now - connection.heard_at
            if connection.stuck_since is not None:
                if now - connection.stuck_since > self.limits.stuck_timeout_s:
                    connection.abort("does not read its acks")
            elif self.budget.full:
                continue  # it may be silent because we do not read it
            elif silent_s > self.limits.idle_timeout_s:
                connection.break_off(GoodbyeCode.TIMEOUT, "silent")
            elif silent_s > self.limits.ping_after_s:
                connection.tell(Ping(int(now)))
        nobody_moves = not self.publisher.outstanding and now - heard_at >= self.limits.sweep_interval_s
        if self.budget.full and nobody_moves:
            self._free_stalled()
        self._tell_metrics()

    def _tell_metrics(self) -> None:
        """Hand on what was counted since the last sweep: a metric's own lock, for each envelope, would be felt."""
        for outcome, count in self._counts.items():
            self._settled[outcome].inc(count)
        self._counts = dict.fromkeys(Outcome, 0)
        self._metrics.counter("gateway_received_bytes_total").inc(self._received)
        self._received_before += self._received
        self._received = 0
        self._metrics.gauge("gateway_connections").set(len(self._connections))
        self._metrics.gauge("gateway_held_bytes").set(self.budget.held)
        self._metrics.gauge("gateway_partial_bytes").set(self.budget.partial)
        self._metrics.gauge("gateway_budget_bytes").set(self.budget.total)
        self._metrics.gauge("gateway_waiting_connections").set(self.budget.waiting)
        self._metrics.gauge("gateway_outstanding_records").set(self.publisher.outstanding)
        self._metrics.gauge("gateway_handshakes").set(self._door.handshakes if self._door else 0)
        show_spools(self._metrics, (one.backlog for one in self._connections if one.backlog is not None))

    def _free_stalled(self) -> None:
        """All memory is in frames that do not get completed: who was to finish its own goes, else the largest."""
        largest = self.budget.finishing or max(
            self._connections, key=lambda connection: connection.partial_bytes, default=None
        )
        if isinstance(largest, AgentConnection) and largest.partial_bytes:
            largest.break_off(GoodbyeCode.OVERLOADED, "memory is short: push again")


def _code_label(code: int) -> str:
    with contextlib.suppress(ValueError):
        return GoodbyeCode(code).name.lower()
    return "other"
