"""The audit as people read it: filtered, newest first, page by page; and what in it concerns a recorded person.

Never changes the audit, and never gives more than a page at once.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway.api.errors import ApiError
from gateway.api.times import from_ms, to_ms

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

MAX_CSV_ROWS = 200_000
NOT_LOOKS = frozenset({"enrol", "account_change", "team_change", "sign_in", "sign_out", "token_make", "token_revoke"})
"""What names a person or their endpoint without anybody looking at what was recorded."""

_COLUMNS = """happened_at, actor, action, target, purpose, outcome, detail, topic_id, kafka_partition, kafka_offset"""
_ABOUT = """(string_to_array(detail->>'persons', ',') @> ARRAY[{0}]
 OR string_to_array(split_part(target, ' ', 1), ',') && (
    SELECT array_agg(agent_id::text) FROM agent WHERE user_name = {0}))"""
_NAMES = """
WITH RECURSIVE known AS (
    (SELECT {0} FROM audit_entry ORDER BY {0} USING {1} LIMIT 1)
    UNION ALL
    SELECT (SELECT {0} FROM audit_entry e WHERE e.{0} {2} known.{0} ORDER BY {0} USING {1} LIMIT 1) FROM known
    WHERE known.{0} IS NOT NULL)
SELECT {0} AS name FROM known WHERE {0} IS NOT NULL LIMIT 500"""
_ORDERS = {"action": ("<", ">"), "actor": ("~<~", "~>~")}
"""Columns with the operators of their indexes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; what is empty does not matter. `actor` and `target` may be beginnings."""

    actor: str = ""
    actions: Sequence[str] = ()
    without: Sequence[str] = ()
    target: str = ""
    person: str = ""
    outcome: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    after: str = ""

    def where(self) -> tuple[str, list[Any]]:
        """As SQL, with its arguments; raises `ApiError` for a place that is none."""
        conditions: list[tuple[str, Any]] = [
            ("actor LIKE {0}", _beginning(self.actor)),
            ("action = ANY({0}::text[])", list(self.actions)),
            ("action <> ALL({0}::text[])", list(self.without)),
            ("target LIKE {0}", _beginning(self.target)),
            (_ABOUT, self.person),
            ("outcome = {0}", self.outcome),
            ("happened_at >= {0}", None if self.since_ms is None else from_ms(self.since_ms)),
            ("happened_at < {0}", None if self.until_ms is None else from_ms(self.until_ms)),
        ]
        given = [(text, value) for text, value in conditions if value]
        parts = [text.format(f"${number}") for number, (text, _) in enumerate(given, 1)]
        values = [value for _, value in given]
        if self.after:
            places = [f"${len(values) + number}" for number in range(1, 5)]
            values += _place(self.after)
            parts.append(f"(happened_at, topic_id, kafka_partition, kafka_offset) < ({', '.join(places)})")
            parts.append(f"happened_at <= {places[0]}")
        return " AND ".join(parts) or "true", values


async def read_trail(connection: Connection, wanted: Wanted, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """A page of entries, the newest first, and what to ask for the next with."""
    where, values = wanted.where()
    rows = await connection.fetch(_select(where, limit + 1), *values)
    page = [_entry(row) for row in rows[:limit]]
    return page, page[-1]["id"] if len(rows) > limit else None


async def walk_trail(connection: Connection, wanted: Wanted) -> AsyncIterator[dict[str, Any]]:
    """All of them, up to `MAX_CSV_ROWS`, without holding them at once; in a transaction."""
    where, values = wanted.where()
    async for row in connection.cursor(_select(where, MAX_CSV_ROWS), *values, prefetch=500):
        yield _entry(row)


async def names_of(connection: Connection, column: str) -> list[str]:
    """The different values of `action` or `actor`, found by the index."""
    return [row["name"] for row in await connection.fetch(_NAMES.format(column, *_ORDERS[column]))]


def _select(where: str, limit: int) -> str:
    return f"""SELECT {_COLUMNS} FROM audit_entry WHERE {where}
    ORDER BY happened_at DESC, topic_id DESC, kafka_partition DESC, kafka_offset DESC LIMIT {limit:d}"""  # noqa: S608


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    time_ms = to_ms(row["happened_at"])
    return {
        "id": f"{time_ms}.{row['topic_id']}.{row['kafka_partition']}.{row['kafka_offset']}",
        "time_ms": time_ms,
        **{name: row[name] for name in ("actor", "action", "target", "purpose", "outcome")},
        "detail": json.loads(row["detail"]),
    }


def _place(after: str) -> list[Any]:
    try:
        time_ms, topic_id, partition, offset = after.split(".")
        return [from_ms(int(time_ms)), UUID(topic_id), int(partition), int(offset)]
    except (ValueError, OverflowError):
        raise ApiError(400, "bad_request", "`after` is what a page told as its own `after`") from None


def _beginning(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}%" if text else ""
