"""Gateways tell of themselves in a real Redis, others read it, and both go on while it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from gateway.presence.announce import Announcer
from gateway.presence.store import Keys, open_redis
from infra.nodes.wishes import Wanted
from tests.gateway.endpoint import Credentials, Endpoint
from tests.journey import until
from tests.presence.fleet import Fleet, Node, open_fleet
from tests.redis_server import RedisServer


@pytest.fixture
async def fleet(ground: Path, redis: RedisServer) -> AsyncIterator[Fleet]:
    """Two gateways and a front."""
    async with open_fleet(ground, redis.settings) as opened:
        yield opened


async def greet(fleet: Fleet, node: Node, count: int = 1) -> list[Endpoint]:
    """Agents that connect to a node."""
    found = []
    for _ in range(count):
        credentials = Credentials.make(fleet.directory, fleet.directory / "pki" / "ca.pem")
        endpoint = await Endpoint.connect(credentials, node.settings.gateway.agent_port)
        endpoint.send(credentials.hello(detail={"live": "screen"}))
        await endpoint.receive()
        endpoint.agent_id = str(credentials.agent_id)  # type: ignore[attr-defined]
        found.append(endpoint)
    return found


async def test_everybody_knows_every_gateway_and_every_agent(fleet: Fleet) -> None:
    """Address, load and agents, from the front and from the other gateway; gone when they go."""
    first, second = fleet.nodes
    (one,) = await greet(fleet, first)
    agent_id: str = one.agent_id  # type: ignore[attr-defined]
    for view in (fleet.front.presence.view, second.presence.view, first.presence.view):
        await until(lambda view=view: view.gateways()[first.name].agents == 1)
        report = view.gateways()[first.name]
        assert report.agent_address == f"127.0.0.1:{first.settings.gateway.agent_port}"
        assert report.live_address == f"127.0.0.1:{first.settings.live_port}"
        assert (report.greeted, report.capacity, report.refusal) == (1, first.settings.gateway.max_connections, "")
        place = await view.find(agent_id)
        assert place
        assert (place.gateway, place.user, place.computer, place.live) == (first.name, "ana", "desk-7", {"screen"})
        assert [one.agent_id for one in await view.agents()] == [agent_id]
    assert await fleet.front.presence.view.find(str(uuid4())) is None
    one.writer.close()
    await until(lambda: fleet.front.presence.view.gateways()[first.name].agents == 0)
    assert await fleet.front.presence.view.find(agent_id) is None


async def test_a_gateway_that_ends_is_known_to_be_gone(fleet: Fleet) -> None:
    """Nobody is sent there for the seconds until what it told expires."""
    first, _ = fleet.nodes
    await first.close()
    redis = open_redis(fleet.redis)
    keys = Keys(fleet.redis.prefix)
    assert await redis.zrange(keys.gateways, 0, -1) == [fleet.nodes[1].name]
    assert not await redis.exists(keys.gateway(first.name), keys.agents(first.name))
    await redis.aclose()


async def test_everything_goes_on_without_redis_and_is_told_again_after(fleet: Fleet, redis: RedisServer) -> None:
    """Killed: the log tells where agents are, and they are assigned; back and empty: all of it stands there again."""
    first, second = fleet.nodes
    agents = [*await greet(fleet, first, 2), *await greet(fleet, second)]
    view = fleet.front.presence.view
    await until(lambda: view.gateways()[first.name].agents == 2)
    redis.stop()
    fleet.read_log()
    await until(lambda: view.away)
    assert fleet.front.metrics.gauge("gateway_presence_away")._value.get() == 1
    view._heard.clear()  # as after the seconds that it takes
    await view.refresh()
    gateways = view.gateways()
    assert {name: one.agents for name, one in gateways.items()} == {first.name: 2, second.name: 1}
    assert not any(one.heard for one in gateways.values())
    place = await view.find(agents[0].agent_id)  # type: ignore[attr-defined]
    assert place
    assert (place.gateway, place.live_address) == (first.name, gateways[first.name].live_address)
    assert len(await view.agents()) == 3
    assert fleet.front.presence.assigner.assign(agents[2].agent_id)[0].name == second.name  # type: ignore[attr-defined]
    agents += await greet(fleet, second)
    redis.start()
    await until(lambda: not view.away and all(one.heard for one in view.gateways().values()))
    await until(lambda: view.gateways()[second.name].agents == 2)
    client = open_redis(fleet.redis)
    assert await client.hlen(Keys(fleet.redis.prefix).agents(first.name)) == 2
    await client.aclose()


async def test_what_redis_lost_while_nobody_looked_is_written_again(fleet: Fleet) -> None:
    """Flushed between two beats, over a connection that never broke."""
    first, _ = fleet.nodes
    agents = await greet(fleet, first, 3)
    announcer = Announcer(first.settings, first.own)
    await announcer.tell()
    client = open_redis(fleet.redis)
    await client.flushdb()
    await announcer.tell()
    key = Keys(fleet.redis.prefix).agents(first.name)
    assert await client.hlen(key) == 3
    await client.hdel(key, *(await client.hkeys(key))[:1])
    await announcer.tell()
    assert await client.hlen(key) == len(agents)
    await client.aclose()


async def test_junk_in_redis_is_passed_over(fleet: Fleet) -> None:
    """What is not of this release tells nothing, and stops nothing."""
    client = open_redis(fleet.redis)
    keys = Keys(fleet.redis.prefix)
    await client.zadd(keys.gateways, {"app-9/gateway": 1e12})
    await client.set(keys.gateway("app-9/gateway"), '{"name": 7}')
    await client.hset(keys.agents(fleet.nodes[0].name), mapping={"x": "junk"})
    view = fleet.front.presence.view
    await view.refresh()
    assert set(view.gateways()) == {node.name for node in fleet.nodes}
    assert await view.agents() == []
    await client.aclose()


async def test_a_drained_gateway_takes_no_agents_and_takes_them_again(fleet: Fleet) -> None:
    """The others know at once; when all are drained, assignment says why."""
    first, second = fleet.nodes
    view = fleet.front.presence.view
    await first.wish(Wanted.DRAINED)
    await until(lambda: bool(view.gateways()[first.name].refusal))
    assert {fleet.front.presence.assigner.assign(str(uuid4()))[0].name for _ in range(20)} == {second.name}
    await second.wish(Wanted.DRAINED)
    await until(lambda: bool(view.gateways()[second.name].refusal))
    with pytest.raises(Exception, match="app-1/gateway: this gateway is drained; app-2"):
        fleet.front.presence.assigner.assign(str(uuid4()))
    await first.wish(Wanted.SERVING)
    await until(lambda: not view.gateways()[first.name].refusal)
    assert fleet.front.presence.assigner.assign(str(uuid4()))[0].name == first.name
