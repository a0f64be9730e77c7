"""PostgreSQL on several nodes: who is primary, and how a node becomes a standby of it.

Never throws a database away: what a newer primary has replaced is put aside. Never lets two primaries serve knowingly.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from infra.cluster import Address, databases, own_database, shown
from infra.postgresql import ask_server
from infra.render.pg_hba import REPLICA
from infra.settings import Settings, postgresql_dsn, read_secret
from infra.stack.account import Account, give
from schemas.errors import ConfigError, UnavailableError

log = structlog.get_logger()

SIGNAL = "standby.signal"
"""The file in a cluster's directory by which PostgreSQL knows that it is a standby."""

STANDBY_OPTIONS = {"hot_standby_feedback": "on", "max_standby_streaming_delay": "150s"}
"""So that long reports are read to their end on a standby."""

_ASK_AGAIN_S = 2.0
_STANDING = """
SELECT (SELECT system_identifier FROM pg_control_system())::text AS system,
       pg_is_in_recovery() AS follows,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a server is: of which database, standby or primary, and by which promotion (each begins a timeline)."""

    place: Address
    system: str
    follows: bool
    timeline: int


async def read_standing(settings: Settings, place: Address) -> Standing | None:
    """What the server there is; none where nobody answers."""
    row = await ask_server(postgresql_dsn(settings), place, _STANDING, database="postgres")
    return Standing(place, row["system"], row["follows"], row["timeline"]) if row else None


def others_of(settings: Settings) -> list[Address]:
    """The servers of the address but this node's own."""
    return [it for it in databases(settings) if it != own_database(settings)]


async def take_place(settings: Settings, programs: Path, *, standby: bool, account: Account | None) -> bool:
    """Make this node's cluster what it has to be among the others; whether it is to be made from nothing.

    Waits as long as that cannot be told. Raises `ConfigError` where two databases bear one name.
    """
    home = settings.data.store("postgresql")
    cluster = home / "cluster"
    waits = ""
    while True:
        found = [it for it in await asyncio.gather(*(read_standing(settings, at) for at in others_of(settings))) if it]
        primary = max((it for it in found if not it.follows), key=lambda it: it.timeline, default=None)
        if (cluster / SIGNAL).exists():
            return False
        if cluster.exists():
            if primary is None:
                return False
            await _put_aside(cluster, programs, primary, account)
        if primary is not None:
            await _copy(settings, programs, primary.place, account)
            return False
        if not (found or standby) and databases(settings)[0] == own_database(settings):
            return True
        waits = _note_wait(settings, found, waits)
        await asyncio.sleep(_ASK_AGAIN_S)


def _note_wait(settings: Settings, found: Sequence[Standing], before: str) -> str:
    """Say once what is waited for."""
    others = shown(others_of(settings))
    told = f"waits for a primary among {others}"
    if found:
        told = f"{shown([it.place for it in found])} has lost its primary: promote it (`sealstream db promote` there)"
    if told != before:
        log.warning("no_primary", told=told)
    return told


async def _put_aside(cluster: Path, programs: Path, primary: Standing, account: Account | None) -> None:
    """Here was the primary, and another was promoted since: what is here alone is kept, and not served."""
    system, timeline = await _read_control(cluster, programs, account)
    if system != primary.system:
        raise ConfigError(f"{primary.place} and {cluster} are different databases: one of both has no place in the dsn")
    if timeline >= primary.timeline:
        raise ConfigError(f"{primary.place} is a primary, and so is {cluster}: remove the one that is not wanted")
    aside = cluster.with_name(f"replaced-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    await asyncio.to_thread(cluster.rename, aside)
    log.warning("primary_was_replaced", by=str(primary.place), kept=str(aside))


async def _read_control(cluster: Path, programs: Path, account: Account | None) -> tuple[str, int]:
    """Which database a stopped server has, and on which timeline."""
    told = await run_program([programs / "pg_controldata", "-D", cluster], cluster.parent, account)
    system = re.search(r"Database system identifier: +(\d+)", told)
    timeline = re.search(r"Latest checkpoint's TimeLineID: +(\d+)", told)
    if system is None or timeline is None:
        raise UnavailableError(f"pg_controldata cannot read {cluster}")
    return system[1], int(timeline[1])


async def _copy(settings: Settings, programs: Path, primary: Address, account: Account | None) -> None:
    """Copy the primary's cluster beside its place, then move it there whole, as a standby."""
    home = settings.data.store("postgresql")
    fresh = home / "cluster.new"
    shutil.rmtree(fresh, ignore_errors=True)
    give(home, account)
    login = _conninfo(host=primary.host, port=primary.port, passfile=write_passfile(settings, account))
    log.info("copies_primary", primary=str(primary))
    options = ["-D", str(fresh), "-d", login, "--wal-method=stream", "--checkpoint=fast", "--no-password"]
    await run_program([programs / "pg_basebackup", *options], home, account)
    (fresh / SIGNAL).touch()
    give(home, account)
    fresh.rename(home / "cluster")


def following_options(settings: Settings) -> dict[str, str]:
    """Options of a server by which it follows whichever of the others is primary, for as long as it is a standby."""
    others = others_of(settings)
    login = _conninfo(
        host=",".join(it.host for it in others),
        port=",".join(str(it.port) for it in others),
        passfile=_passfile(settings),
        application_name=settings.node.id,
        target_session_attrs="read-write",
    )
    return {"primary_conninfo": login, **STANDBY_OPTIONS}


def write_passfile(settings: Settings, account: Account | None) -> Path:
    """The file from which a standby has the password of the replication role."""
    place = _passfile(settings)
    secret = read_secret(settings.postgresql.replication_password_file)
    escaped = secret.replace("\\", "\\\\").replace(":", "\\:")
    place.touch(0o600)
    place.write_text(f"*:*:*:{REPLICA}:{escaped}\n", "utf-8")
    give(place.parent, account)
    return place


def _passfile(settings: Settings) -> Path:
    return settings.data.store("postgresql") / "replication.pgpass"


def _conninfo(**fields: object) -> str:
    quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in fields.items()}
    return " ".join(f"{name}='{value}'" for name, value in {"user": REPLICA, "connect_timeout": 5, **quoted}.items())


async def run_program(command: Sequence[str | Path], place: Path, account: Account | None) -> str:
    """What one of PostgreSQL's programs says; raises `UnavailableError` with its last words."""
    running = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=place,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        **({} if account is None else account.arguments),
    )
    told, _ = await running.communicate()
    text = told.decode("utf-8", "replace")
    if running.returncode != 0:
        lines = text.strip().splitlines()
        raise UnavailableError(f"PostgreSQL's {Path(command[0]).name} fails in {place}: {' | '.join(lines[-3:])}")
    return text
