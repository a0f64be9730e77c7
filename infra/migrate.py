"""Migrations of PostgreSQL: numbered SQL files, each applied once, in one transaction, known by its checksum.

Never changes a migration that was applied, and never runs two at once, however many processes start together.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import structlog

from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[Any]

log = structlog.get_logger(__name__)

LOCK = 0x5EA1_0001
"""Key of the advisory lock. It is polled: to wait in it would deadlock with `CREATE INDEX CONCURRENTLY`."""

_POLL_S = 0.2
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `infra/migrations`."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Its checksum, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations() -> list[Migration]:
    """The product's migrations, in their order; raises `ConfigError` for a number that stands twice."""
    found = []
    for file in (resources.files("infra") / "migrations").iterdir():
        match = _NAME.match(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    found.sort(key=lambda migration: migration.number)
    if len({migration.number for migration in found}) != len(found):
        raise ConfigError("two migrations have the same number")
    return found


async def migrate(
    connection: Connection, migrations: Sequence[Migration] | None = None, *, timeout_s: float = 60.0
) -> list[str]:
    """Apply what is missing; the names of what was applied.

    Raises `ConfigError` when the database has other migrations than this release, and `UnavailableError` when another
    process holds the lock for `timeout_s`.
    """
    wanted = load_migrations() if migrations is None else migrations
    await _take_lock(connection, timeout_s)
    try:
        await connection.execute(_TABLE)
        rows = await connection.fetch("SELECT number, name, sha256 FROM schema_migration")
        applied = {row["number"]: row["sha256"] for row in rows}
        _compare(wanted, applied)
        return [await _apply(connection, one) for one in wanted if one.number not in applied]
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


def _compare(wanted: Sequence[Migration], applied: dict[int, str]) -> None:
    for migration in wanted:
        if applied.get(migration.number, migration.sha256) != migration.sha256:
            raise ConfigError(
                f"migration {migration.number} ({migration.name}) is not the one that this database was made with"
            )
    newest = max((migration.number for migration in wanted), default=0)
    if any(number > newest for number in applied):
        raise ConfigError(f"the database is of a later release: it has migrations beyond {newest}")


async def _apply(connection: Connection, migration: Migration) -> str:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migration (number, name, sha256) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.sha256,
        )
    log.info("migration_applied", number=migration.number, migration=migration.name)
    return migration.name


async def _take_lock(connection: Connection, timeout_s: float) -> None:
    for _ in range(max(1, int(timeout_s / _POLL_S))):
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return
        await asyncio.sleep(_POLL_S)
    raise UnavailableError(f"another process has been migrating the database for {timeout_s:.0f} s")
