"""What a node's workers do now: which run, what they hold, how far their groups are behind.

Never joins a group, and asks the workers nothing but their health.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from infra.lag import GroupStanding, LagReader, PartitionLag
from infra.nodes.following import drained_before
from infra.stack.probe import http_get
from infra.stack.processes import explain_health
from schemas.errors import UnavailableError
from streams.assembly import ALERT_GROUP, FAUST_GROUP, MINE_GROUP
from streams.nodes import GROUP as NODES_GROUP

if TYPE_CHECKING:
    from infra.settings import Settings

log = structlog.get_logger(__name__)

GROUPS = frozenset({MINE_GROUP, FAUST_GROUP, ALERT_GROUP, NODES_GROUP})
"""Those that workers read in."""

LOOK_S = 2.0

_NOTE = re.compile(r"^(streams-\d+)(-\d+)?$")
"""A worker's note, also of one that found another of its name alive."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One that lives. `fault` is what its health check says, empty when all is well."""

    name: str
    pid: int
    drained: bool
    fault: str = ""


@dataclass(frozen=True, slots=True)
class PlacedLag:
    """Where a group stands in a partition; `here`: a worker of this node reads it."""

    lag: PartitionLag
    here: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """`members`: how many of this node's clients are in the groups; they `hold` so many partitions."""

    workers: tuple[Worker, ...] = ()
    rows: tuple[PlacedLag, ...] = ()
    members: int = 0
    held: int = 0
    kafka_fault: str = ""
    wished_away: bool = False
    """Every worker that ever followed a wish here is wished drained: also while none lives, since it starts anew."""

    @property
    def drained(self) -> bool:
        """Whether every worker that lives is wished drained."""
        return all(worker.drained for worker in self.workers) if self.workers else self.wished_away

    @property
    def let_go(self) -> bool:
        """Whether nothing is read here any more: no partition, and nobody who might be given one."""
        return not self.kafka_fault and not self.members and all(worker.drained for worker in self.workers)

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words."""
        faults = [f"{worker.name}: {worker.fault}" for worker in self.workers if worker.fault]
        if self.kafka_fault:
            faults.append(self.kafka_fault)
        if not self.workers:
            faults.append("no worker runs here")
        return faults


class Observer:
    """Looks at the workers of this node. `standing` is what it saw last; `follow` keeps it fresh."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader = LagReader(settings)
        self._turn = asyncio.Lock()
        self.standing = Standing(kafka_fault="not looked yet")

    async def follow(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> Standing:
        """Look now."""
        async with self._turn:
            workers, wished_away = await find_workers(self._settings), all_wished_away(self._settings)
            try:
                groups = await self._reader.read(GROUPS)
            except UnavailableError as error:
                seen = Standing(workers, kafka_fault=str(error))
            else:
                seen = stand(self._settings.node.id, workers, groups)
            self.standing = replace(seen, wished_away=wished_away)
            return self.standing

    async def close(self) -> None:
        """Close its clients."""
        async with self._turn:
            await self._reader.close()


async def find_workers(settings: Settings) -> tuple[Worker, ...]:
    """The workers of this node that live, by the notes that they keep of themselves."""
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(settings.data.run.glob("streams-*.json")):
        name = _NOTE.match(path.stem)
        try:
            note = json.loads(path.read_text("utf-8"))
            pid, health = int(note["pid"]), str(note["health"])
            os.kill(pid, 0)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if name is not None:
            found[name[1]] = pid, health
    faults = await asyncio.gather(*(_ask_health(url) for _, url in found.values()))
    return tuple(
        Worker(name, pid, drained_before(settings, f"{settings.node.id}/{name}"), fault)
        for (name, (pid, _)), fault in zip(found.items(), faults, strict=True)
    )


def all_wished_away(settings: Settings) -> bool:
    """Whether every worker of this node that keeps a wish is wished drained; not where none does."""
    node = settings.node.id
    names = [path.stem.rpartition("-streams-")[2] for path in settings.data.run.glob(f"wish-{node}-streams-*.json")]
    return bool(names) and all(drained_before(settings, f"{node}/streams-{name}") for name in names)


def is_of_node(client: str, node: str) -> bool:
    """Whether a member of a group is a process of that node, by its client's name."""
    return client == node or client.startswith(f"{node}/")


def stand(node: str, workers: tuple[Worker, ...], groups: Sequence[GroupStanding]) -> Standing:
    """How a node stands, by its workers and by what Kafka tells of their groups."""
    ours = [(group.group, member) for group in groups for member in group.members if is_of_node(member.client, node)]
    held = {(group, *place) for group, member in ours for place in member.partitions}
    rows = tuple(
        PlacedLag(row, (row.group, row.topic, row.partition) in held) for group in groups for row in group.rows
    )
    return Standing(workers, rows, len(ours), len(held))


async def _ask_health(url: str) -> str:
    try:
        return explain_health(*await http_get(url))
    except (OSError, TimeoutError) as error:
        return f"does not answer ({type(error).__name__})"
