"""Targets: what agents, servers and readers say to each other, on every port.

Never opens a socket: the protocols take bytes.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agent.https import parse_answer
from gateway.enrol import EnrolmentRequest, hash_secret
from gateway.lifecycle import event_line
from gateway.mirror import MAX_REQUEST_BYTES, _read_request
from gateway.unlock.scope import Scope
from schemas.enrolment import EnrolmentToken
from schemas.errors import MalformedError, UnavailableError, WireError
from schemas.frames import (
    BY_CLASS,
    Ack,
    Drain,
    Frame,
    Goodbye,
    Hello,
    Nack,
    NackCode,
    Ping,
    Policy,
    Push,
    Welcome,
    build_frame,
)
from schemas.lifecycle import fold_all
from schemas.records import decode_record, encode_record
from schemas.wire import Connection, Role
from tests.fuzz.target import Target

_AGENT = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
_HELLO = Hello(_AGENT, "ann", "desk-7", [1], "0.1", "linux", 1, ["screen"], {"kernel": "6.1"})
_WELCOME = Welcome(1, "gw-1", 1 << 20, 1 << 20, {"version": 1}, ["PEM"], 1)

_LARGEST = max(row.limit for row in BY_CLASS.values()) + 5


def _joined(*frames: Frame) -> bytes:
    return b"".join(map(build_frame, frames))


_FROM_AGENT = (
    _joined(_HELLO),
    _joined(_HELLO, Ping(7), Goodbye(0, "done")),
    _joined(_HELLO, Push(0, (b"one", b"two"))),
)
_FROM_GATEWAY = (
    _joined(_WELCOME, Ack(1, 1 << 21), Nack(1, NackCode.TOO_LARGE, "too large")),
    _joined(_WELCOME, Policy({"version": 2}, ["PEM"]), Drain("b:10002", "update", 1000), Goodbye(5, "")),
)


def _hear(role: Role, data: bytes) -> None:
    """Whole or byte by byte, the same frames come out, and no more than one frame is kept."""
    whole, parts = (_begin(role) for _ in range(2))
    frames: list[Frame] = []
    error: WireError | None = None
    for at in range(len(data)):
        try:
            frames += parts.receive(data[at : at + 1])
        except WireError as refused:
            error = refused
            break
        assert parts.buffered <= _LARGEST
    if error is not None:
        raise error
    assert whole.receive(data) == frames
    assert (whole.state, whole.pushed_bytes, whole.credit) == (parts.state, parts.pushed_bytes, parts.credit)


def _begin(role: Role) -> Connection:
    connection = Connection(role)
    if role is Role.GATEWAY:
        return connection
    connection.send(_HELLO)
    return connection


def _hear_open(data: bytes) -> None:
    """A gateway that has greeted already, and granted some credit."""
    connection = Connection(Role.GATEWAY)
    connection.receive(_FROM_AGENT[0])
    connection.send(_WELCOME)
    for frame in connection.receive(data):
        assert connection.credit_left >= 0
        assert frame is not None


def _ask_mirror(data: bytes) -> None:
    async def ask() -> int | None:
        reader = asyncio.StreamReader(limit=MAX_REQUEST_BYTES)
        reader.feed_data(data)
        reader.feed_eof()
        return await _read_request(reader)

    offset = asyncio.run(ask())
    assert offset is None or -1 <= offset < 1 << 63


def _fold(data: bytes) -> None:
    """What the mirror does with a fact from Kafka."""
    event = decode_record(data, "lifecycle_event")
    fold_all([event])
    json.loads(event_line(0, event))


def _enrol(data: bytes) -> None:
    """Up to the comparison of the token."""
    hash_secret(EnrolmentRequest.parse(data).secret)


def _scope(data: bytes) -> None:
    body = json.loads(data)
    if isinstance(body, dict):
        Scope.from_json(body)


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


_TOKEN = EnrolmentToken("monitor.example.org:443", bytes(32), "secret", (bytes(32),))
_FACT = {"time_ms": 1_767_225_600_000, "subject": "agent", "id": _AGENT, "event": "connected", "detail": {"a": "b"}}
_SCOPE = {"agents": [_AGENT], "streams": ["email"], "since_ms": 1, "until_ms": 2}
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

TARGETS = (
    Target("wire_from_agent", lambda data: _hear(Role.GATEWAY, data), (WireError,), _FROM_AGENT),
    Target("wire_from_gateway", lambda data: _hear(Role.AGENT, data), (WireError,), _FROM_GATEWAY),
    Target("wire_open", _hear_open, (WireError,), tuple(one[len(_FROM_AGENT[0]) :] or b"\0" for one in _FROM_AGENT)),
    Target("mirror_request", _ask_mirror, (MalformedError,), (b"from 12\n", b"from start\n", b"from now\n", b"\n")),
    Target("lifecycle_event", _fold, (MalformedError,), (encode_record("lifecycle_event", _FACT),)),
    Target(
        "enrolment_request",
        _enrol,
        (MalformedError,),
        (_json({"secret": "s", "csr": "c", "computer": "d", "user": "u", "software": "0.1"}),),
        text=True,
    ),
    Target(
        "enrolment_token",
        lambda data: EnrolmentToken.parse(data.decode("utf-8", "replace")),
        (MalformedError,),
        (str(_TOKEN).encode(),),
    ),
    Target("unlock_scope", _scope, (MalformedError, ValueError), (_json(_SCOPE),), text=True),
    Target("http_answer", parse_answer, (MalformedError, UnavailableError), (_ANSWER,)),
)
