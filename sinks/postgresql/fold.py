"""Lifecycle events folded into the tables agent, endpoint, session, gap and node_state.

Never folds an event twice: which ones are in is kept in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from schemas.lifecycle import ENDS_CONNECTIONS, GAP_ID, AgentEvent, AgentState, FleetState, NodeState, fold
from schemas.records import Record
from sinks.postgresql.connection import Connection
from sinks.postgresql.rows import detail, text, timestamp, uuid
from sinks.sink import SinkRecord

Fact = tuple[SinkRecord, Record]


def check_fact(event: Record) -> None:
    """Raise `MalformedError` for what the tables cannot take."""
    timestamp(event["time_ms"])
    if event["subject"] == "agent":
        uuid(event["id"])


async def fold_facts(connection: Connection, facts: Sequence[Fact], topic_id: UUID) -> None:
    """Fold events, oldest first, into what is stored; those that are folded already are passed over."""
    fresh = await _pass_over_told_gaps(connection, await _take_fresh(connection, facts, topic_id), topic_id)
    if not fresh:
        return
    state = stored = await _load(connection, [event for _, event in fresh])
    for record, event in fresh:
        before, state = state, fold(state, event)
        if state is not before:
            await _note(connection, record, event, topic_id)
    await _store_nodes(connection, state)
    await _store_agents(connection, state, fresh)
    await _store_cut_off(connection, stored, state)


async def _take_fresh(connection: Connection, facts: Sequence[Fact], topic_id: UUID) -> list[Fact]:
    """The facts at or after the next offset of their partition in this log; moves it on past them."""
    fresh: list[Fact] = []
    known: dict[tuple[str, int], int] = {}
    for record, event in sorted(facts, key=lambda fact: (fact[0].partition, fact[0].offset)):
        place = (record.topic, record.partition)
        if place not in known:
            known[place] = await connection.fetchval(
                "SELECT COALESCE((SELECT next_offset FROM folded_offset "
                "WHERE topic = $1 AND topic_id = $3 AND kafka_partition = $2), 0)",
                *(*place, topic_id),
            )
        if record.offset >= known[place]:
            known[place] = record.offset + 1
            fresh.append((record, event))
    await connection.executemany(
        "INSERT INTO folded_offset (topic, kafka_partition, next_offset, topic_id) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (topic, topic_id, kafka_partition) DO UPDATE SET next_offset = EXCLUDED.next_offset",
        [(*place, next_offset, topic_id) for place, next_offset in known.items()],
    )
    return fresh


async def _pass_over_told_gaps(connection: Connection, facts: Sequence[Fact], topic_id: UUID) -> list[Fact]:
    """The facts without gaps that were told before: a worker that was killed told them, and the next one again."""
    gaps = {
        index: (uuid(event["id"]), _gap_id(record, event, topic_id))
        for index, (record, event) in enumerate(facts)
        if _is_gap(event)
    }
    if not gaps:
        return list(facts)
    agents, ids = zip(*gaps.values(), strict=True)
    rows = await connection.fetch(
        "SELECT agent_id, gap_id FROM gap JOIN unnest($1::uuid[], $2::text[]) AS told (agent_id, gap_id) "
        "USING (agent_id, gap_id)",
        *(list(agents), list(ids)),
    )
    told = {(row["agent_id"], row["gap_id"]) for row in rows}
    return [fact for index, fact in enumerate(facts) if gaps.get(index) not in told]


def _is_gap(event: Record) -> bool:
    return bool(event["subject"] == "agent" and event["event"] == AgentEvent.GAP)


def _gap_id(record: SinkRecord, event: Record, topic_id: UUID) -> str:
    """What tells a gap from others of its agent: its envelope, or where the fact stands when that does not say."""
    return text(event["detail"].get(GAP_ID) or f"{topic_id}-{record.partition}-{record.offset}")


async def _load(connection: Connection, events: Sequence[Record]) -> FleetState:
    nodes = await connection.fetch(
        "SELECT * FROM node_state WHERE node_id = ANY($1)", [e["id"] for e in events if e["subject"] == "node"]
    )
    agents = await connection.fetch(
        "SELECT * FROM agent WHERE agent_id = ANY($1) OR connected AND gateway = ANY($2)",
        [uuid(e["id"]) for e in events if e["subject"] == "agent"],
        [text(e["id"]) for e in events if e["subject"] == "node"],
    )
    return FleetState(
        {
            row["node_id"]: NodeState(
                row["node_id"], row["state"], _ms(row["since"]), row["role"], row["address"], row["incarnation"]
            )
            for row in nodes
        },
        {
            str(row["agent_id"]): AgentState(
                str(row["agent_id"]),
                row["connected"],
                _ms(row["since"]) if row["since"] else 0,
                row["gateway"],
                row["user_name"],
                row["computer"],
                row["gaps"],
            )
            for row in agents
        },
    )


async def _store_nodes(connection: Connection, state: FleetState) -> None:
    await connection.executemany(
        "INSERT INTO node_state (node_id, role, state, since, address, incarnation) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (node_id) DO UPDATE SET role = EXCLUDED.role, state = EXCLUDED.state, since = EXCLUDED.since, "
        "address = EXCLUDED.address, incarnation = EXCLUDED.incarnation",
        [
            (text(n.node_id), text(n.role), n.state, timestamp(n.since_ms), text(n.address), text(n.incarnation))
            for n in state.nodes.values()
        ],
    )


async def _store_agents(connection: Connection, state: FleetState, facts: Sequence[Fact]) -> None:
    seen_ms: dict[str, list[int]] = {}
    for _, event in facts:
        seen_ms.setdefault(event["id"], []).append(event["time_ms"])
    await connection.executemany(
        "INSERT INTO agent (agent_id, user_name, computer, connected, since, gateway, gaps, "
        "first_seen_at, last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
        "ON CONFLICT (agent_id) DO UPDATE SET "
        "user_name = EXCLUDED.user_name, computer = EXCLUDED.computer, connected = EXCLUDED.connected, "
        "since = EXCLUDED.since, gateway = EXCLUDED.gateway, gaps = EXCLUDED.gaps, "
        "first_seen_at = least(agent.first_seen_at, EXCLUDED.first_seen_at), "
        "last_seen_at = greatest(agent.last_seen_at, EXCLUDED.last_seen_at)",
        [
            (
                uuid(a.agent_id),
                text(a.user),
                text(a.computer),
                a.connected,
                timestamp(a.since_ms) if a.since_ms else None,
                text(a.gateway),
                a.gaps,
                timestamp(min(seen_ms[a.agent_id])),
                timestamp(max(seen_ms[a.agent_id])),
            )
            for a in state.agents.values()
            if a.agent_id in seen_ms
        ],
    )


async def _store_cut_off(connection: Connection, before: FleetState, after: FleetState) -> None:
    """Agents whose gateway went away, of which nothing else may have been told."""
    await connection.executemany(
        "UPDATE agent SET connected = false, since = $2 WHERE agent_id = $1",
        [
            (uuid(name), timestamp(after.agents[name].since_ms))
            for name, agent in before.agents.items()
            if agent.connected and not after.agents[name].connected
        ],
    )


async def _note(connection: Connection, record: SinkRecord, event: Record, topic_id: UUID) -> None:
    """What one event adds beyond the state: sessions, endpoints, gaps."""
    happened = event["event"]
    when = timestamp(event["time_ms"])
    if event["subject"] == "node":
        if happened in ENDS_CONNECTIONS:
            await connection.execute(
                "UPDATE session SET disconnected_at = greatest($2, connected_at) "
                "WHERE gateway = $1 AND disconnected_at IS NULL",
                text(event["id"]),
                when,
            )
        return
    told = {name: text(value) for name, value in event["detail"].items()}
    agent, gateway = uuid(event["id"]), text(event["reporter"])
    match happened:
        case AgentEvent.CONNECTED:
            await _end_sessions(connection, agent, when)
            await connection.execute(
                "INSERT INTO session (agent_id, connected_at, gateway, user_name, computer, address) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                *(agent, when, gateway, told.get("user", ""), told.get("computer", ""), text(event["address"])),
            )
            await connection.execute(
                "INSERT INTO endpoint VALUES ($1, $2, $3, $4, $4) ON CONFLICT (computer) DO UPDATE SET "
                "platform = EXCLUDED.platform, software = EXCLUDED.software, "
                "last_seen_at = greatest(endpoint.last_seen_at, EXCLUDED.last_seen_at)",
                *(told.get("computer", ""), told.get("platform", ""), told.get("software", ""), when),
            )
        case AgentEvent.DISCONNECTED:
            await _end_sessions(connection, agent, when, gateway)
        case AgentEvent.GAP:
            await connection.execute(
                "INSERT INTO gap (agent_id, gap_id, noticed_at, stream, reason, detail) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                *(agent, _gap_id(record, event, topic_id), when),
                *(told.get("stream", ""), told.get("reason", ""), detail(event["detail"])),
            )


async def _end_sessions(connection: Connection, agent: Any, when: Any, gateway: str | None = None) -> None:
    """An agent has one connection: whatever it had before is over."""
    await connection.execute(
        "UPDATE session SET disconnected_at = greatest($2, connected_at) "
        "WHERE agent_id = $1 AND disconnected_at IS NULL AND ($3::text IS NULL OR gateway = $3)",
        agent,
        when,
        gateway,
    )


def _ms(time: Any) -> int:
    return round(float(time.timestamp()) * 1000)
