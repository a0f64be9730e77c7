"""One-time links: for the first administrator, and for setting a password that nobody else knows.

Never works twice or after its time, and never stands in a log: the secret is the link's fragment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.accounts.sealing import hash_of, make_secret
from gateway.accounts.store import any_administrator
from gateway.api.errors import ApiError
from infra.hosts import authority, bracket

if TYPE_CHECKING:
    from infra.settings import Settings
    from sinks.postgresql.connection import Connection

_MAKE = """
INSERT INTO account_link (secret_hash, account_id, role, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))"""
_USE = """
UPDATE account_link SET used_at = now() WHERE secret_hash = $1 AND used_at IS NULL AND expires_at > now()
RETURNING account_id, role"""
_LOOK = """
SELECT l.account_id, a.name FROM account_link l LEFT JOIN account a USING (account_id)
WHERE l.secret_hash = $1 AND l.used_at IS NULL AND l.expires_at > now()"""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is for: an account's password, or the first administrator where it names none."""

    account_id: UUID | None
    name: str | None


async def make_first_link(connection: Connection, seconds: float) -> str:
    """The secret of a link that makes the first administrator; earlier ones are void. Raises `ApiError` 409."""
    if await any_administrator(connection):
        raise ApiError(409, "exists", "there is an administrator already: they make further accounts")
    await connection.execute("DELETE FROM account_link WHERE account_id IS NULL")
    secret = make_secret()
    await connection.execute(_MAKE, hash_of(secret), None, "administrator", seconds)
    return secret


async def offer_first_link(connection: Connection, seconds: float) -> str | None:
    """The secret of the first administrator's link; empty when one is out already, `None` when nobody needs one."""
    if await any_administrator(connection):
        return None
    out = "SELECT EXISTS (SELECT FROM account_link WHERE account_id IS NULL AND used_at IS NULL AND expires_at > now())"
    return "" if await connection.fetchval(out) else await make_first_link(connection, seconds)


async def make_password_link(connection: Connection, account_id: UUID, seconds: float) -> str:
    """The secret of a link by which that account's password is set; earlier ones are void."""
    await connection.execute("DELETE FROM account_link WHERE account_id = $1 OR expires_at < now()", account_id)
    secret = make_secret()
    await connection.execute(_MAKE, hash_of(secret), account_id, None, seconds)
    return secret


async def look_at_link(connection: Connection, secret: str) -> Link:
    """What it is for, without using it; raises `ApiError` 404."""
    row = await connection.fetchrow(_LOOK, hash_of(secret))
    if row is None:
        raise _void()
    return Link(row["account_id"], row["name"])


async def use_link(connection: Connection, secret: str) -> UUID | None:
    """The account that it is for, none for the first administrator's; in a transaction. Raises `ApiError` 404."""
    row = await connection.fetchrow(_USE, hash_of(secret))
    if row is None:
        raise _void()
    account_id: UUID | None = row["account_id"]
    if account_id is None and await any_administrator(connection):
        raise _void()
    return account_id


def first_link(settings: Settings, secret: str) -> str:
    """The address that the first administrator opens."""
    return f"{console_address(settings)}/first#{secret}"


def password_link(settings: Settings, secret: str) -> str:
    """The address at which somebody sets their password."""
    return f"{console_address(settings)}/set-password#{secret}"


def console_address(settings: Settings) -> str:
    """Where the console is, without a slash at its end."""
    if settings.accounts.address:
        return settings.accounts.address.rstrip("/")
    host, port = settings.node.advertise, settings.gateway.https_port
    return f"https://{bracket(host) if port == 443 else authority(host, port)}"


def _void() -> ApiError:
    return ApiError(404, "not_found", "this link was used, has expired, or never was one: ask for another")
