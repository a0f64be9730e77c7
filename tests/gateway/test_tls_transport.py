"""TLS straight on a socket: every byte arrives, whatever is paused, and each way of ending is heard of once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.tls_transport import TlsTransport, accept_tls
from infra.tls import Profile, server_context
from tests.gateway.endpoint import Credentials

TIMEOUT_S = 10.0


class Recorder(asyncio.BufferedProtocol):
    """Keeps what it hears; answers with what it is told to."""

    def __init__(self) -> None:
        self.buffer = bytearray(4096)
        self.heard = bytearray()
        self.told: list[str] = []
        self.lost = asyncio.Event()
        self.transport: TlsTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport
        self.told.append("made")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self.buffer[:nbytes]

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost.set()

    async def until(self, size: int) -> None:
        """Wait until that many bytes have come."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.heard) < size:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.002)


@asynccontextmanager
async def joined(
    pki: Path, ana: Credentials
) -> AsyncIterator[tuple[Recorder, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Both ends of a connection after its handshake."""
    recorder = Recorder()
    context = server_context(Profile.MODERN, pki / "gateway.pem", pki / "gateway.key", pki / "ca.pem", listener="agent")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)

    async def accept() -> None:
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        await accept_tls(sock, context, lambda: recorder, timeout_s=TIMEOUT_S)

    accepting = asyncio.create_task(accept())
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.getsockname()[1], ssl=ana.context(), server_hostname="127.0.0.1"
    )
    await accepting
    try:
        yield recorder, reader, writer
    finally:
        recorder.transport.abort()
        writer.transport.abort()
        listener.close()


async def test_every_byte_arrives_both_ways(pki: Path, ana: Credentials) -> None:
    """More than any buffer holds, in order, in pieces of every size."""
    sent = os.urandom(1_500_000)
    async with joined(pki, ana) as (recorder, reader, writer):
        for at in range(0, len(sent), 70_001):
            writer.write(sent[at : at + 70_001])
        await recorder.until(len(sent))
        assert recorder.heard == sent
        recorder.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        for at in range(0, len(sent), 50_003):
            recorder.transport.write(sent[at : at + 50_003])
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.readexactly(len(sent)) == sent
        assert recorder.told[:2] == ["made", "pause"]
        assert recorder.told[-1] == "resume"


async def test_what_openssl_has_read_ahead_is_not_forgotten(pki: Path, ana: Credentials) -> None:
    """Many small records that came while reading was paused are all there after it goes on."""
    async with joined(pki, ana) as (recorder, _, writer):
        recorder.transport.pause_reading()
        for _ in range(500):
            writer.write(b"abc")
            await asyncio.sleep(0)
        assert not recorder.transport.is_reading()
        assert recorder.heard == b""
        recorder.transport.resume_reading()
        await recorder.until(1500)
        assert recorder.heard == b"abc" * 500


async def test_the_last_words_are_heard(pki: Path, ana: Credentials) -> None:
    """Written, then closed, while the peer is still sending: it reads all of it, and a clean end."""
    async with joined(pki, ana) as (recorder, reader, writer):
        writer.write(bytes(100_000))
        recorder.transport.write(b"x" * 200_000)
        recorder.transport.close()
        recorder.transport.close()
        async with asyncio.timeout(TIMEOUT_S):
            assert len(await reader.read()) == 200_000
            await recorder.lost.wait()
    assert recorder.told.count("lost") == 1


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_peer_goes(pki: Path, ana: Credentials, how: str) -> None:
    """Politely or not: the protocol hears of it once, after everything that came before."""
    async with joined(pki, ana) as (recorder, _, writer):
        writer.write(b"bye")
        await recorder.until(3)
        getattr(writer.transport, how)()
        async with asyncio.timeout(TIMEOUT_S):
            await recorder.lost.wait()
    assert bytes(recorder.heard) == b"bye"
    assert recorder.told == ["made", "lost"]


async def test_abort_is_silent(pki: Path, ana: Credentials) -> None:
    """Nothing that was not written already goes out."""
    async with joined(pki, ana) as (recorder, reader, _):
        recorder.transport.abort()
        recorder.transport.write(b"never")
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert await reader.read() == b""
            await recorder.lost.wait()
    assert recorder.told == ["made", "lost"]


async def test_a_handshake_that_does_not_end_is_given_up(pki: Path) -> None:
    """In its time, with the socket closed."""
    context = server_context(Profile.MODERN, pki / "gateway.pem", pki / "gateway.key", pki / "ca.pem", listener="agent")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with pytest.raises((TimeoutError, OSError)):
        await accept_tls(ours, context, Recorder, timeout_s=0.05)
    assert theirs.recv(10) == b""
    theirs.close()
