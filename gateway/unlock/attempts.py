"""How often a person may try to open a KEK: counted in PostgreSQL, so that no restart forgets it.

Never lets an attempt begin that is not written down, and never counts one as harmless before it opened something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.unlock.refusal import TOO_MANY_ATTEMPTS, RefusedError
from infra.settings import Settings, postgresql_dsn
from sinks.postgresql.connection import connect, store_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sinks.postgresql.connection import Connection

ALL_PERSONS = 4
"""So many times the attempts of one person are allowed to all persons together on one KEK."""

_FAILED = """
SELECT count(*) FILTER (WHERE person = $1) AS theirs, count(*) AS everybodys,
       extract(epoch FROM min(attempted_at) + make_interval(secs => $3) - now())::float8 AS wait_s
FROM unlock_attempt
WHERE kek = $2 AND outcome <> 'opened' AND attempted_at > now() - make_interval(secs => $3)"""
_KEPT = "DELETE FROM unlock_attempt WHERE attempted_at < now() - interval '1 year'"


class Attempts:
    """The attempts on KEKs, by the names under which they are limited: their ids, or else their names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limit = settings.unlock.attempts
        self._window_s = settings.unlock.window_s

    async def begin(self, person: str, keks: Sequence[str]) -> list[int]:
        """Write an attempt down for each KEK; raises `RefusedError` when one has seen too many, and writes none."""
        async with self._connected() as connection, connection.transaction():
            await connection.execute("LOCK TABLE unlock_attempt IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute(_KEPT)
            for kek in keks:
                ((theirs, everybodys, until_s),) = await connection.fetch(_FAILED, person, kek, self._window_s)
                if theirs >= self._limit or everybodys >= self._limit * ALL_PERSONS:
                    wait_s = max(1, math.ceil(until_s))
                    raise RefusedError(
                        TOO_MANY_ATTEMPTS,
                        f"too many attempts on this KEK did not open it: try again in {wait_s // 60 + 1} minutes",
                        wait_s,
                    )
            insert = "INSERT INTO unlock_attempt (person, kek) VALUES ($1, $2) RETURNING attempt_id"
            return [await connection.fetchval(insert, person, kek) for kek in keks]

    async def end(self, attempts: Sequence[int], outcome: str) -> None:
        """What became of them: `opened`, or why not."""
        async with self._connected() as connection:
            await connection.execute(
                "UPDATE unlock_attempt SET outcome = $2 WHERE attempt_id = ANY($1)", list(attempts), outcome
            )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = await connect(postgresql_dsn(self._settings))
        try:
            with store_errors():
                yield connection
        finally:
            connection.terminate()
