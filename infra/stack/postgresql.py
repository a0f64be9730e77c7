"""PostgreSQL as a component of the stack: Debian's server with a cluster of its own under the data directory.

Never lets anyone in without a password, not even over the loopback.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import structlog

from infra.approved import Approval, ApprovedNodes
from infra.render import pg_hba
from infra.settings import Settings, postgresql_dsn, read_secret
from infra.stack.account import Account, give
from infra.stack.component import Component, NotReadyError
from schemas.errors import UnavailableError

log = structlog.get_logger()

NAME = "postgresql"
STOP = signal.SIGINT
"""Its "fast" shutdown: SIGTERM would wait for every client to go."""

_DEBIAN = Path("/usr/lib/postgresql")
_OLDEST = 15


def find_programs() -> Path:
    """The directory of `initdb` and `postgres`, the newest release first; raises `UnavailableError`."""
    releases = [it for it in _DEBIAN.glob("*/bin") if it.parent.name.isdecimal() and int(it.parent.name) >= _OLDEST]
    for directory in sorted(releases, key=lambda it: int(it.parent.name), reverse=True):
        if (directory / "initdb").exists():
            return directory
    found = shutil.which("initdb")
    if found is None:
        raise UnavailableError(f"PostgreSQL {_OLDEST} or later is missing: `apt-get install postgresql`")
    return Path(found).resolve().parent


def postgresql_component(settings: Settings, account: Account | None) -> Component:
    """PostgreSQL at the address of the settings."""
    home, programs = settings.data.store(NAME), find_programs()
    parts = urlsplit(settings.postgresql.dsn)
    host, port, user = parts.hostname or "127.0.0.1", parts.port or 5432, parts.username or "sealstream"
    database = parts.path.strip("/")
    root_dsn = postgresql_dsn(settings).rpartition("/")[0] + "/postgres"

    async def prepare() -> None:
        if not (home / "cluster").exists():
            await _make_cluster(programs, home, user, read_secret(settings.postgresql.password_file), account)
        _write_access(settings, ApprovedNodes(settings))

    async def probe(_pid: int) -> str:
        try:
            connection = await asyncpg.connect(root_dsn, timeout=5)
        except asyncpg.CannotConnectNowError as error:
            raise NotReadyError(str(error)) from None
        try:
            return str(await connection.fetchval("show server_version")).split()[0]
        finally:
            await connection.close()

    async def finish() -> None:
        await _make_database(root_dsn, database)
        await _migrate(settings)

    options = {
        "port": port,
        "listen_addresses": host,
        "unix_socket_directories": "",
        "max_connections": 100,
        "password_encryption": "scram-sha-256",
    }
    return Component(
        name=NAME,
        command=[programs / "postgres", "-D", home / "cluster", *(f"--{it}={value}" for it, value in options.items())],
        environment={"LC_ALL": "C.UTF-8"},
        address=f"{host}:{port}",
        account=account,
        prepare=prepare,
        probe=probe,
        finish=finish,
        stop_signal=STOP,
    )


async def follow_access(settings: Settings) -> None:
    """Let the server go by the approved nodes as they are now, until cancelled."""
    changed = asyncio.Event()
    nodes = ApprovedNodes(settings, changed.set)
    following = asyncio.create_task(nodes.follow())
    try:
        while True:
            await changed.wait()
            changed.clear()
            _write_access(settings, nodes)
            try:
                connection = await asyncpg.connect(postgresql_dsn(settings), timeout=5)
                await connection.execute(pg_hba.RELOAD)
                await connection.close()
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                log.warning("access_not_reloaded", error=type(error).__name__)  # its next start reads the file
    finally:
        following.cancel()


def _write_access(settings: Settings, nodes: ApprovedNodes) -> None:
    """Who may connect: the approved nodes, and always this machine, whose stack it is."""
    here = Approval.parse(["127.0.0.1", "::1"], "this machine")
    path = settings.data.store(NAME) / "cluster" / "pg_hba.conf"
    path.write_text(pg_hba.render(settings, here | nodes.approval), "utf-8")  # in place: it is the account's file


async def _make_cluster(programs: Path, home: Path, user: str, password: str, account: Account | None) -> None:
    """Make the cluster beside its place, then move it there whole."""
    fresh = home / "cluster.new"
    shutil.rmtree(fresh, ignore_errors=True)
    give(home, account)
    secret = home / "initdb.password"
    secret.touch(0o600)
    secret.write_text(password + "\n", "utf-8")
    give(home, account)
    options = [
        f"--username={user}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]
    making = await asyncio.create_subprocess_exec(
        programs / "initdb",
        f"--pgdata={fresh}",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=home,
        **({} if account is None else account.arguments),
    )
    told, _ = await making.communicate()
    secret.unlink()
    if making.returncode != 0:
        lines = told.decode("utf-8", "replace").strip().splitlines()
        raise UnavailableError(f"PostgreSQL's initdb makes no cluster in {home}: {' | '.join(lines[-3:])}")
    fresh.rename(home / "cluster")


async def _make_database(root_dsn: str, database: str) -> None:
    connection = await asyncpg.connect(root_dsn, timeout=5)
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", database):
            await connection.execute(f'create database "{database}"')
    finally:
        await connection.close()


async def _migrate(settings: Settings) -> None:
    from infra.migrate import migrate

    connection = await asyncpg.connect(postgresql_dsn(settings), timeout=5)
    try:
        await migrate(connection)
    finally:
        await connection.close()
