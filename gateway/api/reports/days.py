"""Days of people: presence, focus, overtime; added up per person, and one day in detail.

Never tells of a day what was not recorded: what is not known is left out, not nought.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import not_found
from gateway.api.reports.asking import FILES, Frozen, Wish, as_file, make_question, note_report
from gateway.api.services import Serving
from gateway.api.times import to_ms
from gateway.reports.days import add_up_days, read_day, read_days

router = APIRouter()


class PeopleWish(Wish):
    """Whose days."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """People on one page."""


DAY_COLUMNS = (
    *("person", "day", "active_ms", "idle_ms", "switches", "applications", "top_application", "top_ms"),
    *("first_at", "last_at", "longest_ms", "deep_ms", "overtime_ms"),
)
PERSON_COLUMNS = (
    *("person", "days", "active_ms", "idle_ms", "switches", "top_application", "top_ms"),
    *("longest_ms", "deep_ms", "overtime_ms"),
)


class DayRow(Frozen):
    """One day of a person, in their time zone."""

    person: str
    day: str
    active_ms: int
    idle_ms: int
    switches: int
    applications: int
    top_application: str
    top_ms: int
    """Time in it."""
    first_at_ms: int | None = None
    last_at_ms: int | None = None
    longest_ms: int | None = None
    """The longest stretch without a pause of a minute or more."""
    deep_ms: int | None = None
    """Time in stretches of at least 25 minutes."""
    overtime_ms: int | None = None
    """Active outside the hours of the person's team."""


class DayReport(Frozen):
    """Days by person; `more`: there are other people, ask with `offset`."""

    rows: list[DayRow]
    more: bool


class PersonRow(Frozen):
    """All days of a person in the time asked for."""

    person: str
    days: int
    active_ms: int
    idle_ms: int
    switches: int
    top_application: str
    top_ms: int
    longest_ms: int | None = None
    deep_ms: int | None = None
    overtime_ms: int | None = None


class PersonReport(Frozen):
    """People; `more`: there are others, ask with `offset`."""

    rows: list[PersonRow]
    more: bool


class HourRow(Frozen):
    """An application in one hour."""

    hour_ms: int
    application: str
    active_ms: int
    idle_ms: int
    switches: int


class Stretch(Frozen):
    """Activity without a pause of a minute or more."""

    from_ms: int
    until_ms: int


class OneDay(Frozen):
    """A day, hour by hour."""

    person: str
    day: str
    hours: list[HourRow]
    stretches: list[Stretch]


@router.get("/days", response_model=DayReport, response_model_exclude_none=True, responses=FILES)
async def report_days(
    principal: Annotated[Principal, needs(Permission.REPORTS)],
    services: Serving,
    wish: Annotated[PeopleWish, Query()],
) -> Response | DayReport:
    """A row for each person and day: activity, presence, focus and overtime; as JSON, CSV or Parquet."""
    question = make_question(principal, wish, wish.limit + 1)
    async with services.database() as connection:
        found = await read_days(connection, question)
    rows, more = _first(found, wish.limit)
    people = {row["person"] for row in rows}
    await note_report(services, principal, "days", people, wish)
    if wish.format != "json":
        return await as_file(wish.format, "days", DAY_COLUMNS, rows)
    return DayReport(rows=[DayRow(**_told(row)) for row in rows], more=more)


@router.get("/people", response_model=PersonReport, response_model_exclude_none=True, responses=FILES)
async def report_people(
    principal: Annotated[Principal, needs(Permission.REPORTS)],
    services: Serving,
    wish: Annotated[PeopleWish, Query()],
) -> Response | PersonReport:
    """A row for each person: activity, focus and overtime over all their days; as JSON, CSV or Parquet."""
    question = make_question(principal, wish, wish.limit + 1)
    async with services.database() as connection:
        found = await read_days(connection, question)
    days, more = _first(found, wish.limit)
    rows = add_up_days(days)
    await note_report(services, principal, "people", {row["person"] for row in rows}, wish)
    if wish.format != "json":
        return await as_file(wish.format, "people", PERSON_COLUMNS, rows)
    return PersonReport(rows=[PersonRow(**row) for row in rows], more=more)


@router.get("/day")
async def report_day(
    principal: Annotated[Principal, needs(Permission.REPORTS)],
    services: Serving,
    person: Annotated[str, Query(min_length=1, max_length=256, pattern=r"^[^\x00]+$")],
    day: Annotated[date, Query(description="in the person's time zone")],
) -> OneDay:
    """One day of a person, hour by hour, with the stretches of activity."""
    if not principal.may_see(person):
        raise not_found("person")
    await note_report(services, principal, f"day {day}", [person])
    async with services.database() as connection:
        found = await read_day(connection, person, day)
    return OneDay(
        person=person,
        day=day.isoformat(),
        hours=[
            HourRow(hour_ms=to_ms(row["hour"]), **{name: row[name] for name in _HOUR_NAMES}) for row in found["hours"]
        ],
        stretches=[Stretch(from_ms=to_ms(since), until_ms=to_ms(until)) for since, until in found["stretches"]],
    )


_HOUR_NAMES = ("application", "active_ms", "idle_ms", "switches")


def _first(rows: list[dict[str, Any]], people: int) -> tuple[list[dict[str, Any]], bool]:
    """The rows of the first so many people, and whether there are others."""
    names = list(dict.fromkeys(row["person"] for row in rows))
    kept = set(names[:people])
    return [row for row in rows if row["person"] in kept], len(names) > people


def _told(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in row.items() if name not in {"first_at", "last_at", "day"}}
    moments = {f"{name}_ms": to_ms(row[name]) for name in ("first_at", "last_at") if row[name] is not None}
    return {**told, **moments, "day": row["day"].isoformat()}
