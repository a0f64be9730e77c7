"""What one process knows of all gateways and agents: read from Redis about once a second, and kept.

Never waits for Redis where an agent is assigned, and never calls dead what only Redis does not know: while that is
away, the lifecycle log tells which gateways there are and which agents they have.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.presence.store import (
    BEAT_S,
    REDIS_FAULTS,
    SILENT_S,
    AgentNote,
    GatewayReport,
    Keys,
    load_note,
    load_report,
    open_redis,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from gateway.lifecycle import LifecycleLog
    from infra.metrics import Metrics
    from infra.settings import Settings

log = structlog.get_logger()

REFRESH_S = 0.7
SETTLING_S = 3 * BEAT_S
"""Redis may come back empty: so long until everybody has told again."""

LISTING_S = 1.0
"""A listing of all agents is kept for so long."""

ROLE = "gateway"
ENDING = frozenset({"draining", "left", "lost"})
"""States of a node that takes no agents, whatever stands in Redis."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where an agent is connected, and what can be had of it there.

    `agent_address` and `live_address` are `host:port`, of the gateway's agent port and of its websockets; `live` are
    the streams that it says can be watched or heard; `since_ms` is when it came, in ms since 1970.
    """

    agent_id: str
    gateway: str
    agent_address: str
    live_address: str
    user: str
    computer: str
    live: frozenset[str] = frozenset()
    end_to_end: bool = False
    since_ms: int = 0


class Own(Protocol):
    """The process itself, where it has an agent port: always true, needs no Redis."""

    name: str

    def report(self) -> GatewayReport:
        """What it tells of itself now."""

    def notes(self) -> Mapping[str, AgentNote]:
        """Agents that are connected to it now, by id."""

    def find(self, agent_id: str) -> AgentNote | None:
        """One of them."""


@dataclass(slots=True)
class _Heard:
    """A gateway's last report, and when this process saw it first, by its own clock."""

    report: GatewayReport
    at: float


