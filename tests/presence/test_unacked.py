"""A gateway to which Kafka acknowledges nothing says so, gets no agents, and is left by those that it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests import journey
from tests.journey import QUICK_UPLINK, until
from tests.presence.fleet import Node, open_fleet
from tests.presence.test_moves import hire, stored
from tests.redis_server import RedisServer

AGENTS = 2


@asynccontextmanager
async def cut_off(node: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Kafka answers that node, and acknowledges nothing; told within moments instead of seconds."""
    monkeypatch.setattr("gateway.health.INTERVAL_S", 0.05)
    node.health._unacked_s = 0.2
    node.publisher.holding = True
    watching = asyncio.create_task(node.health.watch())
    try:
        yield
    finally:
        watching.cancel()
        node.publisher.holding = False
        node.publisher.release()


@pytest.mark.parametrize("told", [True, False], ids=["redis", "no redis"])
async def test_agents_leave_a_gateway_that_cannot_acknowledge(
    ground: Path, tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """All that it had are acknowledged by the other one, and nobody is sent to it; without Redis they leave as well."""
    monkeypatch.setattr(journey, "QUICK_UPLINK", replace(QUICK_UPLINK, unacked_s=0.5))
    async with open_fleet(ground, redis.settings) as fleet, hire(fleet, tmp_path / "agents", AGENTS) as staff:
        first, second = fleet.nodes
        await staff.write(20)
        await staff.acknowledged()
        before = set(stored(first, second))
        fleet.read_log()
        if not told:
            redis.stop()
            await until(lambda: fleet.front.presence.view.away)
        async with cut_off(first, monkeypatch):
            await staff.write(20)
            await staff.acknowledged()
            assert second.port.agents == AGENTS
            letters = stored(first, second)
            assert set(letters.values()) == {1}
            assert len(letters) > len(before) >= AGENTS
            if told:
                await until(lambda: not fleet.front.presence.view.gateways()[first.name].accepts)
                assert "not acknowledged" in fleet.front.presence.view.gateways()[first.name].refusal
                assert [one.name for one in fleet.front.presence.assigner.assign("")] == [second.name]
        await first.health.look()
        assert first.health.reasons == []
