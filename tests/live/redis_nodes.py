"""Three nodes with a Redis and a Sentinel each, as masters run them, which can be killed, held up and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from infra.cluster import own_redis, redis_password
from infra.doctor.sentinels import check_sentinels
from infra.sentinels import find_primary
from infra.settings import Settings
from infra.stack.account import Account
from infra.stack.ports import choose_port
from infra.stack.redis import redis_component
from infra.stack.sentinel import sentinel_component
from schemas.errors import ConfigError, UnavailableError
from tests.infra.test_redis_component import own_address
from tests.live.store_node import StoreNode, node_settings, until

COUNT = 3


@dataclass
class RedisNode:
    """One master, as far as Redis is concerned."""

    settings: Settings
    account: Account | None
    server: StoreNode = field(init=False)
    sentinel: StoreNode = field(init=False)

    def __post_init__(self) -> None:
        self.server = StoreNode(self.settings, redis_component(self.settings, self.account))
        self.sentinel = StoreNode(self.settings, sentinel_component(self.settings, self.account))

    async def start(self) -> None:
        await asyncio.gather(self.server.start(), self.sentinel.start())

    async def kill(self) -> None:
        """As a machine that loses its power."""
        await asyncio.gather(self.server.kill(), self.sentinel.kill())

    def hold_up(self) -> None:
        """Let both answer nothing, with their connections open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The mirror image."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for store in (self.server, self.sentinel):
            assert store._child
            os.kill(store._child.mark.pid, number)

    @property
    def place(self) -> str:
        return str(own_redis(self.settings))

    async def role(self) -> list[Any]:
        """What the server says that it is: `master`, or `slave` with its primary's host and port."""
        at, redis = own_redis(self.settings), self.settings.redis
        client: Any = Redis(host=at.host, port=at.port, password=redis_password(redis) or None, decode_responses=True)
        async with client:
            told: list[Any] = await client.role()
        return told

    async def follows(self, other: RedisNode) -> bool:
        told = await self.role()
        return told[0] == "slave" and f"{told[1]}:{told[2]}" == other.place and told[3] == "connected"


async def settled(nodes: list[RedisNode]) -> str:
    """What the doctor says, once all is well."""

    async def well() -> str:
        with contextlib.suppress(ConfigError, UnavailableError):
            told = await check_sentinels(nodes[0].settings)
            return told if all(node.place in told for node in nodes) else ""
        return ""

    return str(await until("all servers follow one", well))


async def primary_of(nodes: list[RedisNode]) -> RedisNode:
    """Whom the Sentinels name; raises `UnavailableError`."""
    place = await find_primary(nodes[0].settings.redis)
    return next(node for node in nodes if node.place == str(place))


@asynccontextmanager
async def open_redis_nodes(root: Path, account: Account | None = None) -> AsyncIterator[list[RedisNode]]:
    """All of them at one address of this machine, each at ports of its own; the first is named by `redis.url`."""
    address = own_address()
    (root / "pki").mkdir()
    (root / "redis.password").write_text("a-password\n")
    ports: list[int] = []
    while len(ports) < 2 * COUNT:
        ports.append(choose_port("redis", ports))
    servers, watching = ([f"{address}:{port}" for port in part] for part in (ports[:COUNT], ports[COUNT:]))
    common = {
        "url": f"redis://{servers[0]}/0",
        "sentinels": watching,
        "password_file": root / "redis.password",
        "prefix": "test:",
    }
    nodes = [
        RedisNode(node_settings(root, number, redis={**common, "listen": server, "sentinel_listen": sentinel}), account)
        for number, (server, sentinel) in enumerate(zip(servers, watching, strict=True), 1)
    ]
    try:
        await asyncio.gather(*(node.server.start() for node in nodes))
        for node in nodes[1:]:
            await until("it follows the first", partial(node.follows, nodes[0]))
        await asyncio.gather(*(node.sentinel.start() for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            await node.kill()
