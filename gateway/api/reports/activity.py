"""Active and idle time by person, team, application, day and hour, and what there is to choose from.

Never adds up anybody whom the account may not see.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.reports.asking import FILES, Frozen, Name, Wish, as_file, make_question, note_report
from gateway.api.services import Serving
from gateway.api.times import to_ms
from gateway.reports.activity import read_activity, read_people

router = APIRouter()

Key = Literal["person", "team", "application", "day", "hour", "weekday", "hour_of_day"]
SUMS = ("active_ms", "idle_ms", "switches", "people")


class ActivityWish(Wish):
    """What is added up, and by what."""

    by: Annotated[tuple[Key, ...], Field(min_length=1, max_length=3)]
    """Keys to add up by, each given once."""
    application: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    """Names, with `*` and `?`."""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class ActivityRow(Frozen):
    """Sums of one group; of the keys, those that were asked for."""

    person: str | None = None
    team: str | None = None
    application: str | None = None
    day: str | None = None
    """Of the person's time zone, such as 2026-11-27."""
    hour_ms: int | None = None
    weekday: int | None = None
    """1 is Monday; of the person's time zone, as `hour_of_day`."""
    hour_of_day: int | None = None
    active_ms: int
    idle_ms: int
    switches: int
    """How often something came to the front."""
    people: int


class ActivityReport(Frozen):
    """Rows; `more`: there are others, ask with `offset`."""

    by: list[str]
    rows: list[ActivityRow]
    more: bool


class Choices(Frozen):
    """What a report can be narrowed to."""

    teams: list[str]
    people: list[str]
    more: bool


@router.get("/activity", response_model=ActivityReport, response_model_exclude_none=True, responses=FILES)
async def report_activity(
    principal: Annotated[Principal, needs(Permission.REPORTS)],
    services: Serving,
    wish: Annotated[ActivityWish, Query()],
) -> Response | ActivityReport:
    """Active and idle time, added up by up to three keys; as JSON, CSV or Parquet."""
    by, limit = wish.by, wish.limit
    if len(set(by)) != len(by):
        raise ApiError(400, "bad_request", "each key can be given once")
    question = make_question(principal, wish, limit + 1, by=by, applications=wish.application)
    async with services.database() as connection:
        rows = await read_activity(connection, question)
        people = await read_people(connection, replace(question, limit=MAX_PEOPLE, offset=0))
    await note_report(services, principal, f"activity by {','.join(by)}", people, wish)
    if wish.format != "json":
        return await as_file(wish.format, f"activity-by-{'-'.join(by)}", [*by, *SUMS], rows[:limit])
    return ActivityReport(by=list(by), rows=[_row(row) for row in rows[:limit]], more=len(rows) > limit)


def _row(row: dict[str, Any]) -> ActivityRow:
    told = dict(row)
    if "hour" in told:
        told["hour_ms"] = to_ms(told.pop("hour"))
    if "day" in told:
        told["day"] = told["day"].isoformat()
    return ActivityRow(**told)


MAX_CHOICES = 2000
MAX_PEOPLE = 10_000


@router.get("/choices")
async def list_choices(
    principal: Annotated[Principal, needs(Permission.REPORTS)],
    services: Serving,
) -> Choices:
    """Teams and people that the account may see, for filters."""
    persons = None if principal.persons is None else sorted(principal.persons)
    async with services.database() as connection:
        teams = await connection.fetch(
            "SELECT DISTINCT team FROM team_member WHERE $1::text[] IS NULL OR user_name = ANY($1) ORDER BY 1", persons
        )
        people = await connection.fetch(
            "SELECT DISTINCT user_name FROM agent WHERE user_name <> '' "
            "AND ($1::text[] IS NULL OR user_name = ANY($1)) ORDER BY 1 LIMIT $2",
            persons,
            MAX_CHOICES + 1,
        )
    names = [row["user_name"] for row in people]
    return Choices(teams=[row["team"] for row in teams], people=names[:MAX_CHOICES], more=len(names) > MAX_CHOICES)
