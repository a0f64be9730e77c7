"""One HTTPS request and its answer: all that an agent needs to enrol and to ask for a server.

Never follows a redirect, and never reads more than a stated number of bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from agent.clock import Clock, wait_at_most
from schemas.errors import ConfigError, MalformedError, UnavailableError

MAX_ANSWER_BYTES = 256 * 1024


class Connected(Protocol):
    """What is looked at after a handshake: an asyncio transport or stream writer."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio has it."""


Check = Callable[[Connected], None]
"""Looks at the other end right after the handshake, before a byte is sent, and raises to end it there."""


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises `MalformedError`."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise MalformedError("the server's answer is not a JSON object", "bad_answer")
        return value


class _Received:
    """What `http.client` takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any) -> io.BytesIO:
        """All that was received."""
        return io.BytesIO(self._data)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[host]:port``; raises `ConfigError`."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{address!r} is not an address: write host:port")
    return host, int(port)


def parse_answer(data: bytes) -> Answer:
    """The answer in all that a server sent until it closed; raises `MalformedError`."""
    response = http.client.HTTPResponse(cast("Any", _Received(data)))
    try:
        response.begin()
        return Answer(response.status, response.read())
    except (http.client.HTTPException, ValueError, OSError) as error:
        raise MalformedError(f"the server's answer is not HTTP: {type(error).__name__}", "bad_answer") from None


async def request(
    address: str,
    method: str,
    path: str,
    context: ssl.SSLContext,
    *,
    clock: Clock,
    timeout: float,
    body: dict[str, Any] | None = None,
    check: Check = lambda _connected: None,
) -> Answer:
    """Ask once, if `check` raises nothing when it looks at the connection.

    Raises `UnavailableError` when the server does not answer, `MalformedError` when not in HTTP.
    """
    host, port = split_address(address)
    payload = json.dumps(body).encode() if body is not None else b""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {address}",
        "Connection: close",
        "Accept: application/json",
        *(["Content-Type: application/json", f"Content-Length: {len(payload)}"] if body is not None else []),
    ]
    message = "\r\n".join([*lines, "", ""]).encode() + payload
    try:
        return parse_answer(await wait_at_most(clock, _exchange(host, port, context, message, check), timeout))
    except TimeoutError:
        raise UnavailableError(f"{address} does not answer within {timeout:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise UnavailableError(f"{address} shows a certificate that is not its own: {error.verify_message}") from None
    except OSError as error:
        raise UnavailableError(f"{address} cannot be reached: {error.strerror or error}") from None


async def _exchange(host: str, port: int, context: ssl.SSLContext, message: bytes, check: Check) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        check(writer)
    except BaseException:
        writer.transport.abort()  # not even a goodbye goes out
        raise
    try:
        writer.write(message)
        await writer.drain()
        received = bytearray()
        while chunk := await reader.read(65_536):
            received += chunk
            if len(received) > MAX_ANSWER_BYTES:
                raise MalformedError("the server's answer is too long", "bad_answer")
        return bytes(received)
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # how the server ends does not matter once the answer is there
            await writer.wait_closed()
