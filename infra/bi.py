"""Accounts of BI servers in PostgreSQL (R1.3, R7.7): logins that read the views of schema `bi`, and nothing else.

Never sends a password: PostgreSQL gets what SCRAM verifies it by.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from infra.keys.table import connected
from infra.settings import Settings
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.keys.table import Connection

GROUP = "sealstream_bi"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ITERATIONS = 4096
_CONNECTIONS = 10

_LIST = """
SELECT r.rolname AS name, count(a.pid) AS sessions
FROM pg_auth_members m
JOIN pg_roles g ON g.oid = m.roleid AND g.rolname = $1
JOIN pg_roles r ON r.oid = m.member AND r.rolcanlogin
LEFT JOIN pg_stat_activity a ON a.usesysid = r.oid
GROUP BY r.rolname ORDER BY r.rolname"""


class BiAccount(NamedTuple):
    """A login, and how many connections it has now."""

    name: str
    sessions: int


async def list_accounts(settings: Settings) -> list[BiAccount]:
    """All of them, by name; raises `UnavailableError`."""
    async with _privileged(settings) as connection:
        return [BiAccount(row["name"], row["sessions"]) for row in await connection.fetch(_LIST, GROUP)]


async def make_account(settings: Settings, name: str) -> str:
    """Make a login and return its password, which is kept nowhere. Raises `ConfigError`, `UnavailableError`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a login: small letters, digits and _, a letter first, at most 63")
    password = secrets.token_urlsafe(24)
    async with _privileged(settings) as connection, connection.transaction():
        await _ensure_group(connection)
        if await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
            raise ConfigError(f"PostgreSQL has a role {name} already: choose another name, or remove it first")
        for statement in (
            "CREATE ROLE %1$I LOGIN PASSWORD %2$L NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT CONNECTION LIMIT %3$s",
            f"GRANT {GROUP} TO %1$I",
            "ALTER ROLE %1$I SET search_path = bi",
            "ALTER ROLE %1$I SET default_transaction_read_only = on",
            "ALTER ROLE %1$I SET statement_timeout = '120s'",
        ):
            built = await connection.fetchval(
                "SELECT format($1, $2::text, $3::text, $4::text)",
                statement,
                name,
                scram_verifier(password),
                str(_CONNECTIONS),
            )
            await connection.execute(built)
    return password


async def remove_account(settings: Settings, name: str) -> bool:
    """Take a login out, and end its connections; false where there is none. Raises `UnavailableError`."""
    async with _privileged(settings) as connection:
        if name not in {row["name"] for row in await connection.fetch(_LIST, GROUP)}:
            return False
        await connection.execute(await connection.fetchval("SELECT format('ALTER ROLE %I NOLOGIN', $1::text)", name))
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name)
        await connection.execute(await connection.fetchval("SELECT format('DROP ROLE %I', $1::text)", name))
    return True


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of a password (RFC 5803); `password` is ASCII."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


async def _ensure_group(connection: Connection) -> None:
    if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", GROUP):
        await connection.execute(f"CREATE ROLE {GROUP} NOLOGIN")
    await connection.execute(f"GRANT USAGE ON SCHEMA bi TO {GROUP}")
    await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA bi TO {GROUP}")


@asynccontextmanager
async def _privileged(settings: Settings) -> AsyncIterator[Connection]:
    async with connected(settings) as connection:
        try:
            yield connection
        except asyncpg.InsufficientPrivilegeError as error:
            user = await connection.fetchval("SELECT current_user")
            raise ConfigError(
                f"PostgreSQL does not let {user} make logins: `ALTER ROLE {user} CREATEROLE` as its administrator"
            ) from error
        except asyncpg.InvalidSchemaNameError as error:
            raise ConfigError("this database has no reports yet: start a sink of this release first") from error
