"""A server that takes all and acknowledges nothing is left for another; those that are known outlive a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ack_watch import AckWatch
from agent.cache import CACHE, PolicyCache
from agent.servers import MAX_DOUBLINGS, MAX_SERVERS, Servers
from schemas.keys import Identity
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until
from tests.agent.test_agent import Windows, running, titles
from tests.agent.test_uplink import FAST, connected, number_of

HASTY = replace(FAST, unacked_s=0.3, silence_s=60.0)
A, B, C = "a.example:10000", "b.example:10000", "c.example:10000"


@pytest.fixture(scope="module")
def identity() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the installation's CA is, made once."""
    return tmp_path_factory.mktemp("pki")


@pytest.fixture
async def gateway(pki: Path, identity: Identity) -> AsyncIterator[FakeGateway]:
    """A master, and a gateway that does as it should, until told otherwise."""
    async with FakeGateway(pki, identity) as gateway:
        yield gateway


@pytest.fixture
async def other(pki: Path, gateway: FakeGateway, identity: Identity) -> AsyncIterator[FakeGateway]:
    """Another gateway of the same installation, which the master names second."""
    async with FakeGateway(pki, identity) as other:
        gateway.alternatives = [other.agent_address]
        yield other


def test_a_server_that_acknowledged_nothing_is_tried_last() -> None:
    """Of several the one that was left longest ago comes first; acknowledgements, whoever's, take all blame away."""
    servers = Servers()
    assert servers.leave(A, [A, B, C]) == B
    assert servers.in_order([A, B, C]) == [B, C, A]
    assert servers.leave(B, [A, B, C]) == C
    assert servers.leave(C, [A, B, C]) == A
    assert servers.in_order([C, B, A]) == [A, B, C]
    servers.acknowledged(1)
    assert servers.in_order([C, B, A]) == [C, B, A]


def test_where_there_is_no_other_server_it_is_kept() -> None:
    """Nobody moves from the only one there is."""
    assert Servers().leave(A, [A]) == ""
    assert Servers().leave(A, []) == ""


def test_patience_doubles_while_nobody_acknowledges() -> None:
    """Up to a bound, and from the beginning after the next acknowledgement; the same count again is none."""
    servers = Servers()
    waits = []
    for _ in range(MAX_DOUBLINGS + 2):
        waits.append(servers.patience_s(20))
        servers.leave(A, [A, B])
        servers.acknowledged(0)
    assert waits == [20, 40, 80, 160, 320, 320]
    servers.acknowledged(5)
    assert servers.patience_s(20) == 20
    assert servers.patience_s(0) == 0


def test_known_servers_are_told_when_they_change() -> None:
    """The one that serves is first; a bounded number of them, and nothing is written twice."""
    told: list[list[str]] = []
    servers = Servers([B], lambda known: told.append(list(known)))
    servers.assigned([A, B])
    servers.welcomed(A)
    servers.welcomed(A)
    servers.assigned([A, B])
    assert told == [[B, A], [A, B]]
    servers.assigned([f"{number}.example:1" for number in range(100)])
    assert len(servers.known) == MAX_SERVERS


def test_time_counts_from_an_answer_that_came_behind_the_envelopes() -> None:
    """A line that takes long, and a gateway that does not read for now, are no gateway that does not acknowledge."""
    watch = AckWatch()
    watch.asked(7, 3)
    assert watch.waits
    watch.answered(6, 0, 100.0)
    assert watch.waits
    watch.answered(7, 0, 100.0)
    assert (watch.waits, watch.waited_s) == (False, 0.0)
    watch.asked(8, 5)
    assert watch.waited_s == 0.0
    watch.answered(8, 0, 130.0)
    assert watch.waited_s == 30.0
    watch.acknowledged(2, 131.0)
    assert watch.waited_s == 0.0
    watch.asked(9, 5)
    watch.answered(9, 2, 141.0)
    assert watch.waited_s == 10.0
    watch.acknowledged(5, 142.0)
    watch.asked(10, 5)
    watch.answered(10, 5, 200.0)
    assert watch.waited_s == 0.0


async def test_an_agent_leaves_a_gateway_that_acknowledges_nothing(
    gateway: FakeGateway, other: FakeGateway, tmp_path: Path
) -> None:
    """The gateway answers pings all the while; what it did not acknowledge goes to the other one, all of it."""
    async with connected(gateway, tmp_path / "agent", HASTY) as stage:
        stage.append(3)
        await stage.delivered()
        gateway.faults.acks = False
        stage.append(5)
        await stage.delivered()
        assert stage.uplink.status.server == other.agent_address
        assert [number_of(envelope) for envelope in other.received] == [3, 4, 5, 6, 7]
        assert "acknowledges nothing" in gateway.goodbyes[0].reason
        other.connections[0].abort()
        stage.append(1)
        await wait_until(lambda: len(gateway.connections) == 2)  # acknowledged by the other: no blame is left


