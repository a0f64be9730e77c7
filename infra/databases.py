"""The PostgreSQL servers of the settings: which is primary, how far the others follow, and promoting one of them.

Never promotes beside a primary that serves, unless it is told to; and never by itself where Patroni decides.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg

from infra.cluster import databases, dsn_at, own_database
from infra.failover import Member, etcd_health, is_automatic, make_primary, may_ask, read_members, runs_patroni
from infra.settings import Settings, postgresql_dsn
from infra.stack.standby import Standing, others_of, read_standing
from schemas.errors import ConfigError, SealstreamError, UnavailableError

PROMOTED_WITHIN_S = 60

_TIMEOUT_S = 5.0
_LOOK_S = 0.5
_FOLLOWERS = """
SELECT application_name AS name, coalesce(client_addr::text, '') AS address, state,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint AS behind_bytes
FROM pg_stat_replication ORDER BY application_name"""
_REPLAYED = "SELECT coalesce((extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000)::bigint, 0)"


@dataclass(frozen=True, slots=True)
class Server:
    """One server: `role` is primary, standby or away; `behind_bytes` of a standby as its primary sees it."""

    address: str
    role: str
    timeline: int
    here: bool


@dataclass(frozen=True, slots=True)
class Follower:
    """One that follows a primary now, by the primary's word."""

    name: str
    address: str
    state: str
    behind_bytes: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """What was done. `last_ms`: when the newest transaction that the server has was committed, 0 where none was."""

    address: str
    timeline: int
    last_ms: int


async def list_servers(settings: Settings) -> tuple[list[Server], list[Follower]]:
    """Every server of the address, and this node's; and who follows the primary, where there is one."""
    places = list(dict.fromkeys([*databases(settings), own_database(settings)]))
    servers, followers = [], []
    for place in places:
        standing = await read_standing(settings, place)
        role = "away" if standing is None else "standby" if standing.follows else "primary"
        timeline = standing.timeline if standing else 0
        servers.append(Server(str(place), role, timeline, here=place == own_database(settings)))
        if role == "primary":
            followers += await _read_followers(settings, standing)
    return servers, followers


@dataclass(frozen=True, slots=True)
class Decision:
    """By whom a standby is promoted: `by` is a person or Patroni; then its members and its etcd, and what is wrong."""

    by: str
    members: list[Member]
    etcd: dict[str, bool]
    faults: list[str]


async def read_decision(settings: Settings) -> Decision:
    """By whom a standby would be promoted now."""
    if not may_ask(settings):
        return Decision("Patroni" if is_automatic(settings) else "a person", [], {}, [])
    etcd: dict[str, bool] = {}
    members: list[Member] = []
    faults: list[str] = []
    try:
        etcd = await etcd_health(settings)
        members = await read_members(settings)
    except SealstreamError as error:
        faults.append(str(error))
    if away := [url for url, healthy in etcd.items() if not healthy]:
        faults.append(f"etcd at {', '.join(away)} does not serve")
    if members and not any(it.leads for it in members):
        faults.append("no server has the lock by which it is primary")
    return Decision("Patroni", members, etcd, faults)


async def promote(settings: Settings, *, force: bool = False) -> Promotion:
    """Make this node's standby the primary, at once, or have Patroni do it.

    Raises `ConfigError` where that is wrong, and `UnavailableError`.
    """
    if is_automatic(settings):
        return await _promote_by_patroni(settings, force=force)
    own = own_database(settings)
    standing = await read_standing(settings, own)
    if standing is None:
        raise UnavailableError(f"PostgreSQL at {own} does not answer: start it, as a standby")
    if not standing.follows:
        raise ConfigError(f"{own} is a primary already")
    for place in others_of(settings):
        other = await read_standing(settings, place)
        if other is not None and not other.follows and not force:
            raise ConfigError(f"{place} serves as primary: stop it first, two primaries would part for ever")
    try:
        connection = await asyncpg.connect(dsn_at(postgresql_dsn(settings), own, "postgres"), timeout=_TIMEOUT_S)
        try:
            last_ms = await connection.fetchval(_REPLAYED)
            done = await connection.fetchval("SELECT pg_promote(true, $1)", PROMOTED_WITHIN_S)
        finally:
            connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"PostgreSQL at {own} is not promoted: {type(error).__name__}: {error}") from error
    after = await read_standing(settings, own)
    if not done or after is None or after.follows:
        raise UnavailableError(f"PostgreSQL at {own} is not promoted within {PROMOTED_WITHIN_S} s: see its log")
    return Promotion(str(own), after.timeline, last_ms)


async def _promote_by_patroni(settings: Settings, *, force: bool) -> Promotion:
    if not runs_patroni(settings):
        raise ConfigError(
            "this node's PostgreSQL is not promoted, Patroni decides: ask for it on a node with the role db"
        )
    await make_primary(settings, settings.node.id, force=force)
    own = own_database(settings)
    deadline = asyncio.get_running_loop().time() + PROMOTED_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        standing = await read_standing(settings, own)
        if standing is not None and not standing.follows:
            return Promotion(str(own), standing.timeline, 0)
        await asyncio.sleep(_LOOK_S)
    raise UnavailableError(f"Patroni made {own} the primary, which is none within {PROMOTED_WITHIN_S} s: see its log")


async def _read_followers(settings: Settings, primary: Standing | None) -> list[Follower]:
    assert primary is not None
    try:
        dsn = dsn_at(postgresql_dsn(settings), primary.place, "postgres")
        connection = await asyncpg.connect(dsn, timeout=_TIMEOUT_S)
        try:
            return [Follower(**row) for row in await connection.fetch(_FOLLOWERS, timeout=_TIMEOUT_S)]
        finally:
            connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []
