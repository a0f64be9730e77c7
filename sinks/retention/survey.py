"""What there is of what is kept: the oldest of each store and kind, and the runs that there were.

Only reads.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from schemas.kinds import StreamKind
from sinks.archive.layout import Layout
from sinks.elasticsearch import client as elasticsearch
from sinks.postgresql.connection import Connection
from sinks.retention import documents, rows
from sinks.retention.run import ARCHIVE, ELASTICSEARCH, POSTGRESQL

if TYPE_CHECKING:
    from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class LastRun:
    """A run of retention."""

    actor: str
    started_at: datetime
    outcome: str
    detail: dict[str, Any]


Oldest = dict[tuple[str, str], datetime]
"""By store and kind."""


def oldest_archived(layout: Layout) -> Oldest:
    """The first day of each stream of which the archive has a file; of today's midnight, UTC."""
    found: Oldest = {}
    for kind in StreamKind:
        day = next((day for day in layout.days(kind) if layout.files(kind, day)), None)
        if day is not None:
            found[ARCHIVE, kind.label] = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return found


async def oldest_rows(connection: Connection) -> Oldest:
    """The oldest row of each kind, of whichever table."""
    found: Oldest = {}
    for table in rows.TABLES:
        for kind, at in (await rows.oldest(connection, table)).items():
            found[POSTGRESQL, kind] = min(at, found.get((POSTGRESQL, kind), at))
    return found


async def oldest_of_all(settings: Settings, connection: Connection) -> Oldest:
    """Of every store; raises `UnavailableError`."""
    found = await asyncio.to_thread(oldest_archived, Layout(settings.archive.dir))
    found |= await oldest_rows(connection)
    client = elasticsearch.connect(settings.elasticsearch)
    try:
        seen = await documents.oldest(client, settings.elasticsearch.index_prefix)
    finally:
        await client.close()
    return found | {(ELASTICSEARCH, kind): at for kind, at in seen.items()}


async def last_run(connection: Connection, *, done: bool) -> LastRun | None:
    """The newest run, or the newest that succeeded."""
    row = await connection.fetchrow(
        "SELECT actor, started_at, outcome, detail FROM retention_run "
        "WHERE NOT $1 OR outcome = 'done' ORDER BY started_at DESC LIMIT 1",
        done,
    )
    return row and LastRun(row["actor"], row["started_at"], row["outcome"], json.loads(row["detail"]))
