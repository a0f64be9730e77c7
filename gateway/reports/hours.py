"""Hours of work by team: what overtime and rules go by.

Never leaves everybody without a week: the default one can be changed, not removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection


class Span(NamedTuple):
    """Hours of one weekday (1 is Monday); an end that is not after the beginning is of the next day."""

    weekday: int
    from_time: time
    until_time: time


class TeamWeek(NamedTuple):
    """The week of a team, `''` being everybody else's."""

    team: str
    time_zone: str
    hours: tuple[Span, ...]


async def read_weeks(connection: Connection) -> list[TeamWeek]:
    """All of them, the default one first."""
    weeks = await connection.fetch("SELECT team, time_zone FROM working_week ORDER BY team")
    rows = await connection.fetch("SELECT * FROM working_hours ORDER BY team, weekday, from_time")
    return [
        TeamWeek(
            week["team"],
            week["time_zone"],
            tuple(
                Span(row["weekday"], row["from_time"], row["until_time"]) for row in rows if row["team"] == week["team"]
            ),
        )
        for week in weeks
    ]


async def store_week(connection: Connection, team: str, time_zone: str, hours: Sequence[Span]) -> None:
    """Put a week in place of the one there is; raises `ConfigError` for a zone that PostgreSQL does not know."""
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO working_week VALUES ($1, $2) ON CONFLICT (team) DO UPDATE SET time_zone = $2",
                team,
                time_zone,
            )
            await connection.execute("DELETE FROM working_hours WHERE team = $1", team)
            await connection.executemany(
                "INSERT INTO working_hours VALUES ($1, $2, $3, $4)", [(team, *span) for span in hours]
            )
    except asyncpg.InvalidParameterValueError:
        raise ConfigError(f"the database knows no time zone {time_zone!r}: write one such as Europe/Berlin") from None
    except asyncpg.UniqueViolationError:
        raise ConfigError("two spans of one day begin at the same time: join them") from None


async def remove_week(connection: Connection, team: str) -> bool:
    """Let a team go by the default week; false where it has none of its own."""
    return await connection.fetchval("DELETE FROM working_week WHERE team = $1 RETURNING true", team) or False


async def team_exists(connection: Connection, team: str) -> bool:
    """Whether there is a team of that name."""
    return bool(await connection.fetchval("SELECT true FROM team WHERE name = $1", team))
