"""Hours of work by team, which overtime and the rules of alerts go by.

Never changes them without saying in the audit what they were.
"""

from __future__ import annotations

import json
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Query
from pydantic import Field, field_validator

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, not_found
from gateway.api.reports.asking import Frozen
from gateway.api.services import Serving
from gateway.reports.hours import Span, TeamWeek, read_weeks, remove_week, store_week, team_exists
from infra.rules.rule import LocalTime

router = APIRouter()

TeamName = Annotated[
    str,
    Query(
        max_length=256, pattern=r"^[^\x00]*$", description="empty: everybody who is in no team with hours of its own"
    ),
]


class HoursTold(Frozen):
    """Hours of one weekday."""

    weekday: Annotated[int, Field(ge=1, le=7)]
    """1 is Monday."""
    from_time: LocalTime
    until_time: LocalTime
    """One that is not after `from_time` is of the next day."""


class WeekTold(Frozen):
    """The hours of a team; `''` is everybody who is in no team with hours of its own."""

    team: str
    time_zone: str
    hours: list[HoursTold]


class WeekWish(Frozen):
    """Hours to be put in place of those there are."""

    time_zone: Annotated[str, Field(min_length=1, max_length=64)]
    hours: Annotated[list[HoursTold], Field(max_length=50)]

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}: write one such as Europe/Berlin") from None
        return name

    @field_validator("hours")
    @classmethod
    def _is_local(cls, hours: list[HoursTold]) -> list[HoursTold]:
        if any(at.tzinfo is not None for one in hours for at in (one.from_time, one.until_time)):
            raise ValueError("times are local to the zone of the team: write 09:00")
        return hours


@router.get("/working-hours")
async def list_hours(
    _principal: Annotated[Principal, needs(Permission.REPORTS)],
    services: Serving,
) -> list[WeekTold]:
    """The hours of work of each team that has some, the default ones first."""
    async with services.database() as connection:
        return [_told(week) for week in await read_weeks(connection)]


@router.put("/working-hours")
async def change_hours(
    principal: Annotated[Principal, needs(Permission.ACCOUNTS)],
    services: Serving,
    wish: WeekWish,
    team: TeamName = "",
) -> WeekTold:
    """Give a team hours of work, or change the default ones."""
    async with services.database() as connection:
        if team and not await team_exists(connection, team):
            raise not_found("team")
        before = next((week for week in await read_weeks(connection) if week.team == team), None)
        spans = [Span(one.weekday, one.from_time, one.until_time) for one in wish.hours]
        after = TeamWeek(team, wish.time_zone, tuple(spans))
        await services.audit(
            principal, "change working hours", team or "default", before=_text(before), after=_text(after)
        )
        await store_week(connection, team, wish.time_zone, spans)
    return _told(after)


@router.delete("/working-hours", status_code=204)
async def drop_hours(
    principal: Annotated[Principal, needs(Permission.ACCOUNTS)],
    services: Serving,
    team: TeamName,
) -> None:
    """Let a team go by the default hours."""
    if not team:
        raise ApiError(400, "bad_request", "the default hours can be changed, not removed")
    async with services.database() as connection:
        before = next((week for week in await read_weeks(connection) if week.team == team), None)
        if before is None:
            raise not_found("team with hours of its own")
        await services.audit(principal, "change working hours", team, before=_text(before), after="default")
        await remove_week(connection, team)


def _told(week: TeamWeek) -> WeekTold:
    hours = [
        HoursTold(weekday=span.weekday, from_time=span.from_time, until_time=span.until_time) for span in week.hours
    ]
    return WeekTold(team=week.team, time_zone=week.time_zone, hours=hours)


def _text(week: TeamWeek | None) -> str:
    if week is None:
        return "default"
    hours = [f"{span.weekday} {span.from_time:%H:%M}-{span.until_time:%H:%M}" for span in week.hours]
    return json.dumps({"time_zone": week.time_zone, "hours": hours})
