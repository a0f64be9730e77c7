"""Rows of PostgreSQL that are too old: what each table's rows are, when they are of, and how they go.

Never deletes from the audit, and never so much in one transaction that others wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from schemas.kinds import StreamKind
from sinks.postgresql.connection import Connection
from sinks.retention.periods import ACTIVITY, ALERTS, OTHER, SESSIONS, Kept, Periods

BATCH = 50_000

_LONG_S = 900.0
"""Seconds for what reads or changes a day of a large installation at once."""

_STREAMS = tuple(kind.label for kind in StreamKind)
_STREAM = f"CASE WHEN t.stream IN ({', '.join(map(repr, _STREAMS))}) THEN t.stream ELSE '{OTHER}' END"


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are an agent's: SQL for when one is of (`t` is the row), and for its kind in `Periods`."""

    name: str
    time: str
    kinds: tuple[str, ...]
    kind: str
    whole: bool = False
    """Whether a hold keeps all rows of its agents, whatever their time."""


TABLES = (
    Table("envelope", "t.captured_at", (*_STREAMS, OTHER), _STREAM),
    Table("gap", "t.noticed_at", (*_STREAMS, OTHER), _STREAM),
    Table("activity_span", "t.hour", (ACTIVITY,), f"'{ACTIVITY}'"),
    Table("alert", "t.raised_at", (ALERTS,), f"'{ALERTS}'"),
    Table("session", "t.disconnected_at", (SESSIONS,), f"'{SESSIONS}'", whole=True),
)
"""Sums of activity go with their spans, by the triggers of these."""

_OLD = """
FROM {table} t JOIN unnest($1::text[], $2::timestamptz[]) AS old (kind, before)
    ON old.kind = {kind} AND {time} < old.before
WHERE {time} < $3 AND ($4::uuid[] IS NULL OR t.agent_id = ANY($4)) AND NOT EXISTS (
    SELECT FROM unnest($5::uuid[], $6::timestamptz[], $7::timestamptz[]) AS held (agent_id, since, until)
    WHERE held.agent_id = t.agent_id AND ({whole} OR ({time} >= held.since AND {time} < held.until)))"""
_COUNT = f"SELECT old.kind, count(*) AS count {_OLD} GROUP BY 1"
_DELETE = f"""
WITH gone AS (
    DELETE FROM {{table}} t WHERE ctid = ANY(ARRAY(SELECT t.ctid {_OLD} LIMIT $8)) RETURNING {{kind}} AS kind
)
SELECT kind, count(*) AS count FROM gone GROUP BY 1"""  # noqa: S608  # tables of ours
_OLDEST = "SELECT {kind} AS kind, min({time}) AS at FROM {table} t WHERE {time} IS NOT NULL GROUP BY 1"

_NAMES = "SELECT file FROM archive_file WHERE stream = $1 AND day = $2 ORDER BY file"
_RUNS = """
DELETE FROM archive_run r WHERE r.file = $1 AND NOT r.agent_id = ANY($2::uuid[])
AND ($3::uuid[] IS NULL OR r.agent_id = ANY($3))"""
_FILES = """
DELETE FROM archive_file f WHERE f.stream = $1 AND f.day = $2
AND NOT EXISTS (SELECT FROM archive_run r WHERE r.file = f.file)"""


def _sql(template: str, table: Table) -> str:
    return template.format(table=table.name, kind=table.kind, time=table.time, whole=str(table.whole).lower())


def _arguments(table: Table, periods: Periods, kept: Kept) -> list[object] | None:
    """What the conditions of `_OLD` are filled with; none when nothing of the table ever goes."""
    before = periods.before(table.kinds)
    if not before:
        return None
    spans = kept.spans()
    return [
        list(before),
        list(before.values()),
        max(before.values()),
        None if kept.only is None else _uuids(kept.only),
        [UUID(bytes=agent) for agent, _, _ in spans],
        [since for _, since, _ in spans],
        [until for _, _, until in spans],
    ]


async def count_old(connection: Connection, table: Table, periods: Periods, kept: Kept) -> dict[str, int]:
    """How many rows of each kind would go."""
    arguments = _arguments(table, periods, kept)
    if arguments is None:
        return {}
    rows = await connection.fetch(_sql(_COUNT, table), *arguments, timeout=_LONG_S)
    return {row["kind"]: row["count"] for row in rows}


async def delete_some(connection: Connection, table: Table, periods: Periods, kept: Kept) -> dict[str, int]:
    """Delete some that are too old, at most `BATCH`; how many of each kind. None are left when these are none."""
    arguments = _arguments(table, periods, kept)
    if arguments is None:
        return {}
    rows = await connection.fetch(_sql(_DELETE, table), *arguments, BATCH, timeout=_LONG_S)
    return {row["kind"]: row["count"] for row in rows}


async def oldest(connection: Connection, table: Table) -> dict[str, datetime]:
    """When the oldest row of each kind is of."""
    return {row["kind"]: row["at"] for row in await connection.fetch(_sql(_OLDEST, table), timeout=_LONG_S)}


async def old_indexed(connection: Connection, periods: Periods) -> list[tuple[StreamKind, str]]:
    """Streams and days of the archive's index that are too old: files may be gone whose rows are not."""
    first = {label: day for label, day in periods.first_kept.items() if label in _STREAMS}
    rows = await connection.fetch(
        "SELECT DISTINCT f.stream, f.day FROM archive_file f "
        "JOIN unnest($1::text[], $2::date[]) AS old (stream, first) ON old.stream = f.stream AND f.day < old.first",
        list(first),
        list(first.values()),
    )
    return [(StreamKind.from_label(row["stream"]), row["day"].isoformat()) for row in rows]


async def unindex_runs(connection: Connection, kind: StreamKind, day: str, kept: Kept) -> None:
    """Take out of the index what was recorded in a stream's day by whoever is not held."""
    when = date.fromisoformat(day)
    held = [agent for hold in kept.holds for agent in hold.agents if kept.keeps_epochs(agent, when)]
    only = None if kept.only is None else _uuids(kept.only)
    for row in await connection.fetch(_NAMES, kind.label, when):
        await connection.execute(_RUNS, row["file"], _uuids(held), only, timeout=_LONG_S)


async def unindex_files(connection: Connection, kind: StreamKind, day: str) -> None:
    """Take files out of the index that have nothing in it any more."""
    await connection.execute(_FILES, kind.label, date.fromisoformat(day))


def _uuids(agents: Sequence[bytes] | frozenset[bytes]) -> list[UUID]:
    return [UUID(bytes=agent) for agent in sorted(agents)]