class PresenceView:
    """One of them for the process. `follow` keeps it fresh; `find` and `agents` ask Redis when they are called."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        lifecycle: LifecycleLog,
        *,
        own: Own | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.away = True
        """Redis does not answer, or was not asked yet."""
        self._capacity = settings.gateway.max_connections
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._own = own
        self._clock = clock or asyncio.get_running_loop().time
        self._keys = Keys(settings.redis.prefix)
        self._redis: Redis = open_redis(settings.redis)
        self._heard: dict[str, _Heard] = {}
        self._told: dict[str, GatewayReport] = {}
        """By the lifecycle log, while Redis is away and until everybody has told again."""
        self._back_at = -SETTLING_S
        self._listed: tuple[float, list[Whereabouts]] = (-LISTING_S, [])
        self._listing = asyncio.Lock()

    # What is known.

    def gateways(self) -> dict[str, GatewayReport]:
        """Every gateway that may be alive, by name: this process, those that tell of themselves, else the log's.

        One that the lifecycle log knows to be ending has a `refusal`.
        """
        now = self._clock()
        known = {name: one.report for name, one in self._heard.items() if now - one.at < SILENT_S}
        if self._doubtful:
            known = {**self._told, **known}
        for name in known:
            if state := self._ending(name):
                known[name] = replace(known[name], refusal=known[name].refusal or f"this gateway is {state}")
        if self._own:
            report = self._own.report()
            known[report.name] = report
        return known

    def last_gateway(self, agent_id: str) -> str:
        """Where the agent is or was last, by the lifecycle log; empty when it never was anywhere."""
        agent = self._lifecycle.agents.get(agent_id)
        return agent.gateway if agent else ""

    async def find(self, agent_id: str) -> Whereabouts | None:
        """Where the agent is connected now, if it is."""
        known = self.gateways()
        if self._own and (note := self._own.find(agent_id)):
            return _place(agent_id, note, self._own.report())
        doubtful = self._doubtful
        try:
            found = await self._ask_for(agent_id, [name for name in known if not self._is_own(name)])
        except REDIS_FAULTS:
            found, doubtful = None, True
        if found:
            return _place(agent_id, found[1], known[found[0]])
        return next(iter(self._by_log(known, agent_id)), None) if doubtful else None

    async def agents(self) -> list[Whereabouts]:
        """Every agent that is connected now, anywhere; at most `LISTING_S` old."""
        async with self._listing:
            told_at, listed = self._listed
            if self._clock() - told_at >= LISTING_S:
                listed = await self._list()
                self._listed = self._clock(), listed
        return listed

    # What keeps it fresh.

    async def follow(self) -> None:
        """Refresh until cancelled."""
        try:
            while True:
                await self.refresh()
                await asyncio.sleep(REFRESH_S)
        finally:
            await self.close()

    async def refresh(self) -> None:
        """Read what gateways tell now; falls back to the lifecycle log, and says once that it does."""
        try:
            reports = await self._read_reports()
        except REDIS_FAULTS as error:
            self._note_away(type(error).__name__)
            self._told = self._by_lifecycle()
            return
        self._note_back()
        now = self._clock()
        if not self._doubtful:
            self._told = {}
        for report in reports:
            before = self._heard.get(report.name)
            if before is None or (before.report.incarnation, before.report.beat) != (report.incarnation, report.beat):
                self._heard[report.name] = _Heard(report, now)
        self._heard = {name: one for name, one in self._heard.items() if now - one.at < SILENT_S}
        self._metrics.gauge("gateway_presence_gateways").set(len(self.gateways()))

    async def close(self) -> None:
        """Close the connections to Redis."""
        with contextlib.suppress(*REDIS_FAULTS):
            await self._redis.aclose()

    async def _read_reports(self) -> list[GatewayReport]:
        names = [str(name) for name in await self._redis.zrange(self._keys.gateways, 0, -1)]
        texts = await self._redis.mget([self._keys.gateway(name) for name in names]) if names else []
        return [report for text in texts if text is not None and (report := load_report(text))]

    async def _ask_for(self, agent_id: str, names: list[str]) -> tuple[str, AgentNote] | None:
        """The gateway that says it has the agent, the one that got it last if several do."""
        if not names:
            return None
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.hget(self._keys.agents(name), agent_id)
        texts = await pipeline.execute()
        said = [(name, note) for name, text in zip(names, texts, strict=True) if text and (note := load_note(text))]
        return max(said, key=lambda one: one[1].since_ms, default=None)

    async def _list(self) -> list[Whereabouts]:
        known = self.gateways()
        found: dict[str, Whereabouts] = {}
        try:
            for name in known:
                if self._is_own(name):
                    continue
                for key, text in (await self._redis.hgetall(self._keys.agents(name))).items():
                    if note := load_note(text):
                        _keep_newest(found, _place(str(key), note, known[name]))
        except REDIS_FAULTS:
            found.update({one.agent_id: one for one in self._by_log(known)})
        else:
            if self._doubtful:
                found = {one.agent_id: one for one in self._by_log(known)} | found
        if self._own:
            report = self._own.report()
            found.update({name: _place(name, note, report) for name, note in self._own.notes().items()})
        return list(found.values())

    # What the lifecycle log tells.

    def _ending(self, name: str) -> str:
        """The state that ends a gateway, if the log knows it now to be in one."""
        node = self._lifecycle.nodes.get(name)
        return node.state if node and self._lifecycle.connected and node.state in ENDING else ""

    def _by_lifecycle(self) -> dict[str, GatewayReport]:
        """Gateways that said that they serve, with as many agents as were told of."""
        counts = Counter(agent.gateway for agent in self._lifecycle.agents.values() if agent.connected)
        return {
            name: GatewayReport(
                name=name,
                agent_address=node.address,
                live_address=next_port(node.address),
                agents=counts[name],
                capacity=self._capacity,
                started_ms=node.since_ms,
                incarnation=node.incarnation,
                heard=False,
            )
            for name, node in self._lifecycle.nodes.items()
            if node.role == ROLE and node.state == "ready" and next_port(node.address)
        }

    def _by_log(self, known: Mapping[str, GatewayReport], agent_id: str = "") -> Iterable[Whereabouts]:
        agents = self._lifecycle.agents
        asked = [agents[agent_id]] if agent_id in agents else [] if agent_id else agents.values()
        for agent in asked:
            if agent.connected and (report := known.get(agent.gateway)) and not self._is_own(report.name):
                note = AgentNote(agent.user, agent.computer, ("screen", "audio"), since_ms=agent.since_ms)
                yield _place(agent.agent_id, note, report)

    @property
    def _doubtful(self) -> bool:
        """Whether Redis may not know everybody: it is away, or was until a moment ago."""
        return self.away or self._clock() - self._back_at < SETTLING_S

    def _is_own(self, name: str) -> bool:
        return self._own is not None and name == self._own.name

    def _note_away(self, why: str) -> None:
        if not self.away:
            log.warning("presence_away", error=why)
        self.away = True
        self._metrics.gauge("gateway_presence_away").set(1)

    def _note_back(self) -> None:
        if self.away:
            log.info("presence_there")
            self._back_at = self._clock()
        self.away = False
        self._metrics.gauge("gateway_presence_away").set(0)


def next_port(address: str) -> str:
    """The address with the port after its own, where live views are; empty for what is no address."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}" if host and port.isdecimal() else ""


def _place(agent_id: str, note: AgentNote, report: GatewayReport) -> Whereabouts:
    return Whereabouts(
        agent_id,
        report.name,
        report.agent_address,
        report.live_address,
        note.user,
        note.computer,
        frozenset(note.live),
        note.end_to_end,
        note.since_ms,
    )


def _keep_newest(found: dict[str, Whereabouts], place: Whereabouts) -> None:
    """An agent that has just moved may stand at both ends."""
    before = found.get(place.agent_id)
    if before is None or before.since_ms <= place.since_ms:
        found[place.agent_id] = place
