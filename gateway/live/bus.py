"""One process's connections to Redis for live views: its own channel, and publishing on those of other gateways.

Never waits for Redis for long, and never keeps a message: what cannot be published now is its sender's to drop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from gateway.presence.store import open_redis
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from infra.settings import RedisSettings

log = structlog.get_logger()

FAULTS = (RedisError, OSError, TimeoutError)
"""What the client raises while Redis is away."""

PUBLISHING = 4
"""Messages that are being published at once."""

AGAIN_S = 1.0
PING_S = 5.0
"""A channel that was silent for so long is asked; one that does not answer for as long again is given up."""


class Bus:
    """`take` gets each message on the channel of the gateway `own`; it must not wait. `run` keeps it going."""

    def __init__(self, settings: RedisSettings, own: str, take: Callable[[bytes], None]) -> None:
        self.up = False
        """Whether messages come and go now."""
        self._settings = settings
        self._own = own
        self._take = take
        self._redis: Redis | None = None
        self._slots = asyncio.Semaphore(PUBLISHING)

    def channel(self, gateway: str) -> str:
        """The channel on which that gateway listens."""
        return f"{self._settings.prefix}live:{gateway}"

    async def publish(self, gateway: str, message: bytes) -> bool:
        """Whether that gateway gets it, or nobody listens there; raises `UnavailableError` while Redis is away."""
        if self._redis is None or not self.up:
            raise UnavailableError("Redis does not answer")
        try:
            async with self._slots:
                return bool(await self._redis.publish(self.channel(gateway), message))
        except FAULTS as error:
            raise UnavailableError("Redis does not answer") from error

    async def run(self) -> None:
        """Listen until cancelled, and again after each mishap."""
        self._redis = open_redis(self._settings, connections=PUBLISHING + 2, decode=False)
        try:
            while True:
                try:
                    await self._listen(self._redis)
                except FAULTS as error:
                    if self.up:
                        log.warning("live_relay_away", reason=type(error).__name__)
                self.up = False
                await self._redis.connection_pool.disconnect()
                await asyncio.sleep(AGAIN_S)
        finally:
            self.up = False
            with contextlib.suppress(*FAULTS):
                await self._redis.aclose()

    async def _listen(self, redis: Redis) -> None:
        """Take what comes; raises one of `FAULTS`, in the end."""
        async with redis.pubsub(ignore_subscribe_messages=False) as pubsub:
            await pubsub.subscribe(self.channel(self._own))
            asked = False
            while True:
                message = await pubsub.get_message(timeout=PING_S)
                if message is None:
                    if asked:
                        raise TimeoutError
                    asked = True
                    await pubsub.ping()
                    continue
                asked = False
                if message["type"] == "subscribe":
                    self.up = True
                    log.info("live_relay_there")
                elif message["type"] == "message":
                    self._take(message["data"])
