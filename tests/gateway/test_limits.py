"""What the agent port bounds: credit, memory, connections, handshakes, silence; a bad peer hurts itself alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.agents import AgentLimits
from schemas.frames import GoodbyeCode, Ping, Pong
from schemas.keys import Identity
from schemas.topics import MAX_ENVELOPE_BYTES
from tests.gateway.conftest import Stage, open_stage
from tests.gateway.endpoint import Credentials, goodbye_code, seal_for

QUICK = AgentLimits(
    hello_timeout_s=0.2, handshake_timeout_s=0.5, ping_after_s=0.1, idle_timeout_s=0.4, sweep_interval_s=0.05,
    stuck_timeout_s=0.2, drain_timeout_s=0.5, goodbye_timeout_s=0.5,
)  # fmt: skip


async def test_credit_runs_out_when_kafka_is_slow(pki: Path, ana: Credentials, identity: Identity) -> None:
    """An agent that has used its credit may push no more until something is stored."""
    epoch = seal_for(ana.agent_id, identity)
    async with open_stage(pki, budget=8 << 20) as stage:
        endpoint = await stage.greet(ana)
        await stage.publisher.flush(5)
        stage.publisher.holding = True
        envelopes = []
        while endpoint.wire.credit_left > 600_000:
            envelopes.append(epoch.seal(bytes(500_000), capture_ms=1))
            endpoint.push(envelopes[-1])
        assert stage.port.budget.held <= 8 << 20
        endpoint.send(Ping(1))
        await endpoint.receive()
        stage.publisher.release()
        await endpoint.receive_until(len(envelopes))
        assert endpoint.wire.credit_left >= MAX_ENVELOPE_BYTES


async def test_beyond_credit_ends_that_connection_alone(
    stage: Stage, enrol: Callable[[], Credentials], identity: Identity
) -> None:
    """Who pushes more than its credit gets a Goodbye; its neighbour does not notice."""
    bad, good = enrol(), enrol()
    greedy, modest = await stage.greet(bad), await stage.greet(good)
    await stage.publisher.flush(5)
    stage.publisher.holding = True
    epoch = seal_for(bad.agent_id, identity)
    greedy.wire.credit = 1 << 40
    for _ in range(30):
        greedy.push(epoch.seal(bytes(900_000), capture_ms=1))
    assert goodbye_code(await greedy.ending()) == GoodbyeCode.PROTOCOL
    stage.publisher.holding = False
    stage.publisher.release()
    modest.push(seal_for(good.agent_id, identity).seal(b"a", capture_ms=1))
    await modest.receive_until(1)


async def test_who_says_nothing_is_let_go(pki: Path, ana: Credentials) -> None:
    """No Hello: Goodbye. A Hello and then silence: a Ping, and then Goodbye."""
    async with open_stage(pki, limits=QUICK) as stage:
        silent = await stage.connect(ana)
        assert goodbye_code(await silent.ending()) == GoodbyeCode.TIMEOUT
        endpoint = await stage.greet(ana)
        frames = await endpoint.ending()
        assert isinstance(frames[0], Ping)
        assert goodbye_code(frames) == GoodbyeCode.TIMEOUT


async def test_who_does_not_read_is_let_go(pki: Path, ana: Credentials, identity: Identity) -> None:
    """An agent that pushes and never reads its answers costs a bounded buffer, and then its connection."""
    epoch = seal_for(ana.agent_id, identity)
    async with open_stage(pki, limits=QUICK) as stage:
        endpoint = await stage.greet(ana)
        endpoint.writer.transport.pause_reading()
        pings = endpoint.wire.send(Ping(1)) * 20_000
        endpoint.push(epoch.seal(b"a", capture_ms=1))
        while stage.port.connections:
            endpoint.writer.write(pings)
            await asyncio.sleep(0.01)
            if endpoint.writer.transport.is_closing():
                break
        assert await _until(lambda: stage.port.connections == 0)


async def test_a_full_house_turns_away(pki: Path, enrol: Callable[[], Credentials]) -> None:
    """Beyond the limit a connection is closed before any TLS is spent on it."""
    async with open_stage(pki, limits=AgentLimits(max_connections=1)) as stage:
        _inside = await stage.greet(enrol())
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await stage.connect(enrol())
        assert stage.count("gateway_turned_away_total", "full") == 1


async def test_stalled_handshakes_keep_nobody_out(pki: Path, ana: Credentials) -> None:
    """Peers that open connections and say nothing give way to an agent."""
    async with open_stage(pki, limits=AgentLimits(max_handshakes=4, handshake_timeout_s=30)) as stage:
        stalled = [await asyncio.open_connection("127.0.0.1", stage.number) for _ in range(8)]
        endpoint = await stage.greet(ana)
        endpoint.send(Ping(3))
        assert await endpoint.receive() == Pong(3)
        for _, writer in stalled:
            writer.close()


async def test_memory_is_bounded_and_shared(pki: Path, enrol: Callable[[], Credentials], identity: Identity) -> None:
    """When the budget is used up nobody is read any more; when it is free again everybody is."""
    async with open_stage(pki, budget=4 << 20) as stage:
        agents = [enrol() for _ in range(8)]
        endpoints = [await stage.greet(agent) for agent in agents]
        await stage.publisher.flush(5)
        stage.publisher.holding = True
        for agent, endpoint in zip(agents, endpoints, strict=True):
            endpoint.push(seal_for(agent.agent_id, identity).seal(bytes(1_000_000), capture_ms=1))
        assert await _until(lambda: stage.port.budget.full and stage.port.budget.waiting > 0)
        one_frame_to_its_end = 1_000_000
        assert stage.port.budget.held < (4 << 20) + 8 * 256 * 1024 + one_frame_to_its_end
        stage.publisher.holding = False
        stage.publisher.release()
        for endpoint in endpoints:
            await endpoint.receive_until(1)
        assert stage.port.budget.held == 0
        assert len(stage.stored("envelopes.keystrokes")) == 8


async def _until(fact: Callable[[], bool]) -> bool:
    """Wait for a fact of the port that no frame tells of; at most a minute."""
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - the port tells nobody
            await asyncio.sleep(0.005)
    return True
