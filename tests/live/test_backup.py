# tests look at a real disk
"""The drill: back up an installation that is used, lose it, restore it into fresh places, and find everything again."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from infra.backup.database import count_rows, split_password
from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.migrate import migrate
from infra.settings import Settings, postgresql_dsn
from sinks.archive.index import reindex
from sinks.archive.layout import Layout
from sinks.postgresql.sink import PostgresqlSink
from tests.infra.backup_site import fill_archive, make_site, values
from tests.live.test_stores import dsn  # noqa: F401  # fixture
from tests.sinks.contract import put
from tests.sinks.envelopes import as_records, begin, seal

pytestmark = pytest.mark.live


@pytest.fixture
async def fresh(backing: Settings) -> AsyncIterator[str]:
    """Another empty database, to restore into."""
    name, address = f"test_{uuid4().hex[:12]}", postgresql_dsn(backing)
    admin = await asyncpg.connect(address)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield address.rsplit("/", 1)[0] + f"/{name}"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def used(dsn: str, backing: Settings, tmp_path: Path) -> Settings:  # noqa: F811
    """An installation with recordings in its database and its archive."""
    address, password = split_password(dsn)
    text = f'[postgresql]\ndsn = "{address}"\n[kafka]\nbootstrap = "{backing.kafka.bootstrap}"\n'
    settings = make_site(tmp_path / "site", **{"sealstream.toml": text, "secrets/postgresql.password": password})
    await (await fill_archive(settings.archive.dir)).close()
    sink = PostgresqlSink(dsn)
    await sink.open()
    assert await put(sink, as_records(seal(begin(), 25))) == []
    await sink.close()
    connection = await asyncpg.connect(dsn)
    await migrate(connection)
    await reindex(connection, Layout(settings.archive.dir))
    await connection.close()
    return settings


async def cli(data: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`sealstream ARGUMENTS` on that data directory."""
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "infra.cli", *arguments],
        env={**environment, VARIABLE: str(data), **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def rows(address: str) -> dict[str, int]:
    connection = await asyncpg.connect(address)
    try:
        return await count_rows(connection)
    finally:
        await connection.close()


async def test_the_drill(used: Settings, fresh: str, dsn: str, tmp_path: Path) -> None:  # noqa: F811
    """Counts of all tables and every envelope are the same, the archive is sound, and the index is true."""
    home, backup, new = used.data.root, str(tmp_path / "backup"), tmp_path / "new"
    taken = await cli(home, "backup", backup, "--json")
    assert taken.returncode == 0, taken.stderr
    told = json.loads(taken.stdout)
    assert stat.S_IMODE((tmp_path / "backup" / "postgresql.dump").stat().st_mode) == 0o600
    before = await rows(dsn)
    assert told["tables"] == before
    assert (before["public.envelope"], before["public.archive_run"] > 0) == (25, True)
    checked = await cli(home, "backup", "verify", backup, "--digest", told["manifest_sha256"])
    assert (checked.returncode, checked.stdout) == (0, "sound\n")

    override = {"SEALSTREAM_POSTGRESQL__DSN": split_password(fresh)[0]}
    restored = await cli(
        home, "restore", backup, "--into", str(new), "--database", "--digest", told["manifest_sha256"], **override
    )
    assert restored.returncode == 0, restored.stderr
    assert "as many as were backed up" in restored.stdout
    assert f"sealstream --data {new} archive reconcile" in restored.stdout
    assert await rows(fresh) == before
    assert values(new / "archive") == values(used.archive.dir)
    verified = await cli(new, "archive", "verify", "--json")
    assert (verified.returncode, json.loads(verified.stdout)["records"]) == (0, 11)
    again = await cli(new, "archive", "reindex", **override)
    assert again.returncode == 0, again.stderr
    assert (await rows(fresh))["public.archive_run"] == before["public.archive_run"]

    connection = await asyncpg.connect(fresh)
    may_read = await connection.fetchval("SELECT has_table_privilege('sealstream_bi', 'bi.person_day', 'SELECT')")
    await connection.close()
    assert may_read

    sink = PostgresqlSink(fresh)  # a restored database is one that sinks go on with
    await sink.open()
    assert await put(sink, as_records(seal(begin(7), 2), offset=100)) == []
    await sink.close()
    assert (await rows(fresh))["public.envelope"] == 27


async def test_a_database_in_use_is_left_alone(used: Settings, dsn: str, tmp_path: Path) -> None:  # noqa: F811
    """Exit code 2, and not a row is touched."""
    backup = str(tmp_path / "backup")
    assert (await cli(used.data.root, "backup", backup)).returncode == 0
    before = await rows(dsn)
    refused = await cli(used.data.root, "restore", backup, "--database")
    assert (refused.returncode, "is in use" in refused.stderr) == (2, True)
    assert await rows(dsn) == before


async def test_a_database_of_a_stack_that_just_began_is_filled(
    used: Settings,
    fresh: str,
    dsn: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    """`up --backing` has made its tables, with nothing recorded in them: the dump takes their place."""
    backup = str(tmp_path / "backup")
    assert (await cli(used.data.root, "backup", backup)).returncode == 0
    connection = await asyncpg.connect(fresh)
    await migrate(connection)
    await connection.close()
    filled = await cli(
        used.data.root, "restore", backup, "--database", SEALSTREAM_POSTGRESQL__DSN=split_password(fresh)[0]
    )
    assert filled.returncode == 0, filled.stderr
    assert await rows(fresh) == await rows(dsn)


async def test_a_store_that_is_away(used: Settings, tmp_path: Path) -> None:
    """Exit code 3, and no backup: without PostgreSQL it would lack the half."""
    away = {"SEALSTREAM_POSTGRESQL__DSN": "postgresql://u@127.0.0.1:9/d"}
    backup = tmp_path / "backup"
    failed = await cli(used.data.root, "backup", str(backup), **away)
    assert (failed.returncode, failed.stderr.count("\n")) == (3, 1)
    assert (await cli(used.data.root, "backup", "verify", str(backup))).returncode == 2
    files = await cli(used.data.root, "backup", str(tmp_path / "files"), "--without-database", **away)
    assert files.returncode == 0, files.stderr
