"""The mirror's memory on disk: what the lifecycle topic folded to, its newest lines, and until where it was read.

Never trusted when it is damaged or of another topic: then the topic is read again from its beginning.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import structlog

from infra.files import write_whole
from schemas.errors import MalformedError
from schemas.lifecycle import AgentState, NodeState

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger()

FORMAT = 1
"""Raised when the fold of facts changes in a way that its fields do not show: older snapshots are not used then."""

KEPT_LINES = 20_000
KEPT_AGENTS = 100_000
KEPT_GAPS = 64
"""Of each agent: so many ids of gaps that may be told again."""

MAX_BYTES = 256 << 20
INTERVAL_S = 5.0
UNCHANGED_S = 60.0
"""How often it is noted that nothing has happened."""

_COST = 50
"""A snapshot is written so much more rarely than it takes long to write."""

_MAGIC = b"sealstream-lifecycle"
_SHAPE = [sorted(it.name for it in fields(state)) for state in (NodeState, AgentState)]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at `next_offset`; `heard_at_s` is when, by the wall clock, the topic was read to its end."""

    topic: str
    topic_id: str
    next_offset: int
    heard_at_s: float | None
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    agents: Mapping[str, AgentState] = field(default_factory=dict)
    lines: tuple[tuple[int, bytes], ...] = ()


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """As it is kept: a line with the SHA-256 of what follows, one with the state, and the lines."""
    agents = sorted(snapshot.agents.values(), key=lambda one: (one.connected, one.since_ms), reverse=True)
    rows = (replace(one, told_gaps=one.told_gaps[-KEPT_GAPS:]) for one in agents[:KEPT_AGENTS])
    state = json.dumps(
        {
            "format": FORMAT,
            "shape": _SHAPE,
            "topic": snapshot.topic,
            "topic_id": snapshot.topic_id,
            "next_offset": snapshot.next_offset,
            "heard_at_s": snapshot.heard_at_s,
            "nodes": [asdict(node) for node in snapshot.nodes.values()],
            "agents": [asdict(agent) for agent in rows],
        }
    ).encode()
    body = b"".join([state, b"\n", *(line for _, line in snapshot.lines[-KEPT_LINES:])])
    return b"%b %b\n%b" % (_MAGIC, hashlib.sha256(body).hexdigest().encode(), body)


def decode_snapshot(data: bytes) -> Snapshot:
    """The way back; raises `MalformedError` for what is damaged, or was written by another version's fold."""
    if len(data) > MAX_BYTES:
        raise MalformedError("it is too large", "too_large")
    head, _, body = data.partition(b"\n")
    if head != b"%b %b" % (_MAGIC, hashlib.sha256(body).hexdigest().encode()):
        raise MalformedError("its checksum is another", "damaged")
    try:
        state, *lines = body.splitlines(keepends=True)
        told: dict[str, Any] = json.loads(state)
        if (told["format"], told["shape"]) != (FORMAT, _SHAPE):
            raise MalformedError("it is of another version", "other_version")
        agents = [AgentState(**{**row, "told_gaps": tuple(row["told_gaps"])}) for row in told["agents"]]
        return Snapshot(
            told["topic"],
            told["topic_id"],
            int(told["next_offset"]),
            told["heard_at_s"],
            {row["node_id"]: NodeState(**row) for row in told["nodes"]},
            {agent.agent_id: agent for agent in agents},
            tuple((int(json.loads(line)["offset"]), line) for line in lines),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedError(f"it is not a snapshot: {type(error).__name__}", "damaged") from error


def read_snapshot(path: Path, topic: str) -> Snapshot | None:
    """The snapshot of that topic, none where there is none that can be used."""
    try:
        with path.open("rb") as file:
            snapshot = decode_snapshot(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        return None
    except (OSError, MalformedError) as error:
        log.warning("lifecycle_snapshot_unusable", path=str(path), reason=str(error))
        return None
    if snapshot.topic != topic:
        log.warning("lifecycle_snapshot_unusable", path=str(path), reason=f"it is of the topic {snapshot.topic}")
        return None
    return snapshot


class SnapshotKeeper:
    """Writes what `take` gives to `path`; one process of those that share the path, the others leave it to that one."""

    def __init__(self, path: Path, take: Callable[[], Snapshot]) -> None:
        self._path = path
        self._take = take
        self._lock = -1
        self._written: Snapshot | None = None
        self._written_at = float("-inf")

    async def keep(self) -> None:
        """Write every few seconds when something changed, until cancelled; the last time then."""
        wait_s = INTERVAL_S
        try:
            while True:
                await asyncio.sleep(wait_s)
                started = time.monotonic()
                if (snapshot := self._due(started)) is not None:
                    await asyncio.to_thread(self.write, snapshot)
                wait_s = max(INTERVAL_S, _COST * (time.monotonic() - started))
        finally:
            if (snapshot := self._due(float("inf"))) is not None:
                self.write(snapshot)
            self._unlock()

    def write(self, snapshot: Snapshot) -> None:
        """Write it whole; a disk that does not take it is told of and tried again."""
        try:
            if not self._locked():
                return
            data = encode_snapshot(snapshot)
            if len(data) > MAX_BYTES:
                log.warning("lifecycle_snapshot_too_large", bytes=len(data))
            else:
                # One that a crash of the machine cuts short is found out by its checksum.
                write_whole(self._path, data, durable=False)
        except OSError as error:
            log.warning("lifecycle_snapshot_not_written", path=str(self._path), error=error.strerror)
            return
        self._written, self._written_at = snapshot, time.monotonic()

    def _due(self, now: float) -> Snapshot | None:
        """What is to be written now, if anything is."""
        snapshot, before = self._take(), self._written
        if snapshot.heard_at_s is None:
            return None
        changed = before is None or (before.next_offset, before.topic_id) != (snapshot.next_offset, snapshot.topic_id)
        aged = before is not None and before.heard_at_s != snapshot.heard_at_s
        return snapshot if changed or (aged and now - self._written_at >= UNCHANGED_S) else None

    def _locked(self) -> bool:
        """Whether this process is the one that writes; the kernel frees the lock however it ends."""
        if self._lock >= 0:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
