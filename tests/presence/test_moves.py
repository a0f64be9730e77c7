"""Agents move between gateways and lose nothing: by a wish, by balance, and when a gateway dies."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.presence import balance, choose
from infra.nodes.wishes import Wanted
from schemas.envelope import peek
from schemas.identity import EnvelopeId
from tests.journey import Endpoint, until
from tests.presence.fleet import Fleet, Node, open_fleet
from tests.redis_server import RedisServer
from tests.test_journey import record_mail

AGENTS = 6


class Staff:
    """Agents that record letters all the time."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        self.letters = 0

    async def write(self, each: int) -> None:
        numbers = range(self.letters, self.letters + each)
        self.letters += each
        await asyncio.gather(*(record_mail(endpoint, numbers) for endpoint in self.endpoints))

    async def acknowledged(self) -> None:
        await asyncio.gather(*(endpoint.recorder.flush() for endpoint in self.endpoints))
        await asyncio.gather(*(endpoint.acknowledged() for endpoint in self.endpoints))


@asynccontextmanager
async def hire(fleet: Fleet, directory: Path, count: int = AGENTS) -> AsyncIterator[Staff]:
    """Agents that enrolled at the front, and are assigned by it."""
    async with AsyncExitStack() as stack:
        endpoints = []
        for number in range(count):
            identity, policy = await Endpoint.enrol(directory / str(number), fleet.front.settings)
            endpoint = await Endpoint.start(directory / str(number), identity, policy)
            stack.push_async_callback(endpoint.close)
            endpoint.connect()
            endpoints.append(endpoint)
        await until(lambda: all(one.uplink.status.state == "connected" for one in endpoints))
        yield Staff(endpoints)


def stored(*nodes: Node) -> Counter[EnvelopeId]:
    """Letters in Kafka, by identity, and how often each is there."""
    return Counter(
        peek(record.value).id
        for node in nodes
        for record in node.publisher.records
        if record.topic == "envelopes.email"
    )


async def test_a_drained_gateways_agents_go_to_others_and_lose_nothing(
    ground: Path, tmp_path: Path, redis: RedisServer
) -> None:
    """Drained under load: all agents go to the other gateway and stay there; every letter is stored exactly once."""
    async with open_fleet(ground, redis.settings) as fleet, hire(fleet, tmp_path / "agents") as staff:
        first, second = fleet.nodes
        assert (first.port.agents, second.port.agents) == (AGENTS // 2, AGENTS // 2)
        await staff.write(40)
        writing = asyncio.create_task(staff.write(200))
        await first.wish(Wanted.DRAINED)
        await until(lambda: (first.port.agents, second.port.agents) == (0, AGENTS))
        await writing
        await staff.acknowledged()
        await first.wish(Wanted.SERVING)
        await staff.write(20)
        await staff.acknowledged()
        assert second.port.agents == AGENTS
        letters = stored(first, second)
        assert len(letters) > 10
        assert set(letters.values()) == {1}


async def test_agents_of_a_dead_gateway_go_on_at_another(ground: Path, tmp_path: Path, redis: RedisServer) -> None:
    """Killed without a word: its agents find another by themselves, and everything acknowledged stays stored."""
    async with open_fleet(ground, redis.settings) as fleet, hire(fleet, tmp_path / "agents") as staff:
        first, second = fleet.nodes
        await staff.write(40)
        await staff.acknowledged()
        before = set(stored(first, second))
        await first.die()
        assert first.name in fleet.front.presence.view.gateways()  # nobody knows yet
        await staff.write(40)
        await staff.acknowledged()
        assert second.port.agents == AGENTS
        assert before < set(stored(first, second))


@pytest.mark.slow
async def test_a_gateway_that_joins_gets_agents_and_nothing_is_lost(
    ground: Path, tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few at a time while they record, until nobody has far more than its share; each letter is stored once."""
    monkeypatch.setattr(choose, "SLACK", 0)
    monkeypatch.setattr(choose, "BATCH_LEAST", 1)
    monkeypatch.setattr(balance, "BALANCE_S", 1e6)
    async with open_fleet(ground, redis.settings, 1) as fleet, hire(fleet, tmp_path / "agents") as staff:
        (old,) = fleet.nodes
        assert old.port.agents == AGENTS
        new = await fleet.add()
        await until(lambda: new.name in old.presence.view.gateways())
        balancer = old.presence._balancer
        assert balancer
        balancer._chance = random.Random(3)
        writing = asyncio.create_task(staff.write(300))
        moved = 0
        while count := balancer.balance():
            moved += count
            await until(lambda moved=moved: new.port.agents == moved)
            await until(lambda: old.presence.view.gateways()[new.name].agents == new.port.agents)
        await writing
        await staff.acknowledged()
        assert (old.port.agents, new.port.agents) == (AGENTS // 2, AGENTS // 2)
        letters = stored(old, new)
        assert len(letters) > 10
        assert set(letters.values()) == {1}
