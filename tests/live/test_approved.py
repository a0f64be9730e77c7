"""The table of approved nodes in a real PostgreSQL: by command line, and followed live."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from infra.approved import ApprovedNodes
from infra.migrate import migrate
from infra.settings import Settings, load_settings, postgresql_dsn
from tests.running_stack import run_cli

pytestmark = pytest.mark.live

MINER = "10.0.0.7"


@pytest.fixture
async def node(backing: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """A node of its own with a database of its own, migrated."""
    name = f"approved_{uuid4().hex[:8]}"
    root = await asyncpg.connect(postgresql_dsn(backing))
    await root.execute(f"CREATE DATABASE {name}")
    parts = urlsplit(backing.postgresql.dsn)
    lines = [
        "[postgresql]",
        f'dsn = "{parts.scheme}://{parts.netloc}/{name}"',
        f'password_file = "{backing.postgresql.password_file}"',
    ]
    (tmp_path / "sealstream.toml").write_text("\n".join(lines) + "\n")
    settings = load_settings(tmp_path / "sealstream.toml")
    connection = await asyncpg.connect(postgresql_dsn(settings))
    await migrate(connection)
    await connection.close()
    yield settings
    await root.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await root.close()


async def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`sealstream approved ARGUMENTS` on that node."""
    return await asyncio.to_thread(run_cli, settings.node.data_dir, "approved", *arguments)


class Changes:
    """Waits for the list to change, with a bound."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        self._changed.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not fact():
                self._changed.clear()
                await self._changed.wait()


async def test_what_a_command_approves_every_node_serves_at_once(node: Settings) -> None:
    """A process that follows the list takes an address in and out without a restart, and keeps it over a new start."""
    changes = Changes()
    nodes = ApprovedNodes(node, changes.note)
    following = asyncio.create_task(nodes.follow())
    try:
        assert not nodes.approves(MINER)
        added = await command(node, "add", MINER, "--note", "miner-1")
        assert (added.returncode, added.stdout) == (0, f"{MINER}/32 is approved\n")
        await changes.until(lambda: nodes.approves(MINER))
        assert ApprovedNodes(node).approves(MINER), "a start without the database knows it from the copy"
        removed = await command(node, "remove", MINER)
        assert (removed.returncode, removed.stdout) == (0, f"{MINER}/32 is taken off\n")
        await changes.until(lambda: not nodes.approves(MINER))
        assert not ApprovedNodes(node).approves(MINER)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_the_list_says_where_each_network_stands(node: Settings) -> None:
    """Settings, file and table, each with its note; `check` decides as the ports do."""
    await command(node, "add", "10.1.0.0/16", "--note", "miners")
    await command(node, "add", MINER, "--note", "this one", "--local")
    listed = json.loads((await command(node, "list", "--json")).stdout)
    assert {"network": "10.1.0.0/16", "stands_in": "table", "note": "miners"} in listed
    assert {"network": f"{MINER}/32", "stands_in": "file", "note": "this one"} in listed
    assert {"network": "127.0.0.1/32", "stands_in": "settings", "note": ""} in listed
    codes = [(await command(node, "check", it)).returncode for it in ("10.1.9.9", MINER, "127.0.0.2")]
    assert codes == [0, 0, 1]


async def test_taking_off_says_what_still_approves_it(node: Settings) -> None:
    """Who believes an address is out must not be wrong."""
    await command(node, "add", "10.0.0.0/24")
    await command(node, "add", MINER)
    assert "it stays approved by table" in (await command(node, "remove", MINER)).stdout
    assert (await command(node, "remove", MINER)).returncode == 1


async def test_a_table_that_is_away_leaves_the_rest_working(node: Settings) -> None:
    """The file needs no database; the list shows what it can and ends with 3."""
    file = node.node.data_dir / "sealstream.toml"
    file.write_text(file.read_text().replace(node.postgresql.dsn, "postgresql://sealstream@127.0.0.1:1/x"))
    assert (await command(node, "add", MINER, "--local")).returncode == 0
    listed = await command(node, "list")
    assert listed.returncode == 3
    assert f"{MINER}/32" in listed.stdout
    assert (await command(node, "check", MINER)).returncode == 0
    refused = await command(node, "add", "10.0.0.8")
    assert refused.returncode == 3
    assert "--local" in refused.stderr
