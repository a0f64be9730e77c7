"""Alerts as PostgreSQL keeps them: found by rule, person, time and state, and settled by people.

Never tells of a person outside the scope that it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_COLUMNS = """alert_id, raised_at, until_at, rule, rule_name, severity, kind, agent_id, document_id, person, computer,
stream, application, detail, state, note, state_by, state_at"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which alerts. Empty lists are all; `persons` `None` is everybody."""

    persons: Collection[str] | None = None
    rules: Sequence[str] = ()
    states: Sequence[str] = ()
    severities: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None
    """The last alert of the page before."""
    limit: int = 50


_WHERE = """($1::text[] IS NULL OR person = ANY($1)) AND ($2::text[] IS NULL OR rule = ANY($2))
AND ($3::text[] IS NULL OR severity = ANY($3)) AND ($4::timestamptz IS NULL OR raised_at >= $4)
AND ($5::timestamptz IS NULL OR raised_at < $5)"""


def _parameters(wanted: Filter) -> tuple[Any, ...]:
    persons = None if wanted.persons is None else list(wanted.persons)
    return persons, list(wanted.rules) or None, list(wanted.severities) or None, wanted.since, wanted.until


async def read_alerts(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """Alerts, the newest first."""
    at, alert_id = wanted.before or (None, None)
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM alert WHERE {_WHERE} AND ($6::text[] IS NULL OR state = ANY($6)) "  # noqa: S608
        "AND ($7::timestamptz IS NULL OR (raised_at, alert_id) < ($7, $8)) "
        "ORDER BY raised_at DESC, alert_id DESC LIMIT $9",
        *_parameters(wanted),
        *(list(wanted.states) or None, at, alert_id, wanted.limit),
    )
    return [dict(row) for row in rows]


async def count_states(connection: Connection, wanted: Filter) -> dict[str, int]:
    """How many there are of each state, whatever states are wanted."""
    rows = await connection.fetch(
        f"SELECT state, count(*) AS alerts FROM alert WHERE {_WHERE} GROUP BY state",  # noqa: S608
        *_parameters(wanted),
    )
    return {row["state"]: row["alerts"] for row in rows}


async def list_rules(connection: Connection, persons: Collection[str] | None) -> list[tuple[str, str]]:
    """Id and newest name of every rule that raised an alert, by name."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (rule) rule, rule_name FROM alert WHERE $1::text[] IS NULL OR person = ANY($1) "
        "ORDER BY rule, raised_at DESC",
        None if persons is None else list(persons),
    )
    return sorted(((row["rule"], row["rule_name"]) for row in rows), key=lambda one: one[1].lower())


async def read_alert(connection: Connection, alert_id: str) -> dict[str, Any] | None:
    """One alert."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM alert WHERE alert_id = $1", alert_id)  # noqa: S608
    return None if row is None else dict(row)


async def settle_alert(connection: Connection, alert_id: str, state: str, note: str, by: str) -> dict[str, Any] | None:
    """Note what somebody says of it; the alert as it is then."""
    row = await connection.fetchrow(
        "UPDATE alert SET state = $2, note = $3, state_by = $4, state_at = now() WHERE alert_id = $1 "  # noqa: S608
        f"RETURNING {_COLUMNS}",
        *(alert_id, state, note, by),
    )
    return None if row is None else dict(row)
