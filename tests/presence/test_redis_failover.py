"""Redis on three nodes: the primary dies or hangs, another is promoted, and gateways go on as they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.live.bus import Bus
from gateway.marks import Marks
from gateway.presence.store import REDIS_FAULTS, Keys, open_redis
from infra.doctor.sentinels import check_sentinels
from infra.doctor.stores import check_redis
from infra.servers import Count, count_redis
from infra.settings import RedisSettings
from infra.stack.redis_primary import read_sentinel_file
from schemas.errors import UnavailableError
from tests.live.redis_nodes import RedisNode, open_redis_nodes, primary_of, settled
from tests.live.store_node import SETTLED_S, store_root, tell, until  # noqa: F401  # a fixture
from tests.presence.fleet import Fleet, open_fleet
from tests.presence.test_presence import greet

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(name="nodes")
async def redis_nodes(root: Path) -> AsyncIterator[list[RedisNode]]:
    async with open_redis_nodes(root) as opened:
        yield opened


@pytest.fixture
async def fleet(ground: Path, nodes: list[RedisNode]) -> AsyncIterator[Fleet]:
    """Two gateways and a front, which know the Sentinels."""
    await settled(nodes)
    async with open_fleet(ground, nodes[0].settings.redis) as opened:
        yield opened


@dataclass
class Witness:
    """What processes share by Redis, tried all the time: a write, marks of two, and messages from one to another."""

    settings: RedisSettings
    heard: list[bytes] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.client = open_redis(self.settings)
        self.marks = [Marks(self.settings), Marks(self.settings)]
        self.here, self.there = Bus(self.settings, "a", lambda _: None), Bus(self.settings, "b", self.heard.append)
        self.tasks = [asyncio.create_task(bus.run()) for bus in (self.here, self.there)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for marks in self.marks:
            await marks.close()
        await self.client.aclose()

    async def writes(self) -> bool:
        with contextlib.suppress(*REDIS_FAULTS):
            return bool(await self.client.set("written", 1))
        return False

    async def marked(self, what: str) -> bool:
        """Whether what one process notes, the other knows."""
        await self.marks[0].note(what, "here", 60_000)
        return await self.marks[1].noted(what) == "here"

    async def told(self, message: bytes) -> bool:
        """Whether a message has come through."""
        with contextlib.suppress(UnavailableError):
            await self.here.publish("b", message)
        return message in self.heard


async def all_again(witness: Witness, fleet: Fleet, agent_id: str, name: str) -> None:
    """A write, then a message, then where an agent is: each is so again. The figures of docs/ha.md."""
    view, gateway, began = fleet.front.presence.view, fleet.nodes[0].name, time.monotonic()
    while not await witness.writes():
        assert time.monotonic() - began < SETTLED_S
        await asyncio.sleep(0.05)
    tell(f"{name}_written", began)
    await until("a message comes", lambda: witness.told(name.encode()))
    tell(f"{name}_heard", began)

    async def found() -> bool:
        place = await view.find(agent_id)
        heard = all(one.heard for one in view.gateways().values())
        return not view.away and heard and place is not None and place.gateway == gateway

    await until("the agent is found", found)
    await until("it stands in Redis", lambda: stands(witness, gateway))
    tell(f"{name}_agents_told", began)


async def stands(witness: Witness, gateway: str) -> bool:
    with contextlib.suppress(*REDIS_FAULTS):
        return bool(await witness.client.hlen(Keys(witness.settings.prefix).agents(gateway)) == 1)
    return False


async def test_another_redis_is_promoted_and_gateways_find_it(nodes: list[RedisNode], fleet: Fleet) -> None:
    """Killed: the next one; the old one comes back as its replica. Held up: the next; it, too, follows afterwards."""
    first = nodes[0]
    assert (await first.role())[0] == "master", "the one of redis.url"
    (agent,) = await greet(fleet, fleet.nodes[0])
    agent_id: Any = agent.agent_id  # type: ignore[attr-defined]
    async with Witness(first.settings.redis) as witness:
        await all_again(witness, fleet, agent_id, "at_first")
        assert await witness.marked("at_first")
        identity = [line for line in read_sentinel_file(first.settings).splitlines() if "myid" in line]
        await first.kill()
        await all_again(witness, fleet, agent_id, "after_kill")
        await until("marks are shared", lambda: witness.marked("after_kill"))
        second = await primary_of(nodes)
        assert second is not first
        with pytest.raises(UnavailableError, match="the 2 others can still promote"):
            await check_sentinels(first.settings)
        assert await count_redis(first.settings) == {"sentinel": Count(2, 1), "redis": Count(2, 1)}
        assert second.place in await check_redis(first.settings)

        began = time.monotonic()
        await first.start()
        assert (await first.role())[0] == "slave", "it is no second primary for a moment"
        await until("the old primary follows", lambda: follows_primary(first, nodes))
        tell("old_primary_follows", began)
        assert "is primary by 3 Sentinels" in await settled(nodes)
        assert await count_redis(first.settings) == {"sentinel": Count(3, 0), "redis": Count(3, 0)}
        assert set(identity) <= set(read_sentinel_file(first.settings).splitlines()), "its Sentinel is who it was"
        await until("messages go on", lambda: witness.told(b"undisturbed"))

        second = await primary_of(nodes)
        second.hold_up()
        await all_again(witness, fleet, agent_id, "after_hang")
        assert await primary_of(nodes) is not second
        second.go_on()
        await until("the one that hung follows", lambda: follows_primary(second, nodes))


async def follows_primary(node: RedisNode, nodes: list[RedisNode]) -> bool:
    with contextlib.suppress(UnavailableError):
        return await node.follows(await primary_of(nodes))
    return False
