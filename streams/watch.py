"""Who is alive: the fold of lifecycle events, heartbeats, and who has been silent for too long.

Reads no clock. Never holds against a node the time in which the watcher itself could not hear.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.lifecycle import NodeState, fold_node
from schemas.records import Record

ALIVE = frozenset({"joined", "ready", "draining"})
MISSED = 4
"""So many heartbeats may be missed; then the node is lost."""

MIN_SILENCE_S = 10.0
DEFAULT_INTERVAL_MS = 3_000


@dataclass(slots=True)
class _Pulse:
    incarnation: str
    deadline: float
    interval_ms: int = DEFAULT_INTERVAL_MS


class Watch:
    """States and pulses of all nodes. `now` is monotonic, in seconds."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}
        self._pulses: dict[str, _Pulse] = {}

    def learn(self, event: Record, now: float) -> None:
        """Take a lifecycle event."""
        if event["subject"] != "node":
            return
        node = fold_node(self.nodes.get(event["id"]), event)
        if node is None:
            return
        self.nodes[node.node_id] = node
        pulse = self._pulses.get(node.node_id)
        if node.state not in ALIVE:
            self._pulses.pop(node.node_id, None)
        elif pulse is None or pulse.incarnation != node.incarnation:
            self._pulses[node.node_id] = _Pulse(node.incarnation, now + _silence_s(DEFAULT_INTERVAL_MS))

    def hear(self, beat: Record, now: float) -> Record | None:
        """Take a heartbeat. A node that was given up and beats on is told as ready again: that event is returned."""
        node = self.nodes.get(beat["id"])
        if node is None or node.incarnation != beat["incarnation"]:
            return None
        if node.state == "lost":
            return _event(node, "ready", beat["time_ms"], {"reason": "heard again"})
        pulse = self._pulses.get(node.node_id)
        if pulse is not None:
            pulse.interval_ms = beat["interval_ms"]
            pulse.deadline = now + _silence_s(pulse.interval_ms)
        return None

    def excuse(self, now: float) -> None:
        """Nothing could be heard until now: every node gets its full time again."""
        for pulse in self._pulses.values():
            pulse.deadline = now + _silence_s(pulse.interval_ms)

    def overdue(self, now: float, time_ms: int) -> list[Record]:
        """`lost` events for the nodes that were silent for too long."""
        late = [name for name, pulse in self._pulses.items() if pulse.deadline <= now]
        return [_event(self.nodes[name], "lost", time_ms, {"reason": "no heartbeat"}) for name in late]


def _silence_s(interval_ms: int) -> float:
    return max(MIN_SILENCE_S, MISSED * interval_ms / 1000)


def _event(node: NodeState, event: str, time_ms: int, detail: dict[str, str]) -> Record:
    return {
        "time_ms": time_ms,
        "subject": "node",
        "id": node.node_id,
        "event": event,
        "role": node.role,
        "address": node.address,
        "incarnation": node.incarnation,
        "reporter": "",
        "detail": detail,
    }
