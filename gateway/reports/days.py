"""Days of people: presence, focus and overtime, as the views of schema `bi` define them; and one day, hour by hour.

Never asks the views about more people than one page has: they add up all of a person's days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from gateway.reports.activity import read_people
from gateway.reports.question import Question

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_DAYS = """
SELECT a.user_name AS person, a.day, sum(a.active_ms)::bigint AS active_ms, sum(a.idle_ms)::bigint AS idle_ms,
       sum(a.switches)::bigint AS switches, count(*) FILTER (WHERE a.active_ms > 0) AS applications,
       (array_agg(a.application ORDER BY a.active_ms DESC, a.application))[1] AS top_application,
       max(a.active_ms)::bigint AS top_ms
FROM (
    SELECT user_name, day, application, sum(active_ms) AS active_ms, sum(idle_ms) AS idle_ms, sum(switches) AS switches
    FROM bi.activity_hour WHERE hour >= $1 AND hour < $2 AND user_name = ANY($3) GROUP BY 1, 2, 3
) a
GROUP BY 1, 2 ORDER BY 1, 2"""

_FOCUS = """
SELECT p.user_name AS person, p.day, p.first_at, p.last_at, f.longest_ms, f.deep_ms, o.overtime_ms
FROM bi.presence_day p
JOIN bi.focus_day f USING (user_name, day)
JOIN bi.overtime_day o USING (user_name, day)
WHERE p.user_name = ANY($1) AND p.day BETWEEN $2 AND $3"""

_HOURS = """
SELECT hour, application, active_ms, idle_ms, switches FROM bi.activity_hour
WHERE user_name = $1 AND day = $2 ORDER BY hour, active_ms DESC"""

_RUNS = """
SELECT lower(run) AS from_at, upper(run) AS until_at
FROM (SELECT unnest(active) AS run FROM bi.presence_day WHERE user_name = $1 AND day = $2) runs ORDER BY 1"""

_JOIN_MS = 60_000
"""A pause that is shorter than this does not end a stretch of activity."""


async def read_days(connection: Connection, question: Question) -> list[dict[str, Any]]:
    """A row for each person and day of theirs; the question's limit and offset count people."""
    people = await read_people(connection, question)
    if not people:
        return []
    rows = [dict(row) for row in await connection.fetch(_DAYS, question.since, question.until, people)]
    days = [row["day"] for row in rows]
    focus = await connection.fetch(_FOCUS, people, min(days), max(days))
    found = {(row["person"], row["day"]): dict(row) for row in focus}
    nothing = dict.fromkeys(("first_at", "last_at", "longest_ms", "deep_ms", "overtime_ms"))
    return [{**nothing, **found.get((row["person"], row["day"]), {}), **row} for row in rows]


def add_up_days(days: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The days of each person as one row; what was not told of a day is not counted as nothing."""
    persons: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in days:
        persons[row["person"]].append(row)
    return [_one_row(person, rows) for person, rows in persons.items()]


def _one_row(person: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    active_ms = sum(row["active_ms"] for row in rows)
    tops: dict[str, int] = defaultdict(int)
    for row in rows:
        tops[row["top_application"]] += row["top_ms"]
    longest = [row["longest_ms"] for row in rows if row["longest_ms"] is not None]
    return {
        "person": person,
        "days": len(rows),
        "active_ms": active_ms,
        "idle_ms": sum(row["idle_ms"] for row in rows),
        "switches": sum(row["switches"] for row in rows),
        "top_application": max(tops, key=lambda name: tops[name]),
        "top_ms": max(tops.values()),
        "longest_ms": max(longest) if longest else None,
        "deep_ms": _sum_known(rows, "deep_ms"),
        "overtime_ms": _sum_known(rows, "overtime_ms"),
    }


def _sum_known(rows: Sequence[dict[str, Any]], name: str) -> int | None:
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None


async def read_day(connection: Connection, person: str, day: date) -> dict[str, Any]:
    """One day of a person: hours by application, and stretches of activity."""
    hours = [dict(row) for row in await connection.fetch(_HOURS, person, day)]
    stretches: list[list[Any]] = []
    for row in await connection.fetch(_RUNS, person, day):
        pause_ms = (row["from_at"] - stretches[-1][1]).total_seconds() * 1000 if stretches else _JOIN_MS
        if pause_ms < _JOIN_MS:
            stretches[-1][1] = row["until_at"]
        else:
            stretches.append([row["from_at"], row["until_at"]])
    return {"hours": hours, "stretches": [tuple(one) for one in stretches]}
