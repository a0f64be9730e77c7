"""Unlocks in the browser that are under way, in PostgreSQL: all gateways hold a page's further requests to them.

Never knows a key, and never goes by the audit, which gets into the database with some delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import structlog

from gateway.api.errors import ApiError
from gateway.api.times import to_ms
from schemas.errors import SealstreamError, UnavailableError

if TYPE_CHECKING:
    from gateway.api.access import Principal
    from gateway.api.services import Services
    from sinks.postgresql.connection import Connection

log = structlog.get_logger(__name__)

ACTION = "unlock_browser"
GRACE_S = 120.0
"""A page in the background looks at its clock once a minute: so late it may tell that its time was over."""

LOOK_S = 30.0
_AT_ONCE = 2
"""Connections that wait for the audit, so that the others of the process stay free while Kafka is away."""

_MOST = 32
_GONE = "there is no such unlock of yours: it is over, or was never begun"
_UNKNOWN = "whether this unlock is yours and goes on cannot be checked now: nothing was added; try again in a moment"

_BEGIN = """
INSERT INTO browser_unlock (unlock_id, account_id, actor, purpose, ends_at)
VALUES ($1, $2, $3, $4, now() + make_interval(mins => $5))"""
_FIND = """
SELECT purpose FROM browser_unlock
WHERE unlock_id = $1 AND account_id = $2 AND ended_at IS NULL
AND ends_at > clock_timestamp() - make_interval(secs => $3)
FOR UPDATE"""
_END = "UPDATE browser_unlock SET ended_at = least(now(), ends_at) WHERE unlock_id = $1"
_OVER = """
SELECT unlock_id, actor, purpose, ends_at FROM browser_unlock
WHERE ended_at IS NULL AND ends_at < now() - make_interval(secs => $1)
ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
_FORGET = "DELETE FROM browser_unlock WHERE ended_at IS NOT NULL AND ends_at < now() - interval '1 day'"


class BrowserUnlocks:
    """One of them for the application; `follow` writes down what is over and was not told."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def begin(self, principal: Principal, purpose: str, keys: Sequence[str], minutes: int) -> UUID:
        """The id of a new one, which the audit has; raises `ApiError` 503, and then nothing must be opened."""
        unlock, told = uuid4(), {"outcome": "granted", "keys": ", ".join(keys), "minutes": str(minutes)}
        async with self._slots, self._database() as connection, connection.transaction():
            await connection.execute(_BEGIN, unlock, principal.account_id, principal.actor, purpose, minutes)
            await self._services.audit(principal, ACTION, target_of(unlock), purpose=purpose, **told)
        return unlock

    async def add_keys(self, principal: Principal, unlock: UUID, purpose: str, keys: Sequence[str]) -> None:
        """Have the audit keep that it has more keys; raises `ApiError`: 404 unless it is theirs and goes on, 503."""
        try:
            async with self._going_on(principal, unlock, 0.0) as (_, kept):
                if purpose != kept:
                    raise ApiError(400, "bad_request", "an unlock keeps the purpose that it began with")
                told = {"purpose": kept, "outcome": "added", "keys": ", ".join(keys)}
                await self._services.audit(principal, ACTION, target_of(unlock), **told)
        except UnavailableError as error:
            raise ApiError(503, "unavailable", _UNKNOWN, retry_after_s=5) from error

    async def end(self, principal: Principal, unlock: UUID, reason: str, opened: int) -> None:
        """Have the audit keep that it is over; raises `ApiError`: 404 unless it is theirs and went on, 503.

        While PostgreSQL is away the audit has it all the same, as `unchecked`.
        """
        told = {"outcome": "ended", "reason": reason, "opened": str(opened)}
        audited = False
        try:
            async with self._going_on(principal, unlock, GRACE_S) as (connection, _):
                await self._services.audit(principal, ACTION, target_of(unlock), **told)
                audited = True
                await connection.execute(_END, unlock)
        except UnavailableError as error:
            log.warning("browser_unlock_end_unchecked", unlock=str(unlock), reason=str(error))
            if not audited:
                told["unchecked"] = "PostgreSQL was away: whose unlock it was, and whether it went on, is not known"
                await self._services.audit(principal, ACTION, target_of(unlock), **told)

    async def follow(self) -> None:
        """Write down what is over, until cancelled; stores that are away are waited out."""
        away = ""
        while True:
            try:
                await self.settle()
                away = ""
            except (SealstreamError, OSError, TimeoutError) as error:
                if away != type(error).__name__:
                    away = type(error).__name__
                    log.info("browser_unlocks_away", error=away)
            await asyncio.sleep(LOOK_S)

    async def settle(self) -> int:
        """Have the audit keep which ones their time ended, with nobody telling; how many. Each by one gateway."""
        settled = 0
        async with self._database() as connection, connection.transaction():
            for row in await connection.fetch(_OVER, GRACE_S, _MOST):
                told = {"by": row["actor"], "reason": "not_told", "until_ms": str(to_ms(row["ends_at"]))}
                stored = await self._services.facts.audit_durably(
                    ACTION, target_of(row["unlock_id"]), "over", purpose=row["purpose"], **told
                )
                if not stored:
                    break
                await connection.execute(_END, row["unlock_id"])
                settled += 1
            await connection.execute(_FORGET)
        return settled

    @asynccontextmanager
    async def _going_on(
        self, principal: Principal, unlock: UUID, grace_s: float
    ) -> AsyncIterator[tuple[Connection, str]]:
        """With its purpose, and locked: what is told of it in the meantime gets into the audit in its order."""
        async with self._slots, self._database() as connection, connection.transaction():
            purpose = await connection.fetchval(_FIND, unlock, principal.account_id, grace_s)
            if purpose is None:
                raise ApiError(404, "not_found", _GONE)
            yield connection, purpose

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Connection]:
        try:
            async with self._services.database() as connection:
                yield connection
        except asyncpg.UndefinedTableError as error:
            raise UnavailableError("the database is not migrated to this release yet") from error


def target_of(unlock: UUID) -> str:
    """As the audit names it."""
    return f"unlock {unlock}"
