"""Several gateways of one installation in this process, each with its agent port and viewers' port, and their Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.live.relay import Relay
from tests.agent.patience import wait_until
from tests.gateway.live_stage import LiveStage, open_live_stage
from tests.gateway.redis_server import RedisServer

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Where:
    gateway: str


@dataclass
class Fleet:
    """Who has an agent is seen at once, unless `says` knows better."""

    redis: RedisServer
    stages: dict[str, LiveStage] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)

    async def find(self, agent_id: str) -> Where | None:
        name = self.says.get(agent_id) or next(
            (name for name, stage in self.stages.items() if stage.hub.find(agent_id)), ""
        )
        return Where(f"test/{name}") if name else None

    def __getitem__(self, name: str) -> LiveStage:
        return self.stages[name]

    def relay(self, name: str) -> Relay:
        relay = self.stages[name].hub.relay
        assert relay
        return relay

    def outlets(self, name: str) -> int:
        """For how many streams that gateway shows others what it has."""
        return len(self.relay(name)._outlets)

    async def all_there(self) -> None:
        """Return when every gateway hears the others."""
        await wait_until(lambda: all(self.relay(name).bus.up for name in self.stages))


@asynccontextmanager
async def open_fleet(pki: Path, directory: Path, **live: Any) -> AsyncIterator[Fleet]:
    """Gateways `a`, `b` and `c`."""
    redis = RedisServer(directory)
    redis.start()
    fleet = Fleet(redis)
    try:
        async with AsyncExitStack() as stack:
            for name in NAMES:
                fleet.stages[name] = await stack.enter_async_context(
                    open_live_stage(pki, directory, name=f"test/{name}", redis=redis.url, finder=fleet, **live)
                )
            await fleet.all_there()
            yield fleet
    finally:
        redis.stop()


@asynccontextmanager
async def listen_in(redis: RedisServer) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Everything that is published meanwhile, as a stranger sees it: channel and message."""
    heard: list[tuple[str, bytes]] = []
    client: Redis = Redis.from_url(redis.url, protocol=2)
    async with client, client.pubsub() as pubsub:
        await pubsub.psubscribe("*")
        await pubsub.get_message(timeout=5)

        async def keep() -> None:
            while True:
                message = await pubsub.get_message(timeout=None)
                if message and message["type"] == "pmessage":
                    heard.append((message["channel"].decode(), message["data"]))

        keeping = asyncio.create_task(keep())
        try:
            yield heard
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


async def publish(redis: RedisServer, channel: str, message: bytes) -> int:
    """As a stranger does it; how many got it."""
    client: Redis = Redis.from_url(redis.url, protocol=2)
    async with client:
        return int(await client.publish(channel, message))
