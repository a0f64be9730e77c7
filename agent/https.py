"""One HTTPS request and its answer: all that an agent needs to enrol and to ask for a server.

Never follows a redirect, and never reads more than a stated number of bytes.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from agent.clock import Clock, wait_at_most
from agent.masters import Door, Masters
from schemas.errors import MalformedError, SealstreamError, UnavailableError

MAX_ANSWER_BYTES = 256 * 1024
SERVER_FAULT = 500
"""From this status on it is the server's fault, and another may do better."""


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


def parse_answer(data: bytes) -> Answer:
    """The answer in all that a server sent until it closed; raises `MalformedError`."""
    response = http.client.HTTPResponse(cast("Any", _Received(data)))
    try:
        response.begin()
        return Answer(response.status, response.read())
    except (http.client.HTTPException, ValueError, OSError) as error:
        raise MalformedError(f"the server's answer is not HTTP: {type(error).__name__}", "bad_answer") from None


async def request(
    address: str | Masters,
    method: str,
    path: str,
    context: ssl.SSLContext,
    *,
    clock: Clock,
    timeout: float,
    body: dict[str, Any] | None = None,
    check: Check = lambda _connected: None,
) -> Answer:
    """Ask one server, if `check` raises nothing when it looks at the connection.

    What is only read is asked of the next server, too, when one fails or says that it cannot. Raises `UnavailableError`
    when no server answers within `timeout` seconds, `MalformedError` when not in HTTP.
    """
    masters = address if isinstance(address, Masters) else Masters(address)
    wish = _Wish(method, path, body, check, clock, timeout)
    tried: list[Door] = []
    outcome: Answer | SealstreamError | None = None
    while True:
        before = len(tried)
        try:
            latest: Answer | SealstreamError = await _ask(masters, wish, context, tried)
        except SealstreamError as error:
            latest = error
        if len(tried) == before:  # nobody else can be reached
            outcome = outcome or latest
            break
        outcome = latest
        if method != "GET" or (isinstance(latest, Answer) and latest.status < SERVER_FAULT):
            break
    if isinstance(outcome, Answer):
        return outcome
    raise outcome


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is asked, and how long an answer is waited for."""

    method: str
    path: str
    body: dict[str, Any] | None
    check: Check
    clock: Clock
    timeout_s: float

    def message(self, host: str) -> bytes:
        """The request to `host`."""
        payload = json.dumps(self.body).encode() if self.body is not None else b""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {host}",
            "Connection: close",
            "Accept: application/json",
        ]
        if self.body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        return "\r\n".join([*lines, "", ""]).encode() + payload


async def _ask(masters: Masters, wish: _Wish, context: ssl.SSLContext, tried: list[Door]) -> Answer:
    """One server's answer; `tried` has it from when it was reached."""
    before = len(tried)
    address = masters.text
    try:
        exchange = _exchange(masters, wish, context, tried)
        answer = parse_answer(await wait_at_most(wish.clock, exchange, wish.timeout_s))
    except (SealstreamError, OSError) as error:  # a timeout is an OSError
        for door in tried[before:]:
            address = door.address
            masters.failed(door)
        raise _explain(address, wish.timeout_s, error) from None
    masters.answered(tried[-1])
    return answer


def _explain(address: str, timeout_s: float, error: SealstreamError | OSError) -> SealstreamError:
    """What a caller is told; faults that are not the network's are left as they are."""
    match error:
        case TimeoutError():
            return UnavailableError(f"{address} does not answer within {timeout_s:g} s")
        case ssl.SSLCertVerificationError():
            return UnavailableError(f"{address} shows a certificate that is not its own: {error.verify_message}")
        case OSError():
            return UnavailableError(f"{address} cannot be reached: {error.strerror or error}")
    return error


async def _exchange(masters: Masters, wish: _Wish, context: ssl.SSLContext, tried: list[Door]) -> bytes:
    opened = await masters.open(context, tried)
    tried.append(opened.door)
    reader, writer = opened.reader, opened.writer
    try:
        wish.check(writer)
    except BaseException:
        writer.transport.abort()  # not even a goodbye goes out
        raise
    try:
        writer.write(wish.message(opened.door.address))
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
