"""What the sampler has read so far, put together into a picture.

Reads no store: it is given what was read, and looks at what this process knows by itself.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from gateway.ops.acks import AckMeter
from gateway.ops.picture import (
    Acks,
    AgentRow,
    Agents,
    Away,
    ComponentRow,
    GroupRow,
    NodeRow,
    Overview,
    PartRow,
    Storage,
    StreamRow,
    Suite,
)
from gateway.ops.problems import find_problems
from gateway.ops.stores import Arrivals, Tables
from infra.rates import Rates
from schemas.topics import ENVELOPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.api.services import Services
    from infra.lag import GroupStanding

SILENT_MS = 7 * 86_400_000
SHOWN_SILENT = 12
LAG_LOOKS = 90
_STREAM = "envelopes."

GROUPS = {
    "mine": "Mining: OCR, terminal text, mail, window titles",
    "streams": "Activity and gaps",
    "alerts": "Alerts by rules",
    "nodes": "Watching for lost nodes",
    "sink-disk": "The archive on disk",
    "sink-postgresql": "PostgreSQL",
    "sink-elasticsearch": "Elasticsearch",
}
"""Consumer groups as people know them."""


class Board:
    """Holds the newest of each part."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.topics = [topic.name for topic in ENVELOPES]
        self.arrivals = Arrivals()
        self._rates = Rates()
        self._acks = AckMeter(services.metrics)
        self._lags: dict[str, deque[int]] = {}
        self._groups: list[GroupStanding] = []
        self._ends: dict[str, int] = {}
        self._storage: dict[str, Any] = {}
        self._tables: Tables | None = None
        self._missing: list[str] = []
        self._dead: int | None = None
        self._away: dict[str, Away] = {}
        self._read_ms: dict[str, int | None] = {}
        self._measuring: set[str] = set()

    @property
    def components(self) -> list[ComponentRow]:
        """Every component of every node."""
        return self._tables.components if self._tables else []

    @property
    def groups(self) -> Sequence[GroupStanding]:
        """Every consumer group, with its members."""
        return self._groups

    def begin(self, parts: Iterable[str]) -> None:
        """Somebody looks again: what is known is as old as it is until its part was read."""
        self._measuring = set(parts)
        self._read_ms = {part: self._read_ms.get(part) for part in self._measuring}
        self._away.clear()
        self._lags.clear()

    def answers(self, part: str, now_ms: int) -> None:
        """That part was read."""
        self._away.pop(part, None)
        self._read_ms[part] = now_ms
        self._measuring.discard(part)

    def fails(self, part: str, store: str, fault: str, now_ms: int) -> None:
        """That part could not be read."""
        self._measuring.discard(part)
        before = self._away.get(part)
        self._away[part] = Away(store=store, fault=fault, since_ms=before.since_ms if before else now_ms)

    def look(self) -> None:
        """Look at this process's own metrics."""
        self._acks.look()

    def take_kafka(self, now_s: float, groups: list[GroupStanding], ends: Mapping[str, int]) -> None:
        """Where groups stand, and how many records the envelope topics have had."""
        self._groups, self._ends = groups, dict(ends)
        reached = {f"group {one.group}": float(sum(row.next_offset for row in one.rows)) for one in groups}
        self._rates.look(now_s, {**{name: float(end) for name, end in ends.items()}, **reached})
        for one in groups:
            lags = self._lags.setdefault(one.group, deque(maxlen=LAG_LOOKS))
            lags.append(sum(row.lag for row in one.rows))

    def take_tables(self, tables: Tables, missing: list[str], dead: int | None) -> None:
        """What the tables say, which key files this node lacks, and how many dead letters are open."""
        self._tables, self._missing, self._dead = tables, missing, dead

    def take_storage(self, known: Mapping[str, Any]) -> None:
        """Some of what is known of storage."""
        self._storage |= known

    def picture(self, now_ms: int) -> Overview:
        """All of it, with what wants attention."""
        away = {one.store: one for one in self._away.values()}
        picture = Overview(
            measured_ms=now_ms,
            node=self._services.settings.node.id,
            problems=[],
            parts=[
                PartRow(part=part, read_ms=read_ms, measuring=part in self._measuring)
                for part, read_ms in sorted(self._read_ms.items())
            ],
            away=sorted(away.values(), key=lambda one: one.store),
            agents=self._agents(now_ms),
            streams=[self._stream(topic) for topic in self.topics],
            acks=self._acknowledging(),
            groups=self.group_rows(),
            nodes=self._nodes(),
            components=self.components,
            storage=Storage(**self._storage),
            gaps=self._tables.gaps if self._tables else None,
            dead_letters=self._dead,
            alerts=self._tables.alerts if self._tables else None,
            keks_missing=self._missing,
        )
        return picture.model_copy(update={"problems": find_problems(picture)})

    def group_rows(self) -> list[GroupRow]:
        """Consumer groups, those that we know by name first."""
        order = {name: index for index, name in enumerate(GROUPS)}
        rows = sorted(self._groups, key=lambda one: (order.get(one.group, len(order)), one.group))
        return [self._group(one) for one in rows]

    def _group(self, one: GroupStanding) -> GroupRow:
        places = {(row.topic, row.partition) for row in one.rows}
        held = {place for member in one.members for place in member.partitions}
        return GroupRow(
            group=one.group,
            what=GROUPS.get(one.group, one.group),
            state=one.state,
            members=len(one.members),
            partitions=len(places | held),
            held=len(held),
            lag=sum(row.lag for row in one.rows),
            per_s=self._rates.per_second(f"group {one.group}"),
            history=list(self._lags.get(one.group, ())),
        )

    def _stream(self, topic: str) -> StreamRow:
        stream = topic.removeprefix(_STREAM)
        known = self.arrivals.known
        return StreamRow(
            stream=stream,
            envelopes=self._ends.get(topic, 0),
            envelopes_per_s=self.arrivals.per_s(stream) if known else self._rates.per_second(topic),
            bytes_per_s=self.arrivals.bytes_per_s(stream) if known else None,
            history=self.arrivals.history(stream) if known else None,
        )

    def _acknowledging(self) -> list[Acks]:
        """Every gateway that acknowledged something, this one as it is now."""
        here = _acks(self._services.facts.reporter, self._acks.told())
        others = self._tables.acks if self._tables else {}
        told = [_acks(node, load) for node, load in others.items() if node != here.node or here.p99_ms is None]
        return [one for one in (here, *told) if one.p99_ms is not None]

    def _nodes(self) -> list[NodeRow]:
        lifecycle = self._services.lifecycle
        nodes = sorted(lifecycle.nodes.values(), key=lambda one: one.node_id) if lifecycle else []
        return [
            NodeRow(node_id=one.node_id, role=one.role, state=one.state, address=one.address, since_ms=one.since_ms)
            for one in nodes
            if one.state != "left"
        ]

    def _agents(self, now_ms: int) -> Agents:
        lifecycle = self._services.lifecycle
        if lifecycle is None:
            return Agents()
        agents = lifecycle.agents.values()
        silent = [one for one in agents if not one.connected and one.since_ms > now_ms - SILENT_MS]
        suites = Counter((one.tls, one.suite, one.forward_secret) for one in agents if one.connected)
        newest = sorted(silent, key=lambda one: -one.since_ms)[:SHOWN_SILENT]
        return Agents(
            known=len(agents),
            connected=suites.total(),
            silent=len(silent),
            went_silent=[
                AgentRow(
                    agent_id=one.agent_id,
                    person=one.user,
                    computer=one.computer,
                    gateway=one.gateway,
                    since_ms=one.since_ms,
                )
                for one in newest
            ],
            suites=[
                Suite(tls=tls, suite=suite, forward_secret=forward_secret, agents=count)
                for (tls, suite, forward_secret), count in suites.most_common()
            ],
            age_s=lifecycle.age_s(),
        )


def _acks(node: str, load: Mapping[str, Any]) -> Acks:
    return Acks(node=node, per_s=load.get("ack_per_s"), p50_ms=load.get("ack_p50_ms"), p99_ms=load.get("ack_p99_ms"))
