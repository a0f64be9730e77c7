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
from infra.bi import scram_verifier
from infra.cluster import dsn_at, own_database, shown
from infra.failover import check_place, is_automatic, keep_options, runs_patroni
from infra.render import pg_hba
from infra.render.pg_hba import REPLICA
from infra.settings import Settings, postgresql_dsn, read_secret
from infra.stack import patroni
from infra.stack.account import Account, give
from infra.stack.component import Component, NotReadyError
from infra.stack.standby import STANDBY_OPTIONS, following_options, others_of, run_program, take_place, write_passfile
from schemas.errors import UnavailableError

log = structlog.get_logger()

NAME = "postgresql"
STOP = signal.SIGINT
"""Its "fast" shutdown: SIGTERM would wait for every client to go."""

_STREAMS = "select status = 'streaming' from pg_stat_wal_receiver"
_KEPT_WAL_MB = 1024
"""What a primary keeps for standbys that are away; one that was away for longer has to copy it all again."""

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


def postgresql_standby_component(settings: Settings, account: Account | None) -> Component:
    """A server that only ever follows: for reports, or beside a primary that is made elsewhere."""
    return postgresql_component(settings, account, standby=True)


def postgresql_component(settings: Settings, account: Account | None, *, standby: bool = False) -> Component:
    """The server of this node: the first of the address makes the database, the others follow who is primary."""
    if runs_patroni(settings) and not standby:
        return _patroni_component(settings, account)
    home, programs, own = settings.data.store(NAME), find_programs(), own_database(settings)
    parts, alone = urlsplit(settings.postgresql.dsn), not others_of(settings)
    user, database = parts.username or "sealstream", parts.path.strip("/")
    root_dsn = dsn_at(postgresql_dsn(settings), own, "postgres")

    async def prepare() -> None:
        if alone and not standby:
            empty = not (home / "cluster").exists()
        else:
            empty = await take_place(settings, programs, standby=standby, account=account)
        if empty:
            await _make_cluster(programs, home, user, read_secret(settings.postgresql.password_file), account)
        if not alone:
            write_passfile(settings, account)
        _write_access(settings, ApprovedNodes(settings))

    async def probe(_pid: int) -> str:
        return (await _ask_server(settings, root_dsn))[0]

    async def finish() -> None:
        if not await _follows(root_dsn):
            await _set_up(settings, root_dsn, database)

    options = {
        "port": own.port,
        "listen_addresses": own.host,
        "unix_socket_directories": "",
        "max_connections": 100,
        "password_encryption": "scram-sha-256",
        "wal_keep_size": f"{0 if alone and own.is_loopback else _KEPT_WAL_MB}MB",
        **({} if alone else following_options(settings)),
        **({"hba_file": _access_file(settings)} if is_automatic(settings) else {}),  # a copy of Patroni's names another
    }
    return Component(
        name=NAME,
        command=[programs / "postgres", "-D", home / "cluster", *(f"--{it}={value}" for it, value in options.items())],
        environment={"LC_ALL": "C.UTF-8"},
        address=str(own),
        account=account,
        prepare=prepare,
        probe=probe,
        finish=finish,
        stop_signal=STOP,
        ready_within_s=300.0 if alone else 86_400.0,
    )


def _patroni_component(settings: Settings, account: Account | None) -> Component:
    """The server of this node under Patroni, which decides whether it is the primary, and by what it is filled."""
    check_place(settings)
    home, programs, own = settings.data.store(NAME), find_programs(), own_database(settings)
    root_dsn = dsn_at(postgresql_dsn(settings), own, "postgres")
    database = urlsplit(settings.postgresql.dsn).path.strip("/")
    shared = patroni.shared_options(settings, _KEPT_WAL_MB)
    options = {
        "hba_file": str(_access_file(settings)),
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        **STANDBY_OPTIONS,
    }

    async def prepare() -> None:
        patroni.write_config(settings, patroni.render(settings, programs, shared, options), account)
        _write_access(settings, ApprovedNodes(settings))

    async def probe(_pid: int) -> str:
        version, follows = await _ask_server(settings, root_dsn)
        if not follows:
            await patroni.require_lock(settings)
        return version

    async def finish() -> None:
        try:
            if not await _follows(root_dsn):
                await keep_options(settings, shared)
                await _set_up(settings, root_dsn, database)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise UnavailableError(f"is primary no more while it is set up: {error or type(error).__name__}") from None

    return Component(
        name=NAME,
        command=[patroni.find_patroni(account), home / patroni.CONFIG],
        environment={"LC_ALL": "C.UTF-8"},
        address=str(own),
        account=account,
        prepare=prepare,
        probe=probe,
        finish=finish,
        stop_within_s=60,
        ready_within_s=86_400.0,
    )


