"""TLS straight on a socket: OpenSSL reads and writes the file handle, into one buffer that all connections share.

Never holds a buffer for a connection that has nothing to say: an idle one costs what OpenSSL needs, and little else.
The event loop's own TLS transport keeps 256 KiB of address space and two memory BIOs for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

SHUTDOWN_TIMEOUT_S = 2.0
"""How long a connection that we closed may take to read what we said last."""


async def accept_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    factory: Callable[[], asyncio.BufferedProtocol],
    *,
    timeout_s: float,
) -> None:
    """Shake hands on an accepted socket and hand it to a new protocol; raises `OSError` or `TimeoutError`."""
    peername = sock.getpeername()
    tls = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    try:
        async with asyncio.timeout(timeout_s):
            await _shake_hands(tls)
    except BaseException:
        tls.close()
        raise
    TlsTransport(tls, peername, factory())


async def _shake_hands(tls: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return tls.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(tls, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(tls, loop.add_writer, loop.remove_writer)


async def _ready(tls: ssl.SSLSocket, watch: Callable[..., object], unwatch: Callable[..., object]) -> None:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handle = tls.fileno()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    watch(handle, wake)
    try:
        await waiter
    finally:
        unwatch(handle)


class TlsTransport(asyncio.Transport):
    """One connection after its handshake. The protocol's buffer may be shared: it is filled and emptied in one go."""

    __slots__ = (
        "_closing",
        "_farewell",
        "_handle",
        "_high",
        "_loop",
        "_paused",
        "_peername",
        "_protocol",
        "_stuck",
        "_tls",
        "_unsent",
    )

    def __init__(self, tls: ssl.SSLSocket, peername: object, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._tls = tls
        self._handle = tls.fileno()
        self._peername = peername
        self._protocol = protocol
        self._high = 64 * 1024
        self._unsent = b""
        self._stuck = False
        self._paused = False
        self._closing = False
        self._farewell: asyncio.TimerHandle | None = None
        protocol.connection_made(self)
        self._watch()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection is made of; a certificate is parsed for who asks, and not kept."""
        match name:
            case "peername":
                return self._peername
            case "ssl_object" | "socket":
                return self._tls
            case "peercert":
                return self._tls.getpeercert()
            case "cipher":
                return self._tls.cipher()
        return default

    # Reading.

    def pause_reading(self) -> None:
        """Let what comes wait in the kernel."""
        if not self._paused and not self._closing:
            self._paused = True
            self._loop.remove_reader(self._handle)

    def resume_reading(self) -> None:
        """Read on."""
        if self._paused and not self._closing:
            self._paused = False
            self._watch()

    def is_reading(self) -> bool:
        """Whether what comes is read."""
        return not self._paused and not self._closing

    def _watch(self) -> None:
        """OpenSSL reads ahead: what it has already would wake nobody."""
        if self.is_reading():
            self._loop.add_reader(self._handle, self._read)
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Fill the buffer once, whatever more there is: others want to be read too."""
        if not self.is_reading():
            return
        buffer = memoryview(self._protocol.get_buffer(-1))
        filled, over, fault = self._fill(buffer)
        if filled:
            self._protocol.buffer_updated(filled)
        if self._closing:
            return
        if fault or over:
            self._lose(fault)
        elif filled == len(buffer):
            self._loop.call_soon(self._read)

    def _fill(self, buffer: memoryview) -> tuple[int, bool, OSError | None]:
        """How many bytes came, whether the peer has closed, and what went wrong."""
        filled, size, read = 0, len(buffer), self._tls.read
        try:
            while filled < size:
                count = read(size - filled, buffer[filled:])
                if not count:
                    return filled, True, None
                filled += int(count)
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            return filled, True, error
        return filled, False, None

    # Writing.

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002
        """From `high` bytes on the protocol is told to pause; it goes on when all is written."""
        self._high = self._high if high is None else high

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write at once what the kernel takes, the rest when it takes more."""
        if self._closing:
            return
        if self._unsent:
            self._unsent += data
        else:
            self._unsent = self._send(bytes(data))
            if self._unsent:
                self._loop.add_writer(self._handle, self._write_on)
        if len(self._unsent) > self._high and not self._stuck:
            self._stuck = True
            self._protocol.pause_writing()

    def _send(self, data: bytes) -> bytes:
        """What remains of `data`."""
        try:
            while data:
                data = data[self._tls.write(data) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return data
        except OSError as error:
            self._loop.call_soon(self._lose, error)
            return b""
        return b""

    def _write_on(self) -> None:
        self._unsent = self._send(self._unsent)
        if self._unsent:
            return
        self._loop.remove_writer(self._handle)
        if self._closing:
            self._say_farewell()
        elif self._stuck:
            self._stuck = False
            self._protocol.resume_writing()

    # Ending.

    def is_closing(self) -> bool:
        """Whether it is over, or about to be."""
        return self._closing

    def close(self) -> None:
        """Write what is left, and give the peer a moment to read it: closing at once could take it back."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._handle)
        if self._unsent:
            self._farewell = self._loop.call_later(SHUTDOWN_TIMEOUT_S, self._end, None)
        else:
            self._say_farewell()

    def abort(self) -> None:
        """Close at once."""
        self._lose(None)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        return self._protocol

    def _say_farewell(self) -> None:
        if self._farewell:
            self._farewell.cancel()
        self._farewell = self._loop.call_later(SHUTDOWN_TIMEOUT_S, self._end, None)
        with contextlib.suppress(OSError):  # it wants the peer's word too, which comes or does not
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._tls, socket.SHUT_WR)
        self._loop.add_reader(self._handle, self._hear_out)

    def _hear_out(self) -> None:
        """Pass over what the peer still says, until it closes: bytes left unread would reset the connection."""
        try:
            while socket.socket.recv(self._tls, 65536):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end(None)

    def _lose(self, fault: OSError | None) -> None:
        if self._tls.fileno() < 0:
            return
        self._closing = True
        self._loop.remove_reader(self._handle)
        self._loop.remove_writer(self._handle)
        self._loop.call_soon(self._end, fault)

    def _end(self, fault: OSError | None) -> None:
        if self._tls.fileno() < 0:
            return
        if self._farewell:
            self._farewell.cancel()
        self._loop.remove_reader(self._handle)
        self._loop.remove_writer(self._handle)
        self._tls.close()
        self._protocol.connection_lost(fault)
