"""What all gateway processes mark and count together, in Redis: tickets that were used, secrets that were wrong, and
which process has an unlock.

Never keeps anybody waiting for Redis: while it is away nothing is known of others, and each process goes by what it
has seen itself. Never puts a secret or an address there, only hashes and the
names of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.presence.store import REDIS_FAULTS, open_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from infra.settings import RedisSettings

log = structlog.get_logger()

Answer = TypeVar("Answer")

PATIENCE_S = 0.5
"""Longest wait for an answer."""

AGAIN_S = 5.0
"""After a mishap nobody asks for so long."""


class Marks:
    """One of them for the process; without settings it knows of no other process. Connects when it is first asked."""

    def __init__(self, settings: RedisSettings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._redis: Redis | None = None
        self._away_until = 0.0

    async def take(self, what: str, life_ms: int) -> bool:
        """Whether nobody took it before, as far as is known; it is taken then, for so long."""
        return await self._ask(lambda redis: self._take(redis, what, life_ms), unknown=True)

    async def count(self, what: str) -> int:
        """How often it was added to; 0 while nobody can tell."""
        return await self._ask(lambda redis: self._count(redis, what), unknown=0)

    async def add(self, what: str, window_s: float) -> None:
        """Count one more; the count is forgotten `window_s` after its first."""
        await self._ask(lambda redis: self._add(redis, what, window_s), unknown=None)

    async def note(self, what: str, where: str, life_ms: int) -> None:
        """Let others know for so long at which process it is."""
        await self._ask(lambda redis: redis.set(self._key(what), where, px=life_ms), unknown=None)

    async def noted(self, what: str) -> str:
        """At which process it is; empty where nobody said so, or nobody can tell."""
        return str(await self._ask(lambda redis: redis.get(self._key(what)), unknown=None) or "")

    async def close(self) -> None:
        """End the connections."""
        if self._redis is not None:
            with contextlib.suppress(*REDIS_FAULTS):
                await self._redis.aclose()
            self._redis = None

    async def _ask(self, question: Callable[[Redis], Awaitable[Answer]], unknown: Answer) -> Answer:
        if self._settings is None or self._clock() < self._away_until:
            return unknown
        if self._redis is None:
            self._redis = open_redis(self._settings)
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await question(self._redis)
        except REDIS_FAULTS as error:
            self._away_until = self._clock() + AGAIN_S
            log.warning("marks_away", reason=type(error).__name__)
            return unknown
        return answer

    async def _take(self, redis: Redis, what: str, life_ms: int) -> bool:
        return bool(await redis.set(self._key(what), 1, nx=True, px=max(1, life_ms)))

    async def _count(self, redis: Redis, what: str) -> int:
        text = await redis.get(self._key(what))
        return int(text) if isinstance(text, str) and text.isdecimal() else 0

    async def _add(self, redis: Redis, what: str, window_s: float) -> None:
        key, window_ms = self._key(what), int(window_s * 1000)
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.set(key, 0, nx=True, px=window_ms)
            pipeline.incr(key)
            begun, count = await pipeline.execute()
        if not begun and count == 1:  # it was forgotten between the two
            await redis.pexpire(key, window_ms)

    def _key(self, what: str) -> str:
        assert self._settings
        return f"{self._settings.prefix}mark:{hashlib.sha256(what.encode()).hexdigest()}"
