"""PostgreSQL under Patroni: a standby becomes the primary by itself, and the old primary comes back behind it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from infra import pki
from infra.databases import list_servers, promote, read_decision
from infra.doctor.failover import check_failover
from infra.failover import AUTHORITY, CERTIFICATE
from infra.servers import Count, count_etcd
from infra.settings import Settings
from infra.stack.account import find_account
from infra.stack.child import carriers, end_processes
from infra.stack.etcd import etcd_component
from infra.stack.ports import binding_fault, choose_port
from infra.stack.postgresql import find_programs, postgresql_component
from schemas.errors import ConfigError, UnavailableError
from tests.live.store_node import SETTLED_S, StoreNode, node_settings, store_root, tell, until  # noqa: F401  # a fixture
from tests.live.test_cluster_stores import add_note, notes, until_counted

pytestmark = [pytest.mark.live, pytest.mark.slow]


def choose_pair(taken: list[int]) -> int:
    """A free port whose next one is free too: etcd's."""
    return next(port for _ in range(100) if not binding_fault((port := choose_port("etcd", taken)) + 1))


def failover_nodes(root: Path) -> tuple[StoreNode, list[StoreNode]]:
    """One etcd and two servers, which know each other by certificates of one CA."""
    pki.make_ca(root / "pki")
    pki.issue(root / "pki", CERTIFICATE, server=True, hosts=["127.0.0.1", "localhost"])
    (root / "pki" / "ca.pem").rename(root / "pki" / AUTHORITY)
    (root / "secrets").mkdir()
    for name in ("postgresql.password", "postgresql-replication.password"):
        (root / "secrets" / name).write_text(f"{name}:it's\\\n")
    ports: list[int] = []
    while len(ports) < 4:
        ports.append(choose_port("postgresql", ports))
    etcd_port = choose_pair(ports)
    shared = {
        "dsn": f"postgresql://sealstream@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/sealstream",
        "password_file": root / "secrets/postgresql.password",
        "replication_password_file": root / "secrets/postgresql-replication.password",
        "etcd": [f"https://127.0.0.1:{etcd_port}"],
    }
    settings = [
        node_settings(
            root, number, postgresql={**shared, "listen": f"127.0.0.1:{ports[number - 1]}", "patroni_port": rest}
        )
        for number, rest in ((1, ports[2]), (2, ports[3]))
    ]
    account, master = find_account(), node_settings(root, 3, postgresql=shared)
    store = StoreNode(master, etcd_component(master, account))
    return store, [StoreNode(it, postgresql_component(it, account)) for it in settings]


@pytest.fixture
async def nodes(root: Path) -> AsyncIterator[list[StoreNode]]:
    """Two servers that Patroni has made primary and standby."""
    etcd, servers = failover_nodes(root)
    try:
        await etcd.start()
        await asyncio.gather(*(node.launch() for node in servers))
        await asyncio.gather(*(node.until_ready() for node in servers))
        for node in servers:
            await node.component.finish()
        yield servers
    finally:
        for node in (*servers, etcd):
            await kill_machine(node)


async def kill_machine(node: StoreNode) -> None:
    """Patroni, and the server that it leaves behind where it dies alone."""
    with contextlib.suppress(ProcessLookupError):  # one that did not start
        await node.kill()
    await end_processes(list(carriers(node.settings.data.root)), signal.SIGKILL, 0)


async def until_followed(settings: Settings) -> None:
    """The primary's standby has all that it has."""

    async def followed() -> bool:
        _, followers = await list_servers(settings)
        return [it.behind_bytes for it in followers] == [0]

    await until("a standby that has everything", followed)


async def is_told(settings: Settings, words: str) -> bool:
    """Whether `sealstream doctor` says so of a failover; Patroni looks every few seconds."""
    try:
        return words in await check_failover(settings)
    except UnavailableError as error:
        return words in str(error)


async def write_row(settings: Settings, network: str) -> bool:
    """As the product's processes do, by the address that names both; whether it was taken."""
    try:
        await add_note(settings, network)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


async def write_alone(node: StoreNode, network: str) -> None:
    """A row in a stopped server's database that nobody else ever sees, as behind a cut network."""
    cluster = node.settings.data.store("postgresql") / "cluster"
    account = find_account()
    running = await asyncio.create_subprocess_exec(
        *(find_programs() / "postgres", "--single", "-D", cluster, "sealstream"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=cluster,
        **({} if account is None else account.arguments),
    )
    told, _ = await running.communicate(f"INSERT INTO approved_node (network) VALUES ('{network}');\n".encode())
    assert running.returncode == 0, told.decode()


async def test_a_standby_takes_over_by_itself(nodes: list[StoreNode]) -> None:
    """Nobody commands anything; what the old primary alone has is undone, and it goes back only when it is asked."""
    settings = nodes[0].settings
    roles = [it.role for it in (await list_servers(settings))[0]]
    assert sorted(roles) == ["primary", "standby"]
    old, new = nodes if roles[0] == "primary" else reversed(nodes)
    decision = await read_decision(settings)
    assert (decision.by, decision.faults, list(decision.etcd.values())) == ("Patroni", [], [True])
    assert [it.name for it in decision.members if it.leads] == [old.settings.node.id]
    await until("a standby that may take over", lambda: is_told(settings, "1 of 1"))
    await add_note(settings, "10.0.0.0/24")
    await until_followed(settings)
    await until_counted(settings, Count(2, 0))
    assert await count_etcd(settings) == {"etcd": Count(1, 0)}

    began = time.monotonic()
    await kill_machine(old)
    await until("a row is taken again", lambda: write_row(settings, "10.0.1.0/24"))
    tell("written_to_a_standby_that_took_over", began)
    assert await notes(new.settings) == {"10.0.0.0/24", "10.0.1.0/24"}
    await until("the loss to be told", lambda: is_told(new.settings, "no standby"))
    await until_counted(settings, Count(1, 1))

    await write_alone(old, "10.0.2.0/24")
    began = time.monotonic()
    await old.start()
    tell("old_primary_follows", began)
    await old.component.finish()
    await until_followed(settings)
    assert "running pg_rewind" in old.settings.data.log("postgresql").read_text("utf-8", "replace")

    with pytest.raises(ConfigError, match="is the primary already"):
        await promote(new.settings)
    began = time.monotonic()
    done = await promote(old.settings)
    await until("a row is taken", lambda: write_row(settings, "10.0.3.0/24"))
    tell("switched_over_by_command", began)
    assert done.timeline == 3
    assert await notes(settings) == {"10.0.0.0/24", "10.0.1.0/24", "10.0.3.0/24"}
