"""Facts about nodes and agents, and the one fold that turns them into state.

Streams, mirror, console and tests all use `fold`; nobody else decides what a node's state is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from schemas.records import Record


class NodeEvent(StrEnum):
    """What can happen to a node."""

    JOINED = "joined"
    READY = "ready"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"


class AgentEvent(StrEnum):
    """What can happen to an agent."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    GAP = "gap"


TRANSITIONS: Mapping[tuple[str | None, NodeEvent], str] = {
    **{(state, NodeEvent.JOINED): "joined" for state in (None, "left", "lost", "joined", "ready", "draining")},
    ("joined", NodeEvent.READY): "ready",
    ("draining", NodeEvent.READY): "ready",
    ("lost", NodeEvent.READY): "ready",
    ("joined", NodeEvent.DRAINING): "draining",
    ("ready", NodeEvent.DRAINING): "draining",
    **{(state, NodeEvent.LEFT): "left" for state in ("joined", "ready", "draining", "lost")},
    **{(state, NodeEvent.LOST): "lost" for state in ("joined", "ready", "draining")},
}
"""State and event to the state after it; a pair that is missing changes nothing."""


ENDS_CONNECTIONS = frozenset({NodeEvent.JOINED, NodeEvent.LEFT, NodeEvent.LOST})
"""After these nobody is connected to the node any more, whether or not its last words told so."""


GAP_ID = "id"
"""Detail of a gap that tells it from others of its agent: told again under the same one, it is the same gap."""

_REMEMBERED_GAPS = 1024


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is known of a node after its last fact. `since_ms` is when it came into this state."""

    node_id: str
    state: str
    since_ms: int
    role: str = ""
    address: str = ""
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class AgentState:
    """What is known of an agent. `gaps` counts the holes that were told, `told_gaps` are the last ones' ids."""

    agent_id: str
    connected: bool = False
    since_ms: int = 0
    gateway: str = ""
    user: str = ""
    computer: str = ""
    gaps: int = 0
    told_gaps: tuple[str, ...] = ()
    tls: str = ""
    suite: str = ""
    forward_secret: bool = True
    """Of the connection that it has, or had last."""


@dataclass(frozen=True, slots=True)
class FleetState:
    """Every node and agent by id."""

    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    agents: Mapping[str, AgentState] = field(default_factory=dict)


def fold(state: FleetState, event: Record) -> FleetState:
    """The state after one lifecycle event (a `LifecycleEvent` record); an unknown event changes nothing."""
    if event["subject"] == "node":
        before = state.nodes.get(event["id"])
        node = fold_node(before, event)
        if node is None or node is before:
            return state
        return FleetState({**state.nodes, event["id"]: node}, _cut_off(state.agents, event))
    agent = _fold_agent(state.agents.get(event["id"]) or AgentState(event["id"]), event)
    return replace(state, agents={**state.agents, event["id"]: agent})


def fold_all(events: Iterable[Record]) -> FleetState:
    """The state after all `events`, oldest first."""
    state = FleetState()
    for event in events:
        state = fold(state, event)
    return state


def fold_node(node: NodeState | None, event: Record) -> NodeState | None:
    """One node's state after `event`; a fact of an incarnation that is over is ignored."""
    try:
        happened = NodeEvent(event["event"])
    except ValueError:
        return node
    stale = node is not None and event["incarnation"] != node.incarnation and happened is not NodeEvent.JOINED
    after = TRANSITIONS.get((node.state if node else None, happened))
    if stale or after is None:
        return node
    return NodeState(
        node_id=event["id"],
        state=after,
        since_ms=event["time_ms"],
        role=event["role"] or (node.role if node else ""),
        address=event["address"] or (node.address if node else ""),
        incarnation=event["incarnation"],
    )


def _cut_off(agents: Mapping[str, AgentState], event: Record) -> Mapping[str, AgentState]:
    """The agents after a fact of a node: those that were connected to it are not, when it ends connections."""
    if event["event"] not in ENDS_CONNECTIONS:
        return agents
    gone = {a.agent_id: a for a in agents.values() if a.connected and a.gateway == event["id"]}
    since_ms = event["time_ms"]
    return {**agents, **{name: replace(agent, connected=False, since_ms=since_ms) for name, agent in gone.items()}}


def _fold_agent(agent: AgentState, event: Record) -> AgentState:
    detail = event["detail"]
    match event["event"]:
        case AgentEvent.CONNECTED:
            return replace(
                agent,
                connected=True,
                since_ms=event["time_ms"],
                gateway=event["reporter"],
                user=detail.get("user", agent.user),
                computer=detail.get("computer", agent.computer),
                tls=detail.get("tls", ""),
                suite=detail.get("suite", ""),
                forward_secret=detail.get("forward_secret", "yes") == "yes",
            )
        case AgentEvent.DISCONNECTED if event["reporter"] == agent.gateway:
            return replace(agent, connected=False, since_ms=event["time_ms"])
        case AgentEvent.GAP if detail.get(GAP_ID, "") not in agent.told_gaps:
            told = (*agent.told_gaps, *filter(None, [detail.get(GAP_ID)]))[-_REMEMBERED_GAPS:]
            return replace(agent, gaps=agent.gaps + 1, told_gaps=told)
    return agent
