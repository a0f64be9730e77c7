"""An agent finds the master that answers among dead, deaf and failing ones, stays with it, and tries other servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.https import request
from agent.masters import Door, Masters
from schemas.errors import ConfigError, UnavailableError
from schemas.keys import Identity
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until
from tests.agent.test_uplink import FAST, connected, number_of

LONG = replace(FAST, connect_timeout_s=60.0)
"""Whoever waits for one master to its end does not finish in time."""


@pytest.fixture(scope="module")
def identity() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture
async def gateway(tmp_path: Path, identity: Identity) -> AsyncIterator[FakeGateway]:
    """A gateway that does as it should."""
    async with FakeGateway(tmp_path / "pki", identity) as gateway:
        yield gateway


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address that answers nothing: its queue is full, so that even the handshake of TCP is dropped."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """An address that takes connections and says nothing, as a stopped process does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def trust_of(gateway: FakeGateway) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=gateway.directory / "ca.pem")


async def ask(masters: Masters, context: ssl.SSLContext, method: str = "GET") -> int:
    path = "/api/v1/assign?agent=x" if method == "GET" else "/api/v1/other"
    return (await request(masters, method, path, context, clock=SystemClock(), timeout=60)).status


async def test_the_master_that_answers_is_found_and_kept(
    gateway: FakeGateway, refusing: str, deaf: str, mute: str
) -> None:
    """One refuses, one is a black hole, one is stopped: the fourth answers, and is asked first from then on."""
    masters, context = Masters(f"{refusing},{deaf}, {mute},{gateway.address}"), trust_of(gateway)
    async with asyncio.timeout(30):
        assert await ask(masters, context) == 200
        assert masters._good
        assert masters._good.address == gateway.address
        assert (await masters._doors())[0].address == gateway.address
        for _ in range(3):
            assert await ask(masters, context) == 200
    assert gateway.asked == 4


async def test_a_master_that_dies_is_left_for_another(gateway: FakeGateway, tmp_path: Path, identity: Identity) -> None:
    """The good one stops: the next question goes to the other, and the one that failed is asked last."""
    async with FakeGateway(tmp_path / "other", identity) as other:
        context = trust_of(gateway)
        context.load_verify_locations(other.directory / "ca.pem")
        masters = Masters(f"{gateway.address},{other.address}")
        assert await ask(masters, context) == 200
        gateway._https.close()
        assert await ask(masters, context) == 200
        assert (gateway.asked, other.asked) == (1, 1)


async def test_a_master_that_cannot_answer_is_no_reason_to_give_up(
    gateway: FakeGateway, tmp_path: Path, identity: Identity
) -> None:
    """A fault of one server: what is only read is asked of the other; what changes something is asked once."""
    async with FakeGateway(tmp_path / "other", identity) as other:
        context = trust_of(gateway)
        context.load_verify_locations(other.directory / "ca.pem")
        gateway.assigned = ""
        masters = Masters(f"{gateway.address},{other.address}")
        assert await ask(masters, context) == 200
        assert (gateway.asked, other.asked) == (1, 1)
        other.assigned = ""
        assert await ask(masters, context) == 503
        assert await ask(masters, context, "POST") == 404


async def test_all_addresses_of_a_name_are_tried(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two masters behind one name, of which the first is dead; and a name that is not found any more is remembered."""
    port = int(gateway.address.rpartition(":")[2])
    loop = asyncio.get_running_loop()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]

    async def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        assert host == "localhost"
        if not found:
            raise socket.gaierror("not found")
        return list(found)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    masters = Masters(f"localhost:{port}")
    assert await ask(masters, trust_of(gateway)) == 200
    assert masters._good == Door("localhost", port, socket.AF_INET, ("127.0.0.1", port))
    found.clear()
    assert await ask(masters, trust_of(gateway)) == 200


async def test_nobody_answers(refusing: str) -> None:
    """It is said, in words that name the place; an address that is none is refused at once."""
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await ask(Masters(refusing), ssl.create_default_context())
    with pytest.raises(ConfigError, match="write host:port"):
        Masters("a.example:443,b.example")


async def test_alternatives_are_tried_before_asking_again(
    gateway: FakeGateway, tmp_path: Path, refusing: str, deaf: str
) -> None:
    """The server assigned refuses, the next is a black hole: the third is used, and the master was asked once."""
    gateway.assigned, gateway.alternatives = refusing, [deaf, gateway.agent_address]
    async with connected(gateway, tmp_path / "agent", LONG) as stage:
        stage.append(3)
        await stage.delivered()
        assert gateway.asked == 1
        assert stage.uplink.status.server == gateway.agent_address


async def test_known_servers_are_tried_for_as_long_as_no_master_answers(
    gateway: FakeGateway, tmp_path: Path, identity: Identity
) -> None:
    """The masters are away and so is the server: the agent tries both again and again, until the server is back."""
    async with connected(gateway, tmp_path / "agent") as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway._https.close()
        gateway._agents.close()
        gateway.connections[0].abort()
        stage.append(3)
        attempts = stage.uplink.status.attempts
        await wait_until(lambda: stage.uplink.status.attempts > attempts + 5)
        await gateway.listen_again()
        await stage.delivered()
    assert [number_of(envelope) for envelope in gateway.received] == [0, 1, 2]


async def test_a_server_that_sent_us_to_a_dead_one_is_asked_about(
    gateway: FakeGateway, tmp_path: Path, refusing: str
) -> None:
    """Drained to a server that refuses: the master is asked at once."""
    async with connected(gateway, tmp_path / "agent") as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway.connections[0].drain(refusing)
        stage.append(3)
        await stage.delivered()
    assert gateway.asked == 2


async def test_a_master_that_knows_no_server_is_not_believed(gateway: FakeGateway, tmp_path: Path) -> None:
    """It may have begun a moment ago, with all that it asks away: the server that is known takes the agent."""
    async with connected(gateway, tmp_path / "agent") as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway.assigned = ""
        gateway.connections[0].abort()
        stage.append(3)
        await stage.delivered()
        assert stage.uplink.status.server == gateway.agent_address
