"""In whose recordings a search looks: the account's scope, the people and teams that were asked for.

Never widens a scope: what was asked for only takes away.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import Query
from pydantic import Field

from gateway.api.errors import ApiError
from gateway.api.recordings.scope import STORED

if TYPE_CHECKING:
    from gateway.api.access import Principal
    from gateway.api.services import Services

MOST_PERSONS = 50_000
"""In a scope; Elasticsearch takes 65,536 terms."""

Words = Annotated[str, Query(max_length=1000, description='words, all of which must be there, "phrases", begin*')]
Name = Annotated[str, Field(max_length=256, pattern=STORED)]
Names = Annotated[list[Name], Query(max_length=50)]

_MEMBERS = "SELECT DISTINCT user_name FROM team_member WHERE team = ANY($1)"
_SPELLED = "SELECT DISTINCT user_name FROM agent WHERE lower(user_name) = ANY($1)"


async def searched_persons(
    services: Services, principal: Principal, persons: Sequence[str], teams: Sequence[str]
) -> Collection[str] | None:
    """The people to search among; `None`: all. Names are taken whatever their capitals."""
    scope: frozenset[str] | None = principal.persons
    if teams:
        async with services.database() as connection:
            members = frozenset(row["user_name"] for row in await connection.fetch(_MEMBERS, list(teams)))
        scope = members if scope is None else scope & members
    if persons:
        wanted = {person.lower() for person in persons}
        scope = frozenset(persons) if scope is None else frozenset(one for one in scope if one.lower() in wanted)
    if scope is not None and len(scope) > MOST_PERSONS:
        raise ApiError(400, "too_many", f"more than {MOST_PERSONS} people are in scope: name some, or a team")
    return scope


async def spelled(services: Services, principal: Principal, names: Collection[str]) -> dict[str, str]:
    """How people whose names the search knows in small letters are spelled."""
    if not names:
        return {}
    if principal.persons is not None:
        return {name.lower(): name for name in principal.persons}
    async with services.database() as connection:
        rows = await connection.fetch(_SPELLED, list(names))
    return {row["user_name"].lower(): row["user_name"] for row in rows}
