"""Facts fold into one state, whoever folds them."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.identity import EnvelopeId, agent_bytes, agent_text, document_id
from schemas.kinds import StreamKind
from schemas.lifecycle import TRANSITIONS, AgentState, FleetState, NodeEvent, fold, fold_all
from schemas.topics import TOPICS, envelope_topic


def fact(event: str, subject: str = "node", time_ms: int = 1, **more: Any) -> dict[str, Any]:
    base = {"id": "n1", "role": "gateway", "address": "h:1", "incarnation": "a", "reporter": "n1", "detail": {}}
    return {"time_ms": time_ms, "subject": subject, "event": event, **base, **more}


def state_after(*events: dict[str, Any]) -> str:
    return fold_all(events).nodes["n1"].state


def test_a_node_lives() -> None:
    """joined, ready, draining, left: each fact is the state after it."""
    life = ["joined", "ready", "draining", "left"]
    for n, name in enumerate(life):
        assert state_after(*(fact(one) for one in life[: n + 1])) == name


def test_a_lost_node_comes_back() -> None:
    """Lost is not final: the node may be ready again, or join as a new process."""
    assert state_after(fact("joined"), fact("ready"), fact("lost")) == "lost"
    assert state_after(fact("joined"), fact("ready"), fact("lost"), fact("ready")) == "ready"
    assert state_after(fact("joined"), fact("lost"), fact("joined", incarnation="b")) == "joined"


def test_facts_of_an_earlier_process_change_nothing() -> None:
    """A late `lost` or `left` of the process before does not hurt its successor."""
    events = [fact("joined"), fact("ready"), fact("joined", incarnation="b"), fact("ready", incarnation="b")]
    for late in ("lost", "left", "draining"):
        assert state_after(*events, fact(late)) == "ready"


@pytest.mark.parametrize("event", ["ready", "draining", "left", "lost", "exploded"])
def test_impossible_facts_change_nothing(event: str) -> None:
    """A fact that is not in the table, or that nobody knows, leaves the state alone."""
    assert fold(FleetState(), fact(event)) == FleetState()


def test_every_event_leads_somewhere() -> None:
    """The table knows every event, and every state that it leads to."""
    assert {event for _, event in TRANSITIONS} == set(NodeEvent)


def test_missing_fields_are_kept_from_before() -> None:
    """An address that a later fact does not name is still known."""
    node = fold_all([fact("joined"), fact("ready", address="", role="")]).nodes["n1"]
    assert (node.role, node.address, node.since_ms) == ("gateway", "h:1", 1)


def agent_fact(event: str, **more: Any) -> dict[str, Any]:
    return fact(event, subject="agent", **{"id": "a1", "reporter": "g1", **more})


def test_an_agent_moves_between_gateways() -> None:
    """A late `disconnected` of the gateway before does not hide the connection that followed."""
    hello = {"user": "ann", "computer": "desk"}
    events = [
        agent_fact("connected", detail=hello),
        agent_fact("connected", reporter="g2", time_ms=5),
        agent_fact("disconnected", reporter="g1"),
    ]
    assert fold_all(events).agents["a1"] == AgentState("a1", True, 5, "g2", "ann", "desk")
    assert not fold_all([*events, agent_fact("disconnected", reporter="g2")]).agents["a1"].connected


@pytest.mark.parametrize("end", ["lost", "left", "joined"])
def test_nobody_stays_connected_to_a_gateway_that_is_gone(end: str) -> None:
    """A gateway that was killed tells of no disconnection; that it is lost, or begins anew, says it."""
    events = [
        fact("joined", id="g1"),
        fact("joined", id="g2"),
        agent_fact("connected"),
        agent_fact("connected", id="a2", reporter="g2"),
        fact(end, id="g1", time_ms=9),
    ]
    agents = fold_all(events).agents
    assert (agents["a1"].connected, agents["a1"].since_ms, agents["a2"].connected) == (False, 9, True)
    late = fact("lost", id="g1", incarnation="before")
    assert fold_all([*events[:3], late]).agents["a1"].connected


def test_gaps_are_counted() -> None:
    """Each told hole counts; an unknown fact does not."""
    assert fold_all([agent_fact("gap"), agent_fact("gap"), agent_fact("huh")]).agents["a1"].gaps == 2


def test_a_gap_that_is_told_again_is_one_gap() -> None:
    """By its id, whoever tells it; others of the same agent count."""
    first, other = {"id": "e-0-0"}, {"id": "e-0-1"}
    events = [agent_fact("gap", detail=first), agent_fact("gap", detail=other), agent_fact("gap", detail=first)]
    assert fold_all(events).agents["a1"].gaps == 2


def test_identity() -> None:
    """Ids are text and back; a document's id comes from its source alone."""
    source = EnvelopeId(bytes(range(16)), bytes(32), 7)
    assert agent_bytes(agent_text(source.agent_id)) == source.agent_id
    assert document_id(source) == document_id(source, 0) != document_id(source, 1)
    assert document_id(source) != document_id(source._replace(sequence=8))
    assert str(source).startswith(source.agent)


def test_topics() -> None:
    """Every stream has its topic, and each row of the table its own name."""
    assert all(envelope_topic(kind) in TOPICS for kind in StreamKind)
    assert all(name == topic.name and topic.partitions > 0 for name, topic in TOPICS.items())
    assert TOPICS["lifecycle"].partitions == 1, "the mirror names one offset"
    assert TOPICS["lifecycle"].cleanup == "delete", "facts are never compacted"
