"""The HTTPS port before the first request: who connects and does not ask keeps nobody out."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import visits as visits_module
from gateway.peer import origin_of
from schemas.keys import Identity
from tests.gateway.site import Site, open_site

GET = b"GET /api/v1/assign HTTP/1.1\r\nHost: h\r\n\r\n"
TIMEOUT_S = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def narrow(tmp_path: Path, pki: Path, identity: Identity) -> AsyncIterator[Site]:
    """An HTTPS port with eight places."""
    async with open_site(tmp_path, pki, identity, max_connections=8) as opened:
        yield opened


@pytest.fixture
async def hasty(tmp_path: Path, pki: Path, identity: Identity) -> AsyncIterator[Site]:
    """An HTTPS port that waits 0.3 s for a request."""
    async with open_site(tmp_path, pki, identity, request_timeout_s=0.3) as opened:
        yield opened


async def ask(streams: Streams) -> bytes:
    """The status line of an answer."""
    reader, writer = streams
    writer.write(GET)
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
    return head.partition(b"\r\n")[0]


async def is_over(streams: Streams) -> bool:
    """Whether the port ends the connection, saying nothing."""
    async with asyncio.timeout(TIMEOUT_S):
        try:
            return await streams[0].read() == b""
        except (ConnectionError, ssl.SSLError):
            return True


async def test_idle_connections_give_way(narrow: Site) -> None:
    """A thousand idle connections of one address leave the port open to others, and to itself."""
    silent: list[Streams] = [await narrow.connect() for _ in range(20)]
    assert await ask(await narrow.connect("127.0.0.2")) == b"HTTP/1.1 200 OK"
    assert await ask(await narrow.connect()) == b"HTTP/1.1 200 OK"
    assert await is_over(silent[0])
    assert narrow.ended("gave_way") >= 16


async def test_the_address_with_most_of_them_gives_way(narrow: Site) -> None:
    """Neighbours that wait too keep their places: the oldest of the busiest address goes."""
    others = [await narrow.connect(f"127.0.0.{number}") for number in (2, 3, 4, 5)]
    crowd = [await narrow.connect("127.0.0.9") for _ in range(4)]
    assert await ask(await narrow.connect("127.0.0.6")) == b"HTTP/1.1 200 OK"
    assert await is_over(crowd[0])
    assert [await ask(other) for other in others] == [b"HTTP/1.1 200 OK"] * 4


async def test_half_a_request_is_none(narrow: Site) -> None:
    """A request that never ends, in its head or in its body, holds no place against who asks."""
    for start in (b"GET / HTTP/1.1\r\nHost:", b"POST /api/v1/enrol HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{"):
        for _ in range(8):
            _, writer = await narrow.connect()
            writer.write(start)
        assert await ask(await narrow.connect("127.0.0.2")) == b"HTTP/1.1 200 OK"


async def test_a_request_is_due(hasty: Site) -> None:
    """Who says nothing, drips bytes, or stops in the body is let go; the time runs anew after each answer."""
    silent, slow, stopped, served = [await hasty.connect() for _ in range(4)]
    stopped[1].write(b"POST /api/v1/enrol HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{")
    assert await ask(served) == b"HTTP/1.1 200 OK"
    assert await ask(served) == b"HTTP/1.1 200 OK"

    async def drip() -> None:
        for byte in GET:
            slow[1].write(bytes([byte]))
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert [await is_over(each) for each in (silent, slow, stopped, served)] == [True] * 4
    dripping.cancel()
    assert hasty.ended("slow_request") == 4


async def test_who_does_not_read_is_let_go(narrow: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody takes hold a place for a while only."""
    monkeypatch.setattr(visits_module, "STUCK_TIMEOUT_S", 0.2)
    small = socket.create_connection(("127.0.0.1", narrow.number), source_address=("127.0.0.1", 0))
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    _, writer = await asyncio.open_connection(sock=small, ssl=narrow.trust, server_hostname="127.0.0.1")
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
    metrics = GET.replace(b"/api/v1/assign", b"/metrics")
    async with asyncio.timeout(TIMEOUT_S):
        while not narrow.ended("slow_reader"):
            if not writer.transport.is_closing():
                writer.write(metrics * 50)
            await asyncio.sleep(0.02)
    writer.transport.abort()


async def test_requests_in_one_piece_are_all_answered(hasty: Site) -> None:
    """Three requests that came together get three answers."""
    reader, writer = await hasty.connect()
    writer.write(GET * 3)
    async with asyncio.timeout(TIMEOUT_S):
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("junk", [b"\x00" * 100, b"GET / HTTP/9\r\n\r\n", b"G" * 20_000, b"GET /\xff HTTP/1.1\r\n\r\n"])
async def test_junk_ends_its_connection_alone(narrow: Site, junk: bytes) -> None:
    """It is answered by 400 or nothing, and its place is free."""
    reader, writer = await narrow.connect()
    writer.write(junk)
    async with asyncio.timeout(TIMEOUT_S):
        answer = await reader.read()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert await ask(await narrow.connect()) == b"HTTP/1.1 200 OK"


@given(st.integers(1 << 64, (1 << 128) - 1), st.integers(0, (1 << 64) - 1))
def test_an_ipv6_network_counts_as_one(address: int, host: int) -> None:
    """Whoever has one address of it has them all; IPv4 addresses count each, mapped into IPv6 or not."""
    neighbour = (address >> 64 << 64) | host
    assert origin_of((str(IPv6Address(address)), 1)) == origin_of((str(IPv6Address(neighbour)), 2))
    assert origin_of(("::ffff:10.1.2.3", 1)) == origin_of(("10.1.2.3", 2)) == "10.1.2.3"
    assert origin_of(("", 0)) == origin_of(None) == ""
