"""The table `encryption_kek` (R6.5): reading it, and the few changes that commands make.

Never keeps a connection between two questions, and never waits long: keys must be had while PostgreSQL is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from infra.keys.registry import Registered, as_registered, known_rows, save_copy
from infra.postgresql import connect
from infra.settings import Settings, postgresql_dsn
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection

TIMEOUT_S = 5.0

_SELECT = """
SELECT pub_datafile AS public, priv_datafile AS private, priv_encrypted AS encrypted, purpose, state, successor
FROM encryption_kek ORDER BY registered_at, pub_datafile"""

Answer = TypeVar("Answer")


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """A connection for a few questions; raises `UnavailableError`."""
    try:
        dsn = postgresql_dsn(settings)
    except ConfigError as error:
        raise UnavailableError(f"PostgreSQL cannot be asked: {error}") from error
    try:
        connection = await connect(dsn, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {type(error).__name__}") from error
    try:
        yield connection
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {type(error).__name__}") from error
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise UnavailableError("the tables are not made yet: `sealstream up` makes them") from error
    finally:
        connection.terminate()


async def fetch_rows(connection: Connection) -> list[Registered]:
    """Every registered KEK, the oldest first."""
    return [as_registered(row) for row in await connection.fetch(_SELECT)]


async def read_rows(settings: Settings) -> list[Registered]:
    """What is registered, by the table; the node's copy is renewed by it. Raises `UnavailableError`."""
    async with connected(settings) as connection:
        rows = await fetch_rows(connection)
    settings.keys.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    save_copy(settings.keys.dir, rows)
    return rows


def registered(settings: Settings) -> list[Registered]:
    """What is registered: by the table, else by this node's copy, else by the folder. May be called anywhere."""
    try:
        return run_aside(read_rows(settings))
    except UnavailableError:
        return known_rows(settings.keys.dir)


def run_aside(question: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer, waited for: on a loop of its own, so that it may be asked inside another."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, question).result()


async def add_row(connection: Connection, row: Registered) -> None:
    """Register a KEK; raises `ConfigError` when it is registered already."""
    try:
        await connection.execute(
            "INSERT INTO encryption_kek (pub_datafile, priv_datafile, priv_encrypted, purpose) VALUES ($1, $2, $3, $4)",
            row.public,
            row.private or None,
            row.encrypted,
            row.purpose.value,
        )
    except asyncpg.UniqueViolationError:
        raise ConfigError(f"{row.public} is registered already: `sealstream keys list` shows it") from None


async def change_row(connection: Connection, row: Registered) -> None:
    """Write a row's state and successor."""
    await connection.execute(
        "UPDATE encryption_kek SET state = $2, successor = $3, changed_at = now() WHERE pub_datafile = $1",
        row.public,
        row.state.value,
        row.successor or None,
    )
