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
from infra.reading import Stretch, read_records
from infra.settings import Settings, load_settings, postgresql_dsn
from schemas.records import decode_record
from schemas.topics import AUDIT
from tests.api.accounts import sign_in
from tests.api.stores import serving
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


async def test_rights_are_changed_by_command_and_hold_for_sessions_at_once(node: Path, tmp_path: Path) -> None:
    """A role, teams and the mark; the session that is open goes on with them, and the audit tells old and new."""
    good = tmp_path / "good"
    good.write_text("wandering-heron-41\n")
    settings = load_settings(node / "sealstream.toml")

    async def run(*arguments: str, code: Exit = Exit.OK) -> str:
        return await asyncio.to_thread(sealstream, node, *arguments, code=code)

    await run("teams", "make", "sales")
    await run("teams", "add", "sales", "bob")
    await run("accounts", "make", "olga", "--role", "officer", "--all-teams", "--password-file", str(good))
    async with serving(settings, "gateway.api.session") as (services, client, _):
        told = await sign_in(client, "olga", good.read_text().strip())
        assert (told["account"]["role"], "unlock_server" in told["permissions"], told["all_teams"]) == (
            "officer",
            False,
            True,
        )
        await run("accounts", "change", "olga", "--team", "sales", "--unlock-on-server", "yes")
        services.desk.identities.forget()  # as the two seconds do for which it is believed
        told = (await client.get("/api/v1/session")).json()
        assert ("unlock_server" in told["permissions"], told["all_teams"]) == (True, False)
        assert "so already" in await run("accounts", "change", "olga", "--team", "sales")
        await run("accounts", "change", "olga", "--role", "auditor", "--all-teams", "--unlock-on-server", "no")
        services.desk.identities.forget()
        told = (await client.get("/api/v1/session")).json()
        assert (told["account"]["role"], "search" in told["permissions"], told["all_teams"]) == ("auditor", False, True)
    entries = [
        decode_record(record.value, "audit_entry") async for record in read_records(settings, AUDIT.name, Stretch())
    ]
    changes = [entry["detail"] for entry in entries if entry["detail"].get("change") == "change"]
    assert changes == [
        {
            "change": "change",
            "all_teams": "yes → no",
            "unlock_on_server": "no → yes",
            "teams": "none → sales",
        },
        {"change": "change", "role": "officer → auditor", "all_teams": "no → yes", "unlock_on_server": "yes → no"},
    ]


def test_a_change_that_cannot_be_is_refused_and_changes_nothing(node: Path, tmp_path: Path) -> None:
    """The last administrator, an account, a team, a role, a person that there is not; and nothing to change."""
    good = tmp_path / "good"
    good.write_text("wandering-heron-41\n")
    sealstream(node, "accounts", "make", "ada", "--role", "administrator", "--password-file", str(good))
    last = run_cli(node, "accounts", "change", "ada", "--role", "officer")
    assert last.returncode
    assert "last administrator" in last.stderr
    for arguments, reason in (
        (("nobody", "--role", "officer"), "no account nobody"),
        (("ada", "--role", "king"), "--role is one of"),
        (("ada", "--role", "subject"), "--person"),
        (("ada",), "say what is to change"),
        (("ada", "--team", "a", "--all-teams"), "not both"),
        (("ada", "--unlock-on-server", "perhaps"), "yes"),
    ):
        assert reason in sealstream(node, "accounts", "change", *arguments, code=Exit.USAGE)
    unknown = run_cli(node, "accounts", "change", "ada", "--team", "none")
    assert unknown.returncode
    assert "no such team" in unknown.stderr
    (row,) = json.loads(sealstream(node, "accounts", "list", "--json"))
    assert (row["role"], row["sees"], row["on server"]) == ("administrator", "nobody", "no")
