"""PostgreSQL into a file and back, by its own `pg_dump` and `pg_restore`; with the number of rows of each table.

Never puts a password on a command line, and never loads a dump over anything that was recorded.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import asyncpg

from infra.bi import GROUP
from infra.postgresql import connect
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

_RECORDED = ("agent", "envelope", "activity_span", "alert", "audit_entry")
"""Tables that have rows as soon as anything was recorded or done."""

_SCHEMAS = r"SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
_TABLES = (
    "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    r"WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
)


async def dump_database(dsn: str, target: Path) -> dict[str, int]:
    """Write a dump in PostgreSQL's custom format; the rows of each table in it. Raises `UnavailableError`."""
    connection = await _connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            await _run_program("pg_dump", dsn, ["--format=custom", f"--snapshot={snapshot}", f"--file={target}"])
            return await count_rows(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"PostgreSQL cannot be dumped: {error}") from error
    finally:
        connection.terminate()


async def load_database(dsn: str, dump: Path) -> dict[str, int]:
    """Fill the database with a dump; the rows of each table afterwards.

    Raises `ConfigError` when something was recorded in it already: then nothing is changed.
    """
    connection = await _connect(dsn)
    try:
        filled = await _find_recorded(connection)
        if filled:
            raise ConfigError(
                f"the database is in use, it has rows in {', '.join(filled)}: restore into an empty one "
                "(`createdb`, and `postgresql.dsn` in the settings)"
            )
        # Killed from here on: the database has nothing in it, and restoring again does the same.
        async with connection.transaction():
            for row in await connection.fetch(_SCHEMAS):
                await connection.execute(f"DROP SCHEMA {row[0]} CASCADE")
            await connection.execute("CREATE SCHEMA public")
        has_group = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", GROUP)
        options = ["--no-owner", "--exit-on-error", "--single-transaction"]
        await _run_program("pg_restore", dsn, [*options, *([] if has_group else ["--no-privileges"]), str(dump)])
        return await count_rows(connection)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"PostgreSQL cannot be filled: {error}") from error
    finally:
        connection.terminate()


async def count_rows(connection: Connection) -> dict[str, int]:
    """The rows of each table of ours."""
    names = [row[0] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}", timeout=None) for name in names}  # noqa: S608


def find_differences(wanted: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Tables that are missing, that should not be there, or whose rows are not as many as they should be."""
    told = [f"{name}: is missing" for name in sorted(wanted.keys() - found.keys())]
    told += [f"{name}: is not of the backup" for name in sorted(found.keys() - wanted.keys())]
    return told + [
        f"{name}: {found[name]} rows instead of {rows}"
        for name, rows in wanted.items()
        if name in found and found[name] != rows
    ]


def split_password(dsn: str) -> tuple[str, str]:
    """An address without its password, and the password."""
    head, at, tail = dsn.rpartition("@")
    scheme, separator, login = head.partition("://")
    user, colon, password = login.partition(":")
    return (f"{scheme}{separator}{user}@{tail}", unquote(password)) if at and colon else (dsn, "")


async def _connect(dsn: str) -> Connection:
    try:
        return await connect(dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {type(error).__name__}") from error


async def _find_recorded(connection: Connection) -> list[str]:
    there = [name for name in _RECORDED if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name)]
    return [name for name in there if await connection.fetchval(f"SELECT true FROM {name} LIMIT 1")]  # noqa: S608


async def _run_program(name: str, dsn: str, options: Sequence[str]) -> None:
    """Run one of PostgreSQL's programs; raises `UnavailableError` with its last words."""
    if shutil.which(name) is None:
        raise UnavailableError(f"{name} is missing: `apt-get install postgresql-client`")
    address, password = split_password(dsn)
    environment = {"PGCONNECT_TIMEOUT": "5", **os.environ, "LC_ALL": "C.UTF-8"}
    if password:
        environment["PGPASSWORD"] = password
    running = await asyncio.create_subprocess_exec(
        name,
        f"--dbname={address}",
        "--no-password",
        *options,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, told = await running.communicate()
    except asyncio.CancelledError:
        running.terminate()
        await running.wait()
        raise
    if running.returncode != 0:
        lines = told.decode("utf-8", "replace").strip().splitlines()
        raise UnavailableError(f"{name} failed: {' | '.join(lines[-3:])}")
