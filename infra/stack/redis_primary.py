"""Whom a Redis or a Sentinel that starts takes for the primary.

Never makes a server that comes back a second primary: what the Sentinels say goes before what it was.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from infra.cluster import Address, redis_at
from infra.render import sentinel as rendered
from infra.settings import Settings

log = structlog.get_logger()

NAME = "redis-sentinel"

SETTLED_S = 15.0
"""A failover that is under way is waited for so long."""

_ASK_AGAIN_S = 0.5


def sentinel_file(settings: Settings) -> Path:
    """Where this node's Sentinel keeps what it knows."""
    return settings.data.store(NAME) / "sentinel.conf"


def read_sentinel_file(settings: Settings) -> str:
    """What is there; empty before its first start."""
    path = sentinel_file(settings)
    return path.read_text("utf-8", "replace") if path.exists() else ""


async def choose_primary(settings: Settings) -> Address:
    """As the Sentinels say; where none answers, as this node's one knew last; before its first start, `redis.url`."""
    from infra.sentinels import ask_sentinels, newest

    redis, loop = settings.redis, asyncio.get_running_loop()
    deadline = loop.time() + SETTLED_S
    heard = await ask_sentinels(redis)
    while any(it.fails_over for it in heard) and loop.time() < deadline:
        log.info("waits_for_failover", primary=str(heard[0].primary))
        await asyncio.sleep(_ASK_AGAIN_S)
        heard = await ask_sentinels(redis)
    if latest := newest(heard):
        return latest.primary
    return rendered.remembered(redis, read_sentinel_file(settings)) or redis_at(redis)
