"""What Redis's Sentinels say: which server is primary, by which failover, and how many follow it.

Never believes the first answer where more can be had: a Sentinel that was away tells for a moment what was.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.cluster import Address, sentinels, shown
from infra.redis_client import client_options
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.settings import RedisSettings

SENTINEL_FAULTS = (RedisError, OSError, TimeoutError)
"""What asking a Sentinel raises while it is away, or knows no server of that name."""

_GONE = frozenset({"s_down", "o_down", "disconnected"})


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one Sentinel says. `epoch`: the number of the failover that made this one primary, 0 for none yet."""

    sentinel: Address
    primary: Address
    epoch: int
    others: int
    """Other Sentinels that it knows of."""
    is_down: bool
    fails_over: bool


async def ask_sentinel(redis: RedisSettings, sentinel: Address) -> Opinion:
    """What it says of the primary; raises one of `SENTINEL_FAULTS`."""
    row = _fields(await _ask(redis, sentinel, "MASTER"))
    flags = set(row["flags"].split(","))
    return Opinion(
        sentinel,
        Address(row["ip"], int(row["port"])),
        int(row["config-epoch"]),
        int(row["num-other-sentinels"]),
        is_down=bool(flags & _GONE),
        fails_over="failover_in_progress" in flags,
    )


async def ask_replicas(redis: RedisSettings, sentinel: Address) -> dict[Address, bool]:
    """Servers that it knows beside the primary, and whether each follows it now; raises one of `SENTINEL_FAULTS`."""
    rows = [_fields(row) for row in await _ask(redis, sentinel, "REPLICAS")]
    return {
        Address(row["ip"], int(row["port"])): not _GONE & set(row["flags"].split(","))
        and row["master-link-status"] == "ok"
        for row in rows
    }


async def ask_sentinels(redis: RedisSettings, enough: int = 0) -> list[Opinion]:
    """What they say, as soon as `enough` have, or all; less where fewer answer."""
    asking = [asyncio.create_task(ask_sentinel(redis, it)) for it in sentinels(redis)]
    heard: list[Opinion] = []
    try:
        for next_one in asyncio.as_completed(asking):
            with contextlib.suppress(*SENTINEL_FAULTS):
                heard.append(await next_one)
            if heard and len(heard) == enough:
                break
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return heard


async def find_primary(redis: RedisSettings) -> Address:
    """The server that takes writes now, as more than half of them say, or those that answer; by the latest failover.

    Raises `UnavailableError`.
    """
    latest = newest(await ask_sentinels(redis, len(sentinels(redis)) // 2 + 1))
    if latest is None:
        raise UnavailableError(f"no Sentinel of {shown(sentinels(redis))} tells who is primary")
    if latest.is_down:
        raise UnavailableError(f"Redis's primary {latest.primary} is down, and no other one is chosen yet")
    return latest.primary


def newest(heard: Sequence[Opinion]) -> Opinion | None:
    """The one that knows of the latest failover; of several, one by which the primary is there."""
    return max(heard, key=lambda it: (it.epoch, not it.is_down), default=None)


async def _ask(redis: RedisSettings, sentinel: Address, what: str) -> Any:
    """Its answer, as it comes: names and values in turn."""
    client: Any = Redis(host=sentinel.host, port=sentinel.port, **client_options(redis))
    async with client:
        return await client.execute_command("SENTINEL", what, redis.service)


def _fields(row: list[str]) -> dict[str, str]:
    return dict(zip(row[::2], row[1::2], strict=True))
