"""How many servers of each store that several nodes keep are there and do their part, and how many are away.

Never counts what nobody can tell, nor a store that is one server alone: its clients tell of that.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from infra.cluster import Address, databases, sentinels
from infra.failover import etcd_health, may_ask
from infra.postgresql import ask_server
from infra.sentinels import SENTINEL_FAULTS, ask_replicas, ask_sentinels, newest
from infra.settings import postgresql_dsn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.settings import Settings

_SERVES = "SELECT NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_wal_receiver)"
"""A standby that answers and follows nobody could not take the primary's place."""


@dataclass(frozen=True, slots=True)
class Count:
    """Servers of one store."""

    there: int
    away: int


def are_several(settings: Settings) -> bool:
    """Whether there is anything to count on this node."""
    return bool(settings.redis.sentinels) or may_ask(settings) or len(databases(settings)) > 1


async def count_redis(settings: Settings) -> Mapping[str, Count]:
    """Sentinels that answer; servers that they know, as the one of the latest failover sees them. Raises `ConfigError`.

    `redis` is left out where no Sentinel tells.
    """
    named = sentinels(settings.redis)
    if not named:
        return {}
    heard = await ask_sentinels(settings.redis)
    counts = {"sentinel": Count(len(heard), len(named) - len(heard))}
    if latest := newest(heard):
        with contextlib.suppress(*SENTINEL_FAULTS):
            followers = await ask_replicas(settings.redis, latest.sentinel)
            counts["redis"] = _count([not latest.is_down, *followers.values()])
    return counts


async def count_etcd(settings: Settings) -> Mapping[str, Count]:
    """Members that serve, which they do as part of a majority alone. Raises `ConfigError`."""
    return {"etcd": _count((await etcd_health(settings)).values())} if may_ask(settings) else {}


async def count_postgresql(settings: Settings) -> Mapping[str, Count]:
    """Servers of the address that are a primary, or follow one. Raises `ConfigError`."""
    places = databases(settings)
    if len(places) == 1:
        return {}
    dsn = postgresql_dsn(settings)
    return {"postgresql": _count(await asyncio.gather(*(_serves(dsn, place) for place in places)))}


COUNTED = (count_redis, count_etcd, count_postgresql)
"""By store: `sentinel` and `redis`, `etcd`, `postgresql`; nothing of those that are no several."""


async def _serves(dsn: str, place: Address) -> bool:
    try:
        row = await ask_server(dsn, place, _SERVES)
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return row is not None and bool(row[0])


def _count(facts: Iterable[bool]) -> Count:
    each = list(facts)
    return Count(sum(each), len(each) - sum(each))
