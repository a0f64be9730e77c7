"""The console's live page over several gateways: whom it lists, where its websockets are, what it may reach."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import httpx2 as httpx
import uvloop
from starlette.requests import Request

from gateway.api.access import PERMISSIONS, Principal, Role
from gateway.api.pages import _sources
from gateway.live.desk import LiveDesk
from gateway.policy import Told
from tests.journey import until
from tests.presence.fleet import make_ground, open_fleet
from tests.presence.test_presence import greet
from tests.redis_server import RedisServer

POLICY = {"version": 1, "streams": ["screen"], "live": ["screen"]}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop, so its tests do."""
    return {"uvloop": uvloop.new_event_loop}


async def test_a_front_shows_agents_of_every_gateway(tmp_path: Path, redis: RedisServer) -> None:
    """A master without agents lists them with their gateways, and its tickets name the websocket of the right one."""
    make_ground(tmp_path)
    account = uuid4()

    async def identify(_request: Request) -> Principal:
        return Principal(account, "otto", Role.OFFICER, PERMISSIONS[Role.OFFICER], persons=None)

    async with open_fleet(tmp_path, redis.settings) as fleet:
        front = fleet.front
        services = front.https.services
        assert services
        services.presence, services.identify = front.presence.view, identify
        LiveDesk(front.settings, lambda: Told(POLICY, []), services.facts, front.metrics).join(services)
        agents = [(await greet(fleet, node))[0] for node in fleet.nodes]
        await until(lambda: [one.agents for one in front.presence.view.gateways().values()] == [1, 1])
        trust = ssl.create_default_context(cafile=tmp_path / "pki" / "ca.pem")
        base = f"https://127.0.0.1:{front.settings.gateway.https_port}"
        async with httpx.AsyncClient(base_url=base, verify=trust, timeout=60) as client:
            answer = await client.get("/api/v1/live")
            listed = {one["agent"]: one for one in answer.json()["agents"]}
            assert {name: one["server"] for name, one in listed.items()} == {
                agent.agent_id: node.name  # type: ignore[attr-defined]
                for agent, node in zip(agents, fleet.nodes, strict=True)
            }
            assert all(one["screen"] and not one["audio"] for one in listed.values())
            reachable = answer.headers["content-security-policy"]
            for agent, node in zip(agents, fleet.nodes, strict=True):
                place = f"wss://127.0.0.1:{node.settings.live_port}"
                assert f"{place} " in reachable.replace(";", " ")
                wish = {"agent": agent.agent_id, "what": "screen", "purpose": "a test"}  # type: ignore[attr-defined]
                given = await client.post("/api/v1/live", json=wish)
                assert given.status_code == 200, given.text
                assert given.json()["url"] == f"{place}/live"
                ticket = services.live.tickets.verify(given.json()["ticket"])  # type: ignore[union-attr]
                assert (ticket.gateway, UUID(ticket.account_id)) == (node.name, account)
            stranger = {"agent": str(uuid4()), "what": "screen", "purpose": "a test"}
            assert (await client.post("/api/v1/live", json=stranger)).status_code == 404


def test_only_addresses_get_into_the_policy() -> None:
    """What a gateway tells of itself cannot add a directive."""
    assert (
        _sources(["a.example:10001", "[::1]:10001", "x; script-src *", "b c:1"])
        == " wss://[::1]:10001 wss://a.example:10001"
    )
