"""PostgreSQL's failover where Patroni decides it: etcd has its majority, one server leads, another can follow it up.

Never changes who leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.cluster import databases
from infra.failover import check_place, etcd_health, read_members, runs_patroni, uses_tls
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.settings import Settings

_WELL = ("running", "streaming")


def find_failover_faults(settings: Settings) -> Iterator[str]:
    """What the settings have wrong, each with what to do."""
    members, named = settings.postgresql.etcd, databases(settings)
    if not members:
        return
    for required in (uses_tls, *([check_place] if runs_patroni(settings) else [])):
        try:
            required(settings)
        except ConfigError as error:
            yield str(error)
    if len(members) == 1:
        yield f"postgresql.etcd names {members[0]} alone: with it away, nobody is promoted; name three"
    elif len(members) % 2 == 0:
        yield f"postgresql.etcd names {len(members)}: one less would be as safe; name three, or five"
    if len(named) == 1:
        yield f"postgresql.etcd is set, and postgresql.dsn names {named[0]} alone: nobody could take its place"


async def check_failover(settings: Settings) -> str:
    """What would happen if the primary died now; raises where nothing would."""
    health = await etcd_health(settings)
    serving = sum(health.values())
    told = f"{serving} of {len(health)} members of etcd serve"
    if serving * 2 <= len(health):
        raise UnavailableError(f"{told}, which is no majority: nobody is promoted until more of them are started")
    members = await read_members(settings)
    leader = next((it for it in members if it.leads), None)
    if leader is None:
        raise UnavailableError("no server has the lock by which it is primary: see Patroni's log of each")
    ready = [it.name for it in members if not it.leads and it.state in _WELL]
    if not ready:
        raise UnavailableError(f"{leader.name} is the primary, and no standby is there to take its place: start one")
    if serving < len(health):
        away = ", ".join(url for url, well in health.items() if not well)
        raise UnavailableError(f"etcd at {away} does not serve: one more away, and nobody is promoted")
    return f"{leader.name} is the primary, {', '.join(ready)} would take its place; {told}"
