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

OWN_MISSED = 2
OWN_DELAY_S = 1.0
"""The judge that misses so many of its own, and this longer, judges nobody: it takes the topic to be shut."""

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

    def excuse(self, now: float, grace_s: float = 0.0) -> None:
        """Nothing could be heard until now: every node gets its full time again, and so many seconds more."""
        for pulse in self._pulses.values():
            pulse.deadline = now + _silence_s(pulse.interval_ms) + grace_s

    def overdue(self, now: float, time_ms: int) -> list[Record]:
        """`lost` events for the nodes that were silent for too long."""
        late = [name for name, pulse in self._pulses.items() if pulse.deadline <= now]
        return [_event(self.nodes[name], "lost", time_ms, {"reason": "no heartbeat"}) for name in late]


class Witness:
    """The heartbeats of the process that judges: while its own do not come through, nobody's do.

    What can be read may still not be written: while a partition has too few replicas in sync, all are silent, and well.
    """

    def __init__(self, name: str, now: float) -> None:
        self._name = name
        self._pulse_s = DEFAULT_INTERVAL_MS / 1000
        self._heard = now

    def hear(self, beat: Record, now: float) -> None:
        """Take a heartbeat, whoever's."""
        if beat["id"] == self._name:
            self._heard, self._pulse_s = now, beat["interval_ms"] / 1000

    def silent(self, now: float) -> bool:
        """Whether its own heartbeats have stayed away, well before anybody else is given up for that."""
        return now - self._heard > OWN_MISSED * self._pulse_s + OWN_DELAY_S


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
