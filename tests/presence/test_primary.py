"""A client that finds Redis by its Sentinels, against a real server and Sentinels that say what they are told to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.live.bus import Bus
from gateway.presence.store import open_redis
from schemas.errors import UnavailableError
from tests.infra.test_sentinels import sentinels_that_say
from tests.journey import until
from tests.redis_server import RedisServer


async def test_a_server_that_follows_another_is_not_used(redis: RedisServer) -> None:
    """Not to write and not to listen, whatever a Sentinel says; as soon as it is the primary, both."""
    server: Any = Redis.from_url(redis.settings.url)
    await server.replicaof("127.0.0.1", 1)
    here: dict[str, Any] = {"ip": "127.0.0.1", "port": redis.port}
    heard: list[bytes] = []
    async with sentinels_that_say(here, here, here) as settings:
        client, bus = open_redis(settings), Bus(settings, "a", heard.append)
        listening = asyncio.create_task(bus.run())
        with pytest.raises(RedisConnectionError, match="follows another server"):
            await client.get("x")
        with pytest.raises(UnavailableError):
            await bus.publish("a", b"early")
        await server.replicaof("NO", "ONE")
        assert await client.set("x", "y")
        assert await client.get("x") == "y"
        await until(lambda: bus.up)
        assert await bus.publish("a", b"heard")
        await until(lambda: heard == [b"heard"])
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await client.aclose()
    await server.aclose()


async def test_the_address_says_which_database_where_sentinels_say_which_server(redis: RedisServer) -> None:
    """What is written stands there, and in no other."""
    here: dict[str, Any] = {"ip": "127.0.0.1", "port": redis.port}
    async with sentinels_that_say(here, None, here) as settings:
        client = open_redis(settings.model_copy(update={"url": "redis://127.0.0.1:1/3"}))
        await client.set("x", "y")
        await client.aclose()
    for number, stands in ((3, b"y"), (0, None)):
        direct: Any = Redis(port=redis.port, db=number)
        assert await direct.get("x") == stands
        await direct.aclose()
