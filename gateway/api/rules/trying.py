"""A rule as it is typed: what it would have matched in the last days.

Never shows a match that the audit does not know of, nor anybody whom the account may not see.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.api.access import Permission, Principal, needs
from gateway.api.rules.changing import TeamName
from gateway.api.search.pieces import Piece, pieces_of
from gateway.api.services import Serving
from gateway.rules.preview import DAY_MS, Preview, Sample, Stores, preview
from gateway.rules.scope import check_conditions, check_teams, teams_of
from infra.rules.evaluate import Check, World, local_time
from infra.rules.rule import Conditions, Rule
from infra.rules.store import conditions_json, fetch_world

router = APIRouter(prefix="/api/v1/rules", tags=["rules"])

_NOBODY = UUID(int=0)
MAX_NAMED = 200


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class TryWish(_Model):
    """A rule as it is typed."""

    conditions: Conditions
    teams: Annotated[list[TeamName], Field(max_length=500)] = []
    """The teams whose people alone it is to concern; none: all whom the account sees."""
    days: Annotated[int, Field(ge=1, le=31)] = 7
    """Whole days (UTC) before today."""
    time_zone: str = "UTC"
    """Of the days of the histogram."""

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}: write one such as Europe/Berlin") from None
        return name


class DayCount(_Model):
    """Matches of one day of the zone."""

    day: str
    count: int


class SampleTold(_Model):
    """A match. `fragment` has the words; of a window it is what went beyond."""

    person: str
    computer: str
    time_ms: int
    until_ms: int
    """End of the window, or 0."""
    amount: float
    stream: str
    application: str
    title: str
    document_id: str
    fragment: list[Piece]


class TryAnswer(_Model):
    """What the rule would have matched. `cut`: there was no time for all, and `since_ms` is how far back it looked."""

    count: int
    people: int
    cut: bool
    since_ms: int
    until_ms: int
    seen: int
    days: list[DayCount]
    samples: list[SampleTold]


@router.post("/preview")
async def try_rule(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
    wish: TryWish,
) -> TryAnswer:
    """What a rule would have matched, among the people whom the account may see; bounded in time, and says so."""
    until_ms = int(time.time() * 1000)
    since_ms = until_ms // DAY_MS * DAY_MS - wish.days * DAY_MS
    seen = teams_of(principal)
    check_teams(seen, wish.teams)
    check_conditions(seen, wish.conditions)
    check = Check(Rule(rule_id=_NOBODY, name="preview", conditions=wish.conditions))
    async with services.database() as connection:
        world = await fetch_world(connection)
    stores = Stores(services.elasticsearch, services.settings.elasticsearch.index_prefix, services)
    persons = _concerned(principal, wish.teams, world)
    found = await preview(stores, check, world, persons, (since_ms, until_ms))
    named = sorted({person for person, _ in found.matches})
    await services.audit(
        principal,
        "preview rule",
        conditions_json(wish.conditions),
        persons=",".join(named) if len(named) <= MAX_NAMED else "*",
        people=str(len(named)),
        matches=str(len(found.matches)),
        since_ms=str(found.since_ms),
        until_ms=str(until_ms),
    )
    return _answer(found, len(named), wish.time_zone)


def _concerned(principal: Principal, teams: list[str], world: World) -> frozenset[str] | None:
    """The people of those teams whom the account sees; without teams, all whom it sees."""
    if not teams:
        return principal.persons
    people = world.people_of(teams)
    return people if principal.persons is None else people & principal.persons


def _answer(found: Preview, people: int, zone: str) -> TryAnswer:
    counts = Counter(f"{local_time(time_ms, zone):%Y-%m-%d}" for _, time_ms in found.matches)
    looked_at = {f"{local_time(ms, zone):%Y-%m-%d}": 0 for ms in range(found.since_ms, found.until_ms, DAY_MS // 2)}
    looked_at |= {f"{local_time(found.until_ms, zone):%Y-%m-%d}": 0}
    days = {**looked_at, **counts}
    return TryAnswer(
        count=len(found.matches),
        people=people,
        cut=found.cut,
        since_ms=found.since_ms,
        until_ms=found.until_ms,
        seen=found.seen,
        days=[DayCount(day=day, count=days[day]) for day in sorted(days)],
        samples=[_sample(one) for one in found.samples],
    )


def _sample(sample: Sample) -> SampleTold:
    match, seen = sample.match, sample.match.seen
    return SampleTold(
        person=seen.person,
        computer=seen.computer,
        time_ms=seen.time_ms,
        until_ms=match.until_ms,
        amount=round(match.amount, 2),
        stream=seen.stream,
        application=seen.application,
        title=seen.title,
        document_id=seen.identity if seen.subject == "document" else "",
        fragment=pieces_of(sample.fragment),
    )
