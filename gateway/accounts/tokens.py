"""API tokens: for programs, with scopes, of an account.

Never more than the account's role allows now, whatever it allowed when the token was made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from gateway.accounts.account import COLUMNS, PERSONS, Account
from gateway.accounts.sealing import hash_of, make_secret
from gateway.api.access import Permission
from gateway.api.errors import ApiError
from gateway.api.times import to_ms
from schemas.errors import MalformedError

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

PREFIX = "sealstream-token."
MAX_DAYS = 366
MAX_TOKENS = 50
_TOUCH_S = 60.0
_FIND = f"""
SELECT t.token_id, t.scopes, {PERSONS}, {COLUMNS} FROM api_token t JOIN account a USING (account_id)
WHERE t.token_hash = $1 AND t.expires_at > now() AND NOT a.disabled"""  # noqa: S608  # columns of ours
_TOUCH = """
UPDATE api_token SET used_at = now()
WHERE token_id = $1 AND (used_at IS NULL OR used_at < now() - make_interval(secs => $2))"""
_MAKE = """
INSERT INTO api_token (token_hash, account_id, name, scopes, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(days => $5)) RETURNING token_id"""
_LIST = """
SELECT t.token_id, t.name, t.scopes, t.created_at, t.expires_at, t.used_at, a.name AS account
FROM api_token t JOIN account a USING (account_id)
WHERE ($1::uuid IS NULL OR t.account_id = $1) AND t.expires_at > now() ORDER BY a.name, t.name"""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is valid, with its account as it is now."""

    id: UUID
    scopes: tuple[str, ...]
    account: Account
    persons: tuple[str, ...]

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Token:
        """From a row of `_FIND`."""
        return cls(row["token_id"], tuple(row["scopes"]), Account.of_row(row), tuple(row["persons"]))


async def make_token(
    connection: Connection, account: Account, name: str, scopes: Collection[str], days: int
) -> tuple[UUID, str]:
    """A new token and its id; raises `MalformedError`, and `ApiError` for what the account does not have itself.

    A token of that name which has ended gives way.
    """
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise MalformedError("a token's name has 1 to 64 characters", "bad_request")
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in set(Permission)]
    if unknown or not wanted:
        raise MalformedError(f"there is no scope {', '.join(unknown) or '(none was named)'}", "bad_request")
    beyond = [scope for scope in wanted if Permission(scope) not in account.permissions]
    if beyond:
        raise ApiError(403, "forbidden", f"{account.name} may not do this itself: {', '.join(beyond)}")
    await connection.execute("DELETE FROM api_token WHERE account_id = $1 AND expires_at < now()", account.id)
    if await connection.fetchval("SELECT count(*) FROM api_token WHERE account_id = $1", account.id) >= MAX_TOKENS:
        raise ApiError(409, "too_many_tokens", f"an account has at most {MAX_TOKENS} tokens: revoke some")
    secret = make_secret(PREFIX)
    try:
        token_id = await connection.fetchval(_MAKE, hash_of(secret), account.id, name, wanted, days)
    except asyncpg.UniqueViolationError:
        raise ApiError(409, "exists", f"there is a token {name} already: revoke it, or choose another name") from None
    return token_id, secret


async def find_token(connection: Connection, secret: str) -> Token | None:
    """The token of a secret, while it is valid; that it was used is written down once a minute."""
    row = await connection.fetchrow(_FIND, hash_of(secret))
    if row is None:
        return None
    await connection.execute(_TOUCH, row["token_id"], _TOUCH_S)
    return Token.of_row(row)


async def list_tokens(connection: Connection, account_id: UUID | None = None) -> list[dict[str, Any]]:
    """Those that are valid, of one account or of all."""
    return [
        {
            "id": row["token_id"],
            "account": row["account"],
            "name": row["name"],
            "scopes": sorted(row["scopes"]),
            "created_at_ms": to_ms(row["created_at"]),
            "expires_at_ms": to_ms(row["expires_at"]),
            "used_at_ms": to_ms(row["used_at"]) if row["used_at"] else None,
        }
        for row in await connection.fetch(_LIST, account_id)
    ]


async def revoke_token(connection: Connection, token_id: UUID, account_id: UUID | None = None) -> str | None:
    """End one, of that account if one is named; its name, none where there was none."""
    name: str | None = await connection.fetchval(
        "DELETE FROM api_token WHERE token_id = $1 AND ($2::uuid IS NULL OR account_id = $2) RETURNING name",
        token_id,
        account_id,
    )
    return name
