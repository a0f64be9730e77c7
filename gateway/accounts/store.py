"""Accounts in PostgreSQL: found, made, changed.

Never changes an account without its time, and never leaves the installation without an administrator who can sign in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from gateway.accounts.account import COLUMNS, Account
from gateway.api.access import Role
from gateway.api.errors import ApiError
from schemas.errors import MalformedError

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_SELECT = f"SELECT {COLUMNS} FROM account a"  # noqa: S608  # columns of ours
NAME = re.compile(r"^[a-z0-9][a-z0-9._@-]{0,63}$")
_CHANGEABLE = frozenset(
    {
        "display_name",
        "role",
        "person",
        "all_teams",
        "unlock_on_server",
        "password_hash",
        "totp_secret",
        "totp_pending",
        "totp_last_step",
        "oidc_subject",
        "disabled",
        "must_change_password",
    }
)
_LOCK = 0x5EA1_0002
"""Advisory lock of changes that could take away the last administrator."""


async def find_account(connection: Connection, name: str) -> Account | None:
    """By its name."""
    row = await connection.fetchrow(f"{_SELECT} WHERE a.name = $1", name)
    return Account.of_row(row) if row else None


async def find_by_subject(connection: Connection, subject: str) -> Account | None:
    """By who they are at the organisation's provider."""
    row = await connection.fetchrow(f"{_SELECT} WHERE a.oidc_subject = $1", subject)
    return Account.of_row(row) if row else None


async def read_account(connection: Connection, account_id: UUID) -> Account:
    """By its id; raises `ApiError` 404."""
    row = await connection.fetchrow(f"{_SELECT} WHERE a.account_id = $1", account_id)
    if row is None:
        raise ApiError(404, "not_found", "there is no such account")
    return Account.of_row(row)


async def list_accounts(connection: Connection) -> list[Account]:
    """All, by name."""
    return [Account.of_row(row) for row in await connection.fetch(f"{_SELECT} ORDER BY a.name")]


async def any_administrator(connection: Connection) -> bool:
    """Whether somebody can make further accounts."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM account WHERE role = 'administrator')"))


async def make_account(connection: Connection, name: str, role: Role, teams: Sequence[str] = (), **values: Any) -> UUID:
    """A new one; raises `MalformedError` for a name that cannot be, `ApiError` 409 for one that is."""
    if not NAME.match(name):
        raise MalformedError(
            "a name has 1 to 64 of a-z, 0-9, . _ @ -, and begins with a letter or a digit", "bad_request"
        )
    columns = {"name": name, "role": role.value, **_checked(values)}
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    try:
        account_id: UUID = await connection.fetchval(
            f"INSERT INTO account ({', '.join(columns)}) VALUES ({places}) RETURNING account_id",  # noqa: S608
            *columns.values(),
        )
    except asyncpg.UniqueViolationError:
        raise ApiError(409, "exists", f"there is an account {name} already, or one with that identity") from None
    await set_teams(connection, account_id, teams)
    return account_id


async def change_account(connection: Connection, account_id: UUID, **values: Any) -> None:
    """Set columns; in a transaction. Raises `ApiError` 409 when no administrator would be left who can sign in."""
    columns = _checked(values)
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    before = await _administrators(connection)
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
    await connection.execute(
        f"UPDATE account SET {sets}, changed_at = now() WHERE account_id = $1",  # noqa: S608
        account_id,
        *columns.values(),
    )
    if before and not await _administrators(connection):
        raise ApiError(409, "last_administrator", "this is the last administrator: make another one first")


async def delete_account(connection: Connection, account_id: UUID) -> None:
    """Take it away with its sessions and tokens; in a transaction. Raises `ApiError` 409 like `change_account`."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    before = await _administrators(connection)
    await connection.execute("DELETE FROM account WHERE account_id = $1", account_id)
    if before and not await _administrators(connection):
        raise ApiError(409, "last_administrator", "this is the last administrator: make another one first")


async def set_teams(connection: Connection, account_id: UUID, teams: Sequence[str]) -> None:
    """The teams whose people it sees; raises `MalformedError` for one that there is not."""
    await connection.execute("DELETE FROM account_team WHERE account_id = $1", account_id)
    try:
        await connection.executemany(
            "INSERT INTO account_team (account_id, team) VALUES ($1, $2)", [(account_id, team) for team in set(teams)]
        )
    except asyncpg.ForeignKeyViolationError:
        raise MalformedError(f"there is no such team among {', '.join(sorted(teams))}", "bad_request") from None


async def _administrators(connection: Connection) -> int:
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM account WHERE role = 'administrator' AND NOT disabled "
            "AND (password_hash IS NOT NULL OR oidc_subject IS NOT NULL)"
        )
    )


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    unknown = set(values) - _CHANGEABLE
    assert not unknown, unknown
    return values
