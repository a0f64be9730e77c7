"""What the mirror knows: the lifecycle topic as lines, the newest of them in memory, and the state they fold to.

Never forgets how old its knowledge is, also over a restart: when the topic was last known to be read to its end.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from itertools import islice, takewhile
from typing import Any

from gateway import snapshot as snapshots
from gateway.snapshot import Snapshot
from schemas.errors import MalformedError
from schemas.lifecycle import AgentState, FleetState, NodeState, fold
from schemas.records import Record, decode_record

KEPT_LINES = 20_000

ReadBack = Callable[[int, int], AsyncIterator[tuple[int, bytes]]]
"""Records of the topic from one offset until before another, oldest first."""


class LifecycleLog:
    """Takes the topic's records in order; whoever reads it keeps the offset of what comes next for them.

    `clock` is monotonic and measures ages; `wall_clock_s` is asked only for what outlives the process.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        kept: int = KEPT_LINES,
        wall_clock_s: Callable[[], float] = time.time,
    ) -> None:
        self.next_offset = 0
        self.topic_id = ""
        """Which log the offsets are of: a topic that is made anew has another."""
        self.generation = 0
        """How often the topic was found to be another one, and everything known was forgotten."""
        self.rounds = 0
        """How often it was read to its end."""
        self.connected = False
        """Whether the topic is being read."""
        self.heard_at: float | None = None
        """When it was last read to its end, by `clock`; none before the first time."""
        self._clock = clock
        self._wall_clock_s = wall_clock_s
        self._nodes: dict[str, NodeState] = {}
        self._agents: dict[str, AgentState] = {}
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=kept)
        self._news = asyncio.Event()

    @property
    def oldest(self) -> int:
        """The oldest offset in memory; what is before it must be read back from Kafka."""
        return self._lines[0][0] if self._lines else self.next_offset

    @property
    def nodes(self) -> Mapping[str, NodeState]:
        """Every node, by its id."""
        return self._nodes

    @property
    def agents(self) -> Mapping[str, AgentState]:
        """Every agent that was ever told of, by its id."""
        return self._agents

    def take(self, offset: int, value: bytes) -> None:
        """The topic's next record; one that is not a lifecycle event is passed over."""
        self.next_offset = offset + 1
        try:
            event = decode_record(value, "lifecycle_event")
        except MalformedError:
            return
        self._lines.append((offset, event_line(offset, event)))
        self._fold(event)
        self._wake()

    def caught_up(self) -> None:
        """The topic has been read to its end just now."""
        self.connected = True
        self.heard_at = self._clock()
        self.rounds += 1

    def lost(self) -> None:
        """Kafka does not answer."""
        self.connected = False

    def begin_anew(self, topic_id: str) -> None:
        """The topic is another one than before: forget everything, and take it from its first record."""
        self.next_offset, self.topic_id = 0, topic_id
        self.connected, self.heard_at = False, None
        self.generation += 1
        self._nodes, self._agents = {}, {}
        self._lines.clear()
        self._wake()

    def restore(self, known: Snapshot) -> None:
        """Go on from what an earlier process knew. A time to come, by a clock that was set, makes its age unknown."""
        self.next_offset, self.topic_id = known.next_offset, known.topic_id
        self._nodes, self._agents = dict(known.nodes), dict(known.agents)
        self._lines.extend(known.lines)
        if known.heard_at_s is not None and (age_s := self._wall_clock_s() - known.heard_at_s) >= 0:
            self.heard_at = self._clock() - age_s

    def snapshot(self, topic: str) -> Snapshot:
        """What a process that comes after is to know."""
        heard_at_s = None if self.heard_at is None else self._wall_clock_s() - (self._clock() - self.heard_at)
        newest = list(islice(reversed(self._lines), snapshots.KEPT_LINES))
        return Snapshot(
            topic,
            self.topic_id,
            self.next_offset,
            heard_at_s,
            dict(self._nodes),
            dict(self._agents),
            tuple(reversed(newest)),
        )

    def age_s(self) -> float | None:
        """Seconds since the topic was last read to its end; none when that is not known."""
        return None if self.heard_at is None else round(self._clock() - self.heard_at, 1)

    def lines_from(self, offset: int) -> list[tuple[int, bytes]]:
        """Lines in memory from `offset` on, oldest first."""
        newer = list(takewhile(lambda row: row[0] >= offset, reversed(self._lines)))
        newer.reverse()
        return newer

    async def wait(self, timeout_s: float) -> bool:
        """Wait for news; whether there were any within the time."""
        news = self._news
        try:
            await asyncio.wait_for(news.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def head_line(self, node_id: str) -> bytes:
        """The first line that a reader gets: who speaks, and how fresh that is."""
        connected = sum(agent.connected for agent in self._agents.values())
        return _line({"line": "mirror", "node": node_id, **self._freshness(), "agents_connected": connected})

    def reset_line(self) -> bytes:
        """A line for readers that count from a topic that is no more."""
        return _line({"line": "reset", **self._freshness()})

    def alive_line(self) -> bytes:
        """A line for when nothing happens."""
        return _line({"line": "alive", **self._freshness()})

    def state_lines(self) -> list[bytes]:
        """What is known now: every node, and every agent that is connected."""
        nodes = [{"line": "node", **asdict(node)} for node in self._nodes.values()]
        agents = [{"line": "agent", **asdict(agent)} for agent in self._agents.values() if agent.connected]
        for row in agents:
            del row["told_gaps"]  # the fold's own memory
        return [_line({**row, "since": _time(row["since_ms"])}) for row in [*nodes, *agents]]

    def _freshness(self) -> dict[str, Any]:
        kafka = "connected" if self.connected else "away"
        return {"next_offset": self.next_offset, "kafka": kafka, "age_s": self.age_s()}

    def _fold(self, event: Record) -> None:
        """One subject at a time: folding the whole fleet would copy it at every event."""
        key = event["id"]
        if event["subject"] == "node":
            known = {key: self._nodes[key]} if key in self._nodes else {}
            there = {name: agent for name, agent in self._agents.items() if agent.connected and agent.gateway == key}
            after = fold(FleetState(known, there), event)
            self._nodes.update(after.nodes)
            self._agents.update(after.agents)
        else:
            of_agent = {key: self._agents[key]} if key in self._agents else {}
            self._agents.update(fold(FleetState(agents=of_agent), event).agents)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def event_line(offset: int, event: Record) -> bytes:
    """A lifecycle event as a JSON line."""
    return _line({"line": "event", "offset": offset, "time": _time(event["time_ms"]), **event})


def _time(time_ms: int) -> str:
    """ISO 8601; empty for a time that no calendar has, which must not keep the others from being told."""
    try:
        return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return ""


def _line(row: dict[str, Any]) -> bytes:
    """A line in ASCII alone: whoever reads it with `nc` has a terminal, and names in it were chosen by endpoints."""
    return json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"
