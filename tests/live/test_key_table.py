"""The table of KEKs in a real PostgreSQL: several nodes follow it, also when it was away for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.policy import PolicyFiles
from infra.keys import make_kek
from infra.keys.assignment import Assignment, Scope, build_sets
from infra.keys.follow import INTERVAL_S, follow_table
from infra.keys.inspection import inspect
from infra.keys.registry import Purpose, Registered, State, load_copy
from infra.keys.roster import change_group, drop_assignment, fetch_situation, put_assignment
from infra.keys.signed_sets import load_signed_sets, newest_version, store_sets
from infra.keys.signer import FOLDER, make_signer
from infra.keys.table import add_row, change_row, connected, read_rows, registered
from infra.migrate import migrate
from infra.settings import Settings, postgresql_dsn, read_secret
from schemas.errors import ConfigError
from schemas.keys import Identity
from schemas.keyset import sign_key_set
from schemas.work_factor import pbkdf2_rounds
from tests.agent.patience import wait_until

pytestmark = pytest.mark.live

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
PASSPHRASE = b"the officers' passphrase"


@pytest.fixture
async def node(backing: Settings, tmp_path: Path) -> AsyncIterator[Callable[[str], Settings]]:
    """Makes nodes, each with a folder of keys, that share a database of this test's own."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgresql_dsn(backing))
    await admin.execute(f"CREATE DATABASE {name}")

    def make(node_id: str) -> Settings:
        folder = tmp_path / node_id
        folder.mkdir()
        dsn = backing.postgresql.dsn.rsplit("/", 1)[0] + f"/{name}"
        groups: dict[str, Any] = {
            "postgresql": backing.postgresql.model_copy(update={"dsn": dsn}),
            "keys": backing.keys.model_copy(update={"dir": folder}),
        }
        return backing.model_copy(update=groups)

    try:
        yield make
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def test_the_datasheets_insert_reaches_every_node(node: Callable[[str], Settings]) -> None:
    """As it stands; while the nodes run; also after the database went and came back (R6.5, R6.8)."""
    first, second = node("first"), node("second")
    following = [asyncio.create_task(follow_table(one)) for one in (first, second)]  # before there is any table
    async with connected(first) as connection:
        await migrate(connection)
        await connection.execute(
            "insert into encryption_kek (pub_datafile, priv_datafile, priv_encrypted) values ('x.pub.pem','x.pem',true)"
        )

    def known(settings: Settings) -> list[Registered]:
        return load_copy(settings.keys.dir) or []

    wanted = [Registered("server.pub.pem", "server.pem", purpose=Purpose.SERVER), Registered("x.pub.pem", "x.pem")]
    await wait_until(lambda: all(sorted(known(one), key=lambda row: row.name) == wanted for one in (first, second)))
    async with connected(first) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await change_row(connection, replace(wanted[1], state=State.REVOKED))
    await wait_until(lambda: all(State.REVOKED in {row.state for row in known(one)} for one in (first, second)))
    assert not any(task.done() for task in following)
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


async def test_a_new_kek_of_the_server_is_told_to_agents(node: Callable[[str], Settings], tmp_path: Path) -> None:
    """The gateway reads what its node follows."""
    settings = node("gateway")
    for name in ("server", "next"):
        (settings.keys.dir / f"{name}.pub.pem").write_bytes(Identity.generate(2048).recipient.to_pem())
    async with connected(settings) as connection:
        await migrate(connection)
        await read_rows(settings)
        policy = PolicyFiles(tmp_path / "none.json", settings.keys.dir)
        assert len(policy.told.recipients) == 1
        await add_row(connection, Registered("next.pub.pem", purpose=Purpose.SERVER))
        with pytest.raises(ConfigError, match="registered already"):
            await add_row(connection, Registered("next.pub.pem", purpose=Purpose.SERVER))
    assert len(registered(settings)) == 2
    assert policy.reload()
    assert len(policy.told.recipients) == 2


async def test_what_is_assigned_and_signed_reaches_nodes_and_is_checked(node: Callable[[str], Settings]) -> None:
    """`keys check` tells what is not distributed as assigned, and a set that no agent would take."""
    settings = node("only")
    folder = settings.keys.dir
    make_kek(folder, "officers", PASSPHRASE, bits=2048)
    make_signer(folder, "ann", PASSPHRASE, folder.parent)
    assert not (folder / FOLDER / "ann.pem").exists()
    signer = Ed25519PrivateKey.generate()
    async with connected(settings) as connection:
        await migrate(connection)
        await connection.execute("DELETE FROM encryption_kek")
        await add_row(connection, Registered("officers.pub.pem", "officers.pem"))
        await connection.execute("INSERT INTO agent VALUES ($1, 'ann', 'PC-1', now(), now())", AGENT)
        await change_group(connection, "finance", ["PC-1", "pc-2"], ["pc-2"])
        email = Assignment("officers.pub.pem", Scope.GROUP, "finance", "email", blind_index=False)
        await put_assignment(connection, replace(email, blind_index=True))
        await put_assignment(connection, email)
        situation = await fetch_situation(connection, folder, frozenset({"email"}))
        assert situation.assignments == [email]
        assert situation.groups == {"finance": {"pc-1"}}
        [of_agent] = build_sets(situation, await newest_version(connection) + 1, 0)
        assert of_agent.agents == (AGENT,)
        assert "not distributed as assigned" in await problems(settings)
        await store_sets(connection, 1, [sign_key_set(of_agent, signer)])
        assert "signed by somebody whom this agent does not know" in await problems(settings)
        (folder / FOLDER / "ann.pub.pem").unlink()
        (folder / FOLDER / "bob.pub.pem").write_bytes(_pem(signer))
        assert "key set" not in await problems(settings)
        following = asyncio.create_task(follow_table(settings))
        await wait_until(lambda: AGENT in load_signed_sets(folder))
        assert await drop_assignment(connection, email)
        assert not await drop_assignment(connection, email)
        assert "not distributed as assigned" in await problems(settings)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert json.loads((folder / "registered.json").read_text())[0]["public"] == "officers.pub.pem"
    assert INTERVAL_S <= 2.0


async def test_check_tells_what_is_weak(node: Callable[[str], Settings]) -> None:
    """Readable by others, few rounds, opened by the server's passphrase, not registered, gone."""
    settings = node("weak")
    folder = settings.keys.dir
    identity = Identity.generate(2048)
    (folder / "weak.pub.pem").write_bytes(identity.recipient.to_pem())
    (folder / "weak.pem").write_bytes(identity.to_pem(PASSPHRASE))  # the library's own: 2,048 rounds
    (folder / "weak.pem").chmod(0o644)
    (folder / "stray.pub.pem").write_bytes(identity.recipient.to_pem())
    assert pbkdf2_rounds((folder / "weak.pem").read_bytes()) == 2048
    async with connected(settings) as connection:
        await migrate(connection)
        await add_row(connection, Registered("weak.pub.pem", "weak.pem"))
        await add_row(connection, Registered("../x.pub.pem", "x.pem"))
        await add_row(connection, Registered("careless.pub.pem", "careless.pem"))
    make_kek(folder, "careless", read_secret(settings.keys.passphrase_file).encode(), bits=2048)
    told = await problems(settings)
    assert "careless the server's own passphrase opens it" in told
    for words in (
        "readable by others",
        "2048 rounds",
        "stray.pub.pem lies among",
        "is not a file in",
        "server.pub.pem",
    ):
        assert words in told, words


async def problems(settings: Settings) -> str:
    return "\n".join(f"{one.subject} {one.says}" for one in await inspect(settings) if one.problem)


def _pem(signer: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return signer.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
