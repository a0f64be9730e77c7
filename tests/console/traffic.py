"""Everything that goes between a browser and the console: a server in between that ends TLS and keeps every byte.

Never changes what passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from infra.demo.canary import Finder, Needle
from infra.pki.authority import make_ca
from infra.pki.certificates import issue

_CHUNK = 64 * 1024


@dataclass
class Traffic:
    """What passed, one buffer for each connection and direction."""

    sent: list[bytearray] = field(default_factory=list)
    """By the browser."""
    received: list[bytearray] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    """Of websockets, as the browser's driver tells them: on the wire they are masked."""

    @property
    def everything(self) -> list[bytes]:
        """All of it, and what was sent with its percent signs undone too."""
        sent = [bytes(one) for one in self.sent]
        return [*sent, *(unquote_to_bytes(one) for one in sent), *map(bytes, self.received), *self.frames]

    def find(self, needles: list[Needle]) -> set[str]:
        """The names of the needles that are in it."""
        finder = Finder(needles)
        return set().union(*(finder.names_in(data) for data in self.everything))


class _Between:
    """The server."""

    def __init__(self, traffic: Traffic, port: int) -> None:
        self._traffic = traffic
        self._port = port
        self._upstream = ssl.create_default_context()
        self._upstream.check_hostname = False
        self._upstream.verify_mode = ssl.CERT_NONE
        self._upstream.set_alpn_protocols(["http/1.1"])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the browser."""
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.CancelledError):
            above = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._upstream)
            sent, received = bytearray(), bytearray()
            self._traffic.sent.append(sent)
            self._traffic.received.append(received)
            await asyncio.gather(_pass_on(reader, above[1], sent), _pass_on(above[0], writer, received))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    try:
        while data := await reader.read(_CHUNK):
            kept += data
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


@contextmanager
def recorded(port: int, folder: Path) -> Iterator[tuple[str, Traffic]]:
    """The address of a server before the console's at `port`, and what passes through it."""
    traffic = Traffic()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    make_ca(folder)
    own = issue(folder, "between", server=True, hosts=["127.0.0.1"])
    context.load_cert_chain(own.cert, own.key)
    context.set_alpn_protocols(["http/1.1"])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(_Between(traffic, port).serve, "127.0.0.1", 0, ssl=context)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", traffic
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
