"""Sessions: a random cookie, of which the database has the hash, with an end by the clock and one by doing nothing.

Never lengthens a session beyond its end, and never tells of a session that is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway.accounts.account import COLUMNS, PERSONS, Account
from gateway.accounts.sealing import hash_of, make_secret
from gateway.api.times import to_ms

if TYPE_CHECKING:
    from infra.settings import AccountSettings
    from sinks.postgresql.connection import Connection

COOKIE = "__Host-sealstream"
MAX_SESSIONS = 20
"""Of one account; the oldest ends when another begins."""

_TOUCH_S = 30.0
_FIND = f"""
SELECT s.session_id, s.seen_at, s.expires_at, s.fresh_at, {PERSONS}, {COLUMNS}
FROM account_session s JOIN account a USING (account_id)
WHERE s.token_hash = $1 AND s.expires_at > now() AND s.seen_at > now() - make_interval(secs => $2) AND NOT a.disabled"""  # noqa: S608  # columns of ours
_TOUCH = """
UPDATE account_session SET seen_at = now()
WHERE session_id = $1 AND seen_at < now() - make_interval(secs => $2)"""
_MAKE = """
INSERT INTO account_session (token_hash, account_id, expires_at, address, browser, way)
VALUES ($1, $2, now() + make_interval(secs => $3), $4, $5, $6) RETURNING session_id"""
_TRIM = """
DELETE FROM account_session WHERE expires_at < now() OR session_id IN (
    SELECT session_id FROM account_session WHERE account_id = $1 ORDER BY started_at DESC OFFSET $2)"""
_LIST = """
SELECT session_id, started_at, seen_at, expires_at, address, browser, way FROM account_session
WHERE account_id = $1 AND expires_at > now() AND seen_at > now() - make_interval(secs => $2)
ORDER BY seen_at DESC"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that goes on, with its account as it is now."""

    id: UUID
    expires_at: datetime
    fresh_at: datetime
    account: Account
    persons: tuple[str, ...]

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Session:
        """From a row of `_FIND`."""
        return cls(row["session_id"], row["expires_at"], row["fresh_at"], Account.of_row(row), tuple(row["persons"]))

    def is_fresh(self, fresh_s: float) -> bool:
        """Whether its owner proved who they are within the last `fresh_s` seconds."""
        return (datetime.now(UTC) - self.fresh_at).total_seconds() < fresh_s


async def begin_session(
    connection: Connection, account_id: UUID, settings: AccountSettings, *, address: str, browser: str, way: str
) -> str:
    """A new one; the cookie's value, which is kept nowhere."""
    secret = make_secret()
    await connection.execute(
        _MAKE, hash_of(secret), account_id, settings.session_s, address, " ".join(browser.split())[:200], way
    )
    await connection.execute(_TRIM, account_id, MAX_SESSIONS)
    return secret


async def find_session(connection: Connection, secret: str, settings: AccountSettings) -> Session | None:
    """The session of a cookie, while it goes on."""
    row = await connection.fetchrow(_FIND, hash_of(secret), settings.idle_s)
    return Session.of_row(row) if row else None


async def touch_session(connection: Connection, session_id: UUID) -> None:
    """Its owner did something; written down twice a minute at most."""
    await connection.execute(_TOUCH, session_id, _TOUCH_S)


async def freshen_session(connection: Connection, session_id: UUID) -> None:
    """Its owner proved again who they are."""
    await connection.execute("UPDATE account_session SET fresh_at = now() WHERE session_id = $1", session_id)


async def list_sessions(connection: Connection, account_id: UUID, settings: AccountSettings) -> list[dict[str, Any]]:
    """Those of an account that go on, the last used first."""
    return [
        {
            "id": row["session_id"],
            "started_at_ms": to_ms(row["started_at"]),
            "seen_at_ms": to_ms(row["seen_at"]),
            "expires_at_ms": to_ms(row["expires_at"]),
            "address": row["address"],
            "browser": row["browser"],
            "way": row["way"],
        }
        for row in await connection.fetch(_LIST, account_id, settings.idle_s)
    ]


async def end_session(connection: Connection, account_id: UUID, session_id: UUID) -> bool:
    """End one of an account; whether there was one."""
    ended: str = await connection.execute(
        "DELETE FROM account_session WHERE account_id = $1 AND session_id = $2", account_id, session_id
    )
    return ended != "DELETE 0"


async def end_sessions(connection: Connection, account_id: UUID, *, but: UUID | None = None) -> int:
    """End all of an account, but one if it says so; how many."""
    ended: str = await connection.execute(
        "DELETE FROM account_session WHERE account_id = $1 AND session_id IS DISTINCT FROM $2", account_id, but
    )
    return int(ended.rsplit(" ", 1)[-1])
