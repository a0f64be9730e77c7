"""Lifecycle records and mirror lines of the first version, and today's as a reader of then sees them."""

from __future__ import annotations

import json
from typing import Any

from gateway.lifecycle import LifecycleLog
from schemas.lifecycle import NodeEvent, fold_all
from schemas.records import decode_record
from tests.compat.recorded import recorded

RECORDED = recorded("lifecycle")
VALUES = [bytes.fromhex(value) for value in RECORDED["records"]]
AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"


def lines_today() -> list[dict[str, Any]]:
    """As the recorded lines were made: state after four facts, all facts, and that nothing happens."""
    log = LifecycleLog(lambda: 100.0)
    for offset, value in enumerate(VALUES[:4]):
        log.take(offset, value)
    log.caught_up()
    lines = [log.head_line("node-1/gateway"), *log.state_lines()]
    for offset, value in enumerate(VALUES[4:], 4):
        log.take(offset, value)
    return [json.loads(line) for line in [*lines, *(line for _, line in log.lines_from(0)), log.alive_line()]]


def test_recorded_facts_fold_to_what_they_meant() -> None:
    """The gateway has left; its agent is not connected any more and has one gap."""
    state = fold_all(decode_record(value, "lifecycle_event") for value in VALUES)
    assert state.nodes["node-1/gateway"].state == "left"
    agent = state.agents[AGENT]
    assert (agent.connected, agent.user, agent.computer, agent.gaps) == (False, "ana", "desk-7", 1)


def test_todays_mirror_says_all_that_the_first_one_said() -> None:
    """Line for line of the same facts: every field of then is there with the same value; others may come."""
    before, today = RECORDED["lines"], lines_today()
    assert [line["line"] for line in today] == [line["line"] for line in before]
    for old, new in zip(before, today, strict=True):
        assert old.items() <= new.items()


def test_an_unknown_fact_changes_nothing() -> None:
    """What a later version tells of nodes is no reason for this one to lose what it knows."""
    events = [decode_record(value, "lifecycle_event") for value in VALUES[:2]]
    later = {**events[1], "event": "hibernating"}
    assert "hibernating" not in set(NodeEvent)
    assert fold_all([*events, later]) == fold_all(events)
