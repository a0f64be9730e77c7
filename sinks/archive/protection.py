"""What each KEK protects: the archive's epochs, envelopes, bytes and persons, counted from headers and index.

Opens nothing, and reads no envelope: a header names who can open it, the index says how much it covers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.envelope import parse_epoch_header
from schemas.errors import MalformedError
from sinks.archive.headers import load_day
from sinks.archive.layout import Layout
from sinks.archive.rewrapping import key_files
from sinks.postgresql.connection import Connection, store_errors

_BATCH = 5_000


@dataclass(slots=True)
class Protected:
    """What one KEK opens. `alone`: epochs that open with it and with no other KEK in use."""

    epochs: int = 0
    alone: int = 0
    envelopes: int = 0
    bytes: int = 0
    first_day: str = ""
    last_day: str = ""
    agents: set[str] = field(default_factory=set)
    persons: set[str] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        """As it is told: people are counted, not named."""
        return {
            "epochs": self.epochs,
            "alone": self.alone,
            "envelopes": self.envelopes,
            "bytes": self.bytes,
            "agents": len(self.agents),
            "persons": len(self.persons),
            "first_day": self.first_day,
            "last_day": self.last_day,
        }


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of the archive and the KEKs that open it."""

    agent: str
    day: str
    epoch_id: bytes
    key_ids: frozenset[bytes]


def epochs_of(layout: Layout) -> Iterator[Epoch]:
    """Every epoch that was not erased, oldest day first."""
    for path in key_files(layout):
        for epoch_id, headers in load_day(path).headers.items():
            key_ids = frozenset(key_id for header in headers for key_id in _key_ids(header))
            yield Epoch(path.stem, path.parent.name, epoch_id, key_ids)


async def count_protected(connection: Connection, layout: Layout, usable: Collection[bytes]) -> dict[bytes, Protected]:
    """By key id, also of KEKs that nobody registered; `usable` are those that open. Raises `UnavailableError`."""
    found: dict[bytes, Protected] = {}
    with store_errors():
        people = {str(row["agent_id"]): row["user_name"] for row in await connection.fetch("SELECT * FROM agent")}
        covered = await _covered(connection)
    for epoch in epochs_of(layout):
        envelopes, size = covered.get(epoch.epoch_id, (0, 0))
        opening = epoch.key_ids & frozenset(usable)
        for key_id in epoch.key_ids:
            one = found.setdefault(key_id, Protected(first_day=epoch.day))
            one.epochs += 1
            one.alone += not opening - {key_id}
            one.envelopes += envelopes
            one.bytes += size
            one.last_day = max(one.last_day, epoch.day)
            one.agents.add(epoch.agent)
            one.persons |= {name for name in [people.get(epoch.agent, "")] if name}
    return found


async def _covered(connection: Connection) -> dict[bytes, tuple[int, int]]:
    """Envelopes and bytes of every epoch that the index knows."""
    found: dict[bytes, tuple[int, int]] = {}
    query = (
        "SELECT epoch_id, sum(last_sequence - first_sequence + 1)::bigint AS envelopes, "
        "sum(byte_length)::bigint AS bytes FROM archive_run GROUP BY epoch_id"
    )
    async with connection.transaction():
        async for row in connection.cursor(query, prefetch=_BATCH):
            found[row["epoch_id"]] = (row["envelopes"], row["bytes"])
    return found


def _key_ids(header: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(parse_epoch_header(header).key_ids)
    except MalformedError:
        return ()
