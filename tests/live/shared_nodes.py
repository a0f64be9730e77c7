"""Nodes of one installation that share a real database of a test's own, each with a data directory."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from infra.keys.table import connected
from infra.migrate import migrate
from infra.settings import PostgresqlSettings, Settings, postgresql_dsn
from tests.site_trust import made_once


@asynccontextmanager
async def own_database(backing: Settings) -> AsyncIterator[PostgresqlSettings]:
    """A new database with all tables, gone afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgresql_dsn(backing))
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        dsn = backing.postgresql.dsn.rsplit("/", 1)[0] + f"/{name}"
        database = backing.postgresql.model_copy(update={"dsn": dsn})
        async with connected(backing.model_copy(update={"postgresql": database})) as connection:
            await migrate(connection)
        yield database
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def make_node(directory: Path, database: PostgresqlSettings, *, roles: tuple[str, ...] = ("master", "app")) -> Settings:
    """A node whose folders were copied from another's when it was set up."""
    shutil.copytree(made_once(), directory)
    return Settings(node={"data_dir": directory, "id": directory.name, "roles": list(roles)}, postgresql=database)


def away(settings: Settings) -> Settings:
    """The same node while its database is away."""
    dsn = "postgresql://nobody@127.0.0.1:1/nothing"
    return settings.model_copy(update={"postgresql": settings.postgresql.model_copy(update={"dsn": dsn})})