async def _ask_server(settings: Settings, root_dsn: str) -> tuple[str, bool]:
    """The version of this node's server, and whether it follows; raises `NotReadyError` while it follows nobody.

    One that starts, or that Patroni stops under the question, is not ready either.
    """
    try:
        connection = await asyncpg.connect(root_dsn, timeout=5)
        try:
            follows = bool(await connection.fetchval("select pg_is_in_recovery()"))
            if follows and not await connection.fetchval(_STREAMS):
                raise NotReadyError(f"follows no primary yet among {shown(others_of(settings))}")
            return str(await connection.fetchval("show server_version")).split()[0], follows
        finally:
            await connection.close()
    except (asyncpg.OperatorInterventionError, asyncpg.PostgresConnectionError) as error:
        raise NotReadyError(str(error)) from None


async def _set_up(settings: Settings, root_dsn: str, database: str) -> None:
    """What everybody needs in the primary, made where it is missing."""
    await _make_database(root_dsn, database)
    await _make_replica(settings, root_dsn)
    await _migrate(settings)


async def follow_access(settings: Settings) -> None:
    """Let the server go by the approved nodes as they are now, until cancelled."""
    root_dsn = dsn_at(postgresql_dsn(settings), own_database(settings), "postgres")
    changed = asyncio.Event()
    nodes = ApprovedNodes(settings, changed.set)
    following = asyncio.create_task(nodes.follow())
    try:
        while True:
            await changed.wait()
            changed.clear()
            _write_access(settings, nodes)
            try:
                connection = await asyncpg.connect(root_dsn, timeout=5)
                await connection.execute(pg_hba.RELOAD)
                await connection.close()
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                log.warning("access_not_reloaded", error=type(error).__name__)  # its next start reads the file
    finally:
        following.cancel()


def _write_access(settings: Settings, nodes: ApprovedNodes) -> None:
    """Who may connect: the approved nodes, and always this machine, whose stack it is."""
    here = Approval.parse(["127.0.0.1", "::1"], "this machine")
    path = _access_file(settings)
    path.write_text(pg_hba.render(settings, here | nodes.approval), "utf-8")  # in place: it is the account's file


def _access_file(settings: Settings) -> Path:
    """Where it stands: beside a cluster that Patroni fills, which brings the file of another node with it."""
    home = settings.data.store(NAME)
    return (home if runs_patroni(settings) else home / "cluster") / "pg_hba.conf"


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
    try:
        await run_program([programs / "initdb", f"--pgdata={fresh}", *options], home, account)
    finally:
        secret.unlink()
    fresh.rename(home / "cluster")


async def _make_database(root_dsn: str, database: str) -> None:
    connection = await asyncpg.connect(root_dsn, timeout=5)
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", database):
            await connection.execute(f'create database "{database}"')
    finally:
        await connection.close()


async def _follows(root_dsn: str) -> bool:
    connection = await asyncpg.connect(root_dsn, timeout=5)
    try:
        return bool(await connection.fetchval("select pg_is_in_recovery()"))
    finally:
        await connection.close()


async def _make_replica(settings: Settings, root_dsn: str) -> None:
    """The role of the standbys, with the password of now; none where no standby can have one."""
    if not settings.postgresql.replication_password_file.exists():
        return
    verifier = scram_verifier(read_secret(settings.postgresql.replication_password_file))
    connection = await asyncpg.connect(root_dsn, timeout=5)
    try:
        there = await connection.fetchval("select true from pg_roles where rolname = $1", REPLICA)
        verb = "alter" if there else "create"
        await connection.execute(f"{verb} role {REPLICA} login replication connection limit 20 password '{verifier}'")
    finally:
        await connection.close()


async def _migrate(settings: Settings) -> None:
    from infra.migrate import migrate

    connection = await asyncpg.connect(dsn_at(postgresql_dsn(settings), own_database(settings)), timeout=5)
    try:
        await migrate(connection)
    finally:
        await connection.close()
