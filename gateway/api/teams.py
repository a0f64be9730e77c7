"""Teams of recorded people: who belongs together, for what accounts may see.

Never changes what is recorded.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts import teams
from gateway.accounts.changes import own_session
from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving

router = APIRouter(prefix="/api/v1/teams", tags=["accounts"])

Managing = Annotated[Principal, needs(Permission.ACCOUNTS)]
MAX_MEMBERS = 10_000
CHANGE = "team_change"

UserName = Annotated[str, Field(min_length=1, max_length=teams.MAX_USER)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class TeamRow(_Model):
    """A team, its people by user name, and the accounts that see them."""

    name: str
    note: str
    members: list[str]
    accounts: list[str]


class Teams(_Model):
    """All teams, and whom agents told of, for choosing."""

    teams: list[TeamRow]
    people: list[str]
    """User names that agents told; at most 5,000."""


class TeamWish(_Model):
    """A team as it is to be."""

    note: str = Field(default="", max_length=256)
    members: list[UserName] = Field(default=[], max_length=MAX_MEMBERS)


class NewTeam(TeamWish):
    """A team that is to be made."""

    name: str = Field(min_length=1, max_length=teams.MAX_NAME)


@router.get("")
async def show(_principal: Managing, services: Serving) -> Teams:
    """The teams."""
    async with services.database() as connection:
        rows = await teams.list_teams(connection)
        people = await connection.fetch(
            "SELECT DISTINCT user_name FROM agent WHERE user_name <> '' ORDER BY 1 LIMIT 5000"
        )
    return Teams(teams=[TeamRow(**row) for row in rows], people=[row["user_name"] for row in people])


@router.post("", status_code=201)
async def make(wish: NewTeam, principal: Managing, services: Serving, request: Request) -> TeamRow:
    """Make a team."""
    await own_session(services, request, fresh=True)
    members = sorted(set(wish.members))
    async with services.database() as connection, connection.transaction():
        await teams.make_team(connection, wish.name, wish.note)
        await teams.add_members(connection, wish.name, members)
        await services.audit(principal, CHANGE, wish.name, change="make", members=_some(members))
    return TeamRow(name=wish.name, note=wish.note, members=members, accounts=[])


@router.put("/{name}", status_code=204)
async def change(name: str, wish: TeamWish, principal: Managing, services: Serving, request: Request) -> None:
    """Change a team's note and people: what accounts may see changes within seconds."""
    await own_session(services, request, fresh=True)
    async with services.database() as connection:
        before = {team["name"]: set(team["members"]) for team in await teams.list_teams(connection)}
    if name not in before:
        raise ApiError(404, "not_found", f"there is no team {name}")
    joined, left = sorted(set(wish.members) - before[name]), sorted(before[name] - set(wish.members))
    async with services.database() as connection, connection.transaction():
        await teams.change_team(connection, name, wish.note, sorted(set(wish.members)))
        await services.audit(principal, CHANGE, name, change="change", joined=_some(joined), left=_some(left))
    services.desk.identities.forget()


@router.delete("/{name}", status_code=204)
async def delete(name: str, principal: Managing, services: Serving, request: Request) -> None:
    """Take a team away."""
    await own_session(services, request, fresh=True)
    async with services.database() as connection, connection.transaction():
        if not await teams.delete_team(connection, name):
            raise ApiError(404, "not_found", f"there is no team {name}")
        await services.audit(principal, CHANGE, name, change="delete")
    services.desk.identities.forget()


def _some(names: list[str], most: int = 200) -> str:
    """For the audit: the names, or how many more there are."""
    told = ", ".join(names[:most])
    return f"{told} and {len(names) - most} more" if len(names) > most else told
