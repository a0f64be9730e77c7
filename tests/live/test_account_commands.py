"""Accounts, teams and tokens by command line, on a database of a test's own."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import NewTopic

from infra.cli.exits import Exit
from infra.kafka import admin, topic_name
from infra.migrate import migrate
from infra.settings import Settings, load_settings, postgresql_dsn
from schemas.topics import AUDIT
from tests.running_stack import run_cli

pytestmark = pytest.mark.live


@pytest.fixture
def node(backing: Settings, tmp_path: Path) -> Iterator[Path]:
    """A data directory with an empty, migrated database; its audit goes to the stores' Kafka under a prefix."""
    name = f"accounts_{uuid4().hex[:8]}"
    asyncio.run(_database(backing, f"CREATE DATABASE {name}"))
    dsn = backing.postgresql.dsn.rsplit("/", 1)[0] + f"/{name}"
    lines = [
        "[postgresql]",
        f'dsn = "{dsn}"',
        f'password_file = "{backing.postgresql.password_file}"',
        "[kafka]",
        f'bootstrap = "{backing.kafka.bootstrap}"',
        f'topic_prefix = "test-{uuid4().hex[:12]}-"',
        "[gateway]",
        "https_port = 8443",
    ]
    (tmp_path / "sealstream.toml").write_text("\n".join(lines) + "\n")
    settings = load_settings(tmp_path / "sealstream.toml")
    asyncio.run(_prepare(settings))
    yield tmp_path
    asyncio.run(_clean(settings))
    asyncio.run(_database(backing, f"DROP DATABASE {name} WITH (FORCE)"))


async def _database(backing: Settings, statement: str) -> None:
    connection = await asyncpg.connect(postgresql_dsn(backing))
    await connection.execute(statement)
    await connection.close()


async def _prepare(settings: Settings) -> None:
    connection = await asyncpg.connect(postgresql_dsn(settings))
    await migrate(connection)
    await connection.close()
    client = admin(settings)
    await client.start()
    await client.create_topics([NewTopic(topic_name(settings, AUDIT.name), 1, 1)])
    await client.close()


async def _clean(settings: Settings) -> None:
    client = admin(settings)
    await client.start()
    await client.delete_topics([topic_name(settings, AUDIT.name)])
    await client.close()


def sealstream(node: Path, *arguments: str, code: Exit = Exit.OK) -> str:
    """What the command prints."""
    done: subprocess.CompletedProcess[str] = run_cli(node, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code in (Exit.OK, Exit.NOTHING) else done.stderr


def test_from_the_first_link_to_a_token(node: Path) -> None:
    """As an administrator of the machine does it, without the console."""
    assert "first-link" in sealstream(node, "accounts", "list")
    link = sealstream(node, "accounts", "first-link").strip()
    assert link.startswith("https://127.0.0.1:8443/first#")
    assert sealstream(node, "accounts", "first-link").strip() != link

    sealstream(node, "teams", "make", "sales", "--note", "Berlin")
    sealstream(node, "teams", "add", "sales", "ann", "bob")
    made = sealstream(node, "accounts", "make", "olga", "--role", "officer", "--team", "sales")
    assert "/set-password#" in made
    (row,) = json.loads(sealstream(node, "accounts", "list", "--json"))
    assert (row["name"], row["role"], row["sees"], row["signs in by"]) == ("olga", "officer", "sales", "nothing yet")
    (team,) = json.loads(sealstream(node, "teams", "list", "--json"))
    assert (team["members"], team["accounts"]) == (["ann", "bob"], ["olga"])

    assert sealstream(node, "api", "token", "olga", "--scope", "search").startswith("sealstream-token.")
    assert sealstream(node, "api", "token", "nobody").startswith("sealstream-api.")
    rows = {one["person"]: one["scopes"] for one in json.loads(sealstream(node, "api", "list", "--json"))}
    assert rows == {"olga": "search", "nobody": "envelopes unlock_server"}
    sealstream(node, "api", "revoke", "olga")
    sealstream(node, "api", "revoke", "olga", code=Exit.NOTHING)


def test_what_cannot_be_is_refused_in_a_line(node: Path, tmp_path: Path) -> None:
    """A role, a name, a password, a person that there is not."""
    weak = tmp_path / "weak"
    weak.write_text("password1234\n")
    assert "--role" in sealstream(node, "accounts", "make", "x", "--role", "king", code=Exit.USAGE)
    assert "--person" in sealstream(node, "accounts", "make", "x", "--role", "subject", code=Exit.USAGE)
    told = run_cli(node, "accounts", "make", "x", "--role", "officer", "--password-file", str(weak))
    assert told.returncode
    assert "guessed first" in told.stderr
    assert "no account" in sealstream(node, "accounts", "link", "none", code=Exit.USAGE)


def test_the_last_administrator_stays(node: Path, tmp_path: Path) -> None:
    """Who would lock everybody out is told; another administrator makes it possible."""
    good = tmp_path / "good"
    good.write_text("wandering-heron-41\n")
    sealstream(node, "accounts", "make", "ada", "--role", "administrator", "--password-file", str(good))
    refused = run_cli(node, "accounts", "disable", "ada")
    assert refused.returncode
    assert "last administrator" in refused.stderr
    sealstream(node, "accounts", "make", "bea", "--role", "administrator", "--password-file", str(good))
    sealstream(node, "accounts", "disable", "ada")
    assert "disabled" in sealstream(node, "accounts", "list")
    sealstream(node, "accounts", "enable", "ada")
    sealstream(node, "accounts", "reset-totp", "ada")
    assert "not signed in" in sealstream(node, "accounts", "sessions", "ada")
    assert "0 sessions" in sealstream(node, "accounts", "revoke", "ada")
