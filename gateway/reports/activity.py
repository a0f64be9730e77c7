"""Active and idle time, added up by whatever is asked for.

Reads `bi.activity_hour` within the hours asked for, so that it costs what these hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.reports.question import KEYS, Question

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_SUMS = """sum(a.active_ms)::bigint AS active_ms, sum(a.idle_ms)::bigint AS idle_ms,
       sum(a.switches)::bigint AS switches, count(DISTINCT a.user_name) AS people"""

_WHERE = """a.hour >= $1 AND a.hour < $2
  AND ($3::text[] IS NULL OR a.user_name = ANY($3))
  AND ($4::text[] IS NULL OR a.user_name IN (SELECT user_name FROM bi.team_member WHERE team = ANY($4)))
  AND ($5::text[] IS NULL OR lower(a.application) LIKE ANY($5))"""


async def read_activity(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """Rows with a column for each key and the sums, those with most activity first, days and hours in their order."""
    keys = {name: KEYS[name] for name in question.by}
    join = "JOIN bi.team_member m USING (user_name)" if "team" in keys else ""
    mine = "AND ($4::text[] IS NULL OR m.team = ANY($4))" if "team" in keys else ""
    in_order = all(name in {"day", "hour", "weekday", "hour_of_day"} for name in keys)
    order = ", ".join(str(number + 1) for number in range(len(keys))) if in_order else "active_ms DESC, 1"
    columns = ", ".join(f"{column} AS {name}" for name, column in keys.items())
    numbers = ", ".join(str(number + 1) for number in range(len(keys)))
    rows = await connection.fetch(
        f"SELECT {columns}, {_SUMS} FROM bi.activity_hour a {join} WHERE {_WHERE} {mine} "  # noqa: S608 - of our tables
        f"GROUP BY {numbers} ORDER BY {order} LIMIT $6 OFFSET $7",
        *parameters(question),
        question.limit,
        question.offset,
    )
    return [dict(row) for row in rows]


async def read_people(connection: Connection, question: Question) -> list[str]:
    """Who was recorded in that time, by name; those of the question's page alone."""
    rows = await connection.fetch(
        f"SELECT a.user_name FROM bi.activity_hour a WHERE {_WHERE} "  # noqa: S608 - of our tables
        "GROUP BY a.user_name ORDER BY a.user_name LIMIT $6 OFFSET $7",
        *parameters(question),
        question.limit,
        question.offset,
    )
    return [row["user_name"] for row in rows]


def parameters(question: Question) -> tuple[Any, ...]:
    """Those of `_WHERE`."""
    return (
        question.since,
        question.until,
        None if question.persons is None else list(question.persons),
        list(question.teams) or None,
        [like(glob) for glob in question.applications] or None,
    )


def like(glob: str) -> str:
    """A name with `*` and `?` as LIKE has it, in lower case."""
    escaped = glob.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
