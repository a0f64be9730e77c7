"""How often somebody may fail to sign in: counted in PostgreSQL by name and by address, so that no restart forgets it.

Never tells whether a name exists, and never lets an attempt begin that is not written down.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.api.errors import ApiError

if TYPE_CHECKING:
    from infra.settings import AccountSettings
    from sinks.postgresql.connection import Connection

_COUNT = """
SELECT count(*) FILTER (WHERE name = $1) AS named, count(*) FILTER (WHERE address = $2) AS there,
       extract(epoch FROM min(failed_at) + make_interval(secs => $3) - now())::float8 AS wait_s
FROM sign_in_failure WHERE (name = $1 OR address = $2) AND failed_at > now() - make_interval(secs => $3)"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('sign in ' || $1))"
_KEPT = "DELETE FROM sign_in_failure WHERE failed_at < now() - interval '7 days'"


def name_key(name: str) -> str:
    """What is kept of a name that was typed: it may have been a password."""
    return hashlib.sha256(name.encode()).hexdigest()


async def begin_attempt(connection: Connection, name: str, address: str, settings: AccountSettings) -> int:
    """Write an attempt down, as failed until it succeeds; raises `ApiError` 429 when there were too many."""
    key = name_key(name)
    async with connection.transaction():
        await connection.execute(_LOCK, key)
        row = await connection.fetchrow(_COUNT, key, address, settings.window_s)
        assert row is not None
        if row["named"] >= settings.attempts or row["there"] >= settings.address_attempts:
            wait_s = max(1, math.ceil(row["wait_s"]))
            raise ApiError(
                429,
                "too_many_attempts",
                f"too many sign-ins failed: try again in {math.ceil(wait_s / 60)} minutes",
                retry_after_s=wait_s,
            )
        await connection.execute(_KEPT)
        insert = "INSERT INTO sign_in_failure (name, address) VALUES ($1, $2) RETURNING failure_id"
        return int(await connection.fetchval(insert, key, address))


async def forgive(connection: Connection, attempts: Sequence[int]) -> None:
    """These attempts succeeded."""
    await connection.execute("DELETE FROM sign_in_failure WHERE failure_id = ANY($1)", list(attempts))


async def forgive_name(connection: Connection, name: str) -> None:
    """An administrator lets that name try again."""
    await connection.execute("DELETE FROM sign_in_failure WHERE name = $1", name_key(name))