async def test_an_agent_stays_with_the_only_server_there_is(gateway: FakeGateway, tmp_path: Path) -> None:
    """It asks again and again, ever more seldom, keeps its connection, and goes on when it is acknowledged."""
    gateway.faults.acks = False
    async with connected(gateway, tmp_path / "agent", replace(HASTY, unacked_s=0.1)) as stage:
        stage.append(3)
        await wait_until(lambda: gateway.asked >= 3)
        assert len(gateway.connections) == 1
        gateway.faults.acks = True
        stage.append(1)
        await stage.delivered()
        assert len(gateway.connections) == 1
    assert [number_of(envelope) for envelope in gateway.received] == [0, 1, 2, 3]


async def test_when_no_server_acknowledges_agents_move_ever_more_seldom(
    gateway: FakeGateway, other: FakeGateway, tmp_path: Path
) -> None:
    """Both take everything and acknowledge nothing: all arrives once they do again."""
    gateway.faults.acks = other.faults.acks = False
    async with connected(gateway, tmp_path / "agent", replace(HASTY, unacked_s=0.1)) as stage:
        stage.append(3)
        await wait_until(lambda: bool(other.connections) and len(gateway.connections) == 2)
        assert stage.uplink._patience_s() >= 0.4
        gateway.faults.acks = other.faults.acks = True
        stage.append(1)
        await stage.delivered()
        assert stage.uplink._patience_s() < 0.2
    received = {number_of(envelope) for envelope in (*gateway.received, *other.received)}
    assert received == {0, 1, 2, 3}


async def test_a_gateway_that_does_not_read_for_now_is_not_left(
    gateway: FakeGateway, other: FakeGateway, tmp_path: Path
) -> None:
    """Short of memory or disk it answers no ping: that is back-pressure, and for `silence_s` to judge."""
    async with connected(gateway, tmp_path / "agent", replace(HASTY, unacked_s=0.1)) as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway.faults.silent, gateway.faults.acks = True, False
        stage.append(3)
        await asyncio.sleep(0.7)
        assert (len(gateway.connections), other.connections) == (1, [])


async def test_an_agent_that_starts_without_a_master_goes_to_a_server_it_knew(
    gateway: FakeGateway, other: FakeGateway, tmp_path: Path
) -> None:
    """No master answers any more, and the server that it had is gone: the other one is used."""
    source = Windows()
    async with running(gateway, tmp_path / "agent", [source]) as stage:
        await wait_until(lambda: stage.agent.uplink.status.state == "connected")
    gateway._https.close()
    gateway._agents.close()
    asked = gateway.asked
    async with running(gateway, tmp_path / "agent", [source]):
        source.titles.put_nowait("without a master")
        await wait_until(lambda: titles(other) == ["without a master"])
    assert gateway.asked == asked
    assert other.agent_address.encode() not in (tmp_path / "agent" / CACHE).read_bytes()


async def test_a_known_server_must_still_show_its_certificate(
    gateway: FakeGateway, tmp_path: Path, identity: Identity
) -> None:
    """Somebody else listens where a server was: not even a hello is said there."""
    async with (
        FakeGateway(tmp_path / "stranger", identity) as stranger,
        running(gateway, tmp_path / "agent", [Windows()]) as stage,
    ):
        await wait_until(lambda: stage.agent.uplink.status.state == "connected")
        agent_id = stage.agent.status()["agent_id"]
        stage.stop.set()
        await stage.running
        gateway._https.close()
        PolicyCache(tmp_path / "agent", agent_id).keep_servers([stranger.agent_address])
        async with running(gateway, tmp_path / "agent", [Windows()]) as again:
            await wait_until(lambda: again.agent.uplink.status.attempts > 3)
            assert again.agent.uplink.status.server == stranger.agent_address
        assert stranger.hellos == []


def test_servers_are_kept_beside_the_policy(tmp_path: Path) -> None:
    """Neither undoes the other; what is no address is not used, and another agent's are not."""
    cache = PolicyCache(tmp_path, "a")
    cache.keep_servers([A, "nonsense", "", B])
    cache.accept({"version": 7, "streams": ["screen"]})
    again = PolicyCache(tmp_path, "a")
    assert (again.servers, again.policy.version) == ((A, B), 7)
    assert PolicyCache(tmp_path, "b").servers == ()
