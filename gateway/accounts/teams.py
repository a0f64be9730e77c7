"""Teams of recorded people, by user name, and which accounts see them.

Never says who is recorded: a team may name people that no agent told of yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from gateway.api.errors import ApiError
from schemas.errors import MalformedError

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

MAX_NAME = 64
MAX_USER = 256
_LIST = """
SELECT t.name, t.note,
       ARRAY(SELECT m.user_name FROM team_member m WHERE m.team = t.name ORDER BY 1) AS members,
       ARRAY(SELECT a.name FROM account a JOIN account_team s USING (account_id) WHERE s.team = t.name ORDER BY 1)
           AS accounts
FROM team t ORDER BY t.name"""


async def list_teams(connection: Connection) -> list[dict[str, Any]]:
    """All, with `name`, `note`, `members` and `accounts`."""
    return [dict(row) for row in await connection.fetch(_LIST)]


async def make_team(connection: Connection, name: str, note: str = "") -> None:
    """A new one; raises `MalformedError`, and `ApiError` 409 where there is one."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip() or "," in name:
        raise MalformedError(f"a team's name has 1 to {MAX_NAME} characters, and no comma", "bad_request")
    try:
        await connection.execute("INSERT INTO team (name, note) VALUES ($1, $2)", name, note)
    except asyncpg.UniqueViolationError:
        raise ApiError(409, "exists", f"there is a team {name} already") from None


async def change_team(connection: Connection, name: str, note: str, members: Sequence[str]) -> None:
    """Its note and its people, from now on; in a transaction. Raises `ApiError` 404."""
    changed = await connection.execute("UPDATE team SET note = $2 WHERE name = $1", name, note)
    if changed == "UPDATE 0":
        raise _missing(name)
    await connection.execute("DELETE FROM team_member WHERE team = $1", name)
    await add_members(connection, name, members)


async def delete_team(connection: Connection, name: str) -> bool:
    """Whether there was one."""
    return bool(await connection.execute("DELETE FROM team WHERE name = $1", name) != "DELETE 0")


async def add_members(connection: Connection, name: str, users: Sequence[str]) -> None:
    """Put people in; raises `ApiError` 404 and `MalformedError`."""
    if any(not 0 < len(user) <= MAX_USER or "," in user for user in users):
        raise MalformedError(f"a user name has 1 to {MAX_USER} characters, and no comma", "bad_request")
    try:
        await connection.executemany(
            "INSERT INTO team_member (team, user_name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(name, user) for user in users],
        )
    except asyncpg.ForeignKeyViolationError:
        raise _missing(name) from None


async def remove_members(connection: Connection, name: str, users: Sequence[str]) -> int:
    """How many were taken out."""
    done = await connection.execute(
        "DELETE FROM team_member WHERE team = $1 AND user_name = ANY($2)", name, list(users)
    )
    return int(done.rsplit(" ", 1)[-1])


def _missing(name: str) -> ApiError:
    return ApiError(404, "not_found", f"there is no team {name}")
