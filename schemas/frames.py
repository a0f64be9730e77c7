"""The frames of the wire protocol as values, and their bodies as bytes (`WIRE.md`).

Knows nothing of order, state or credit: that is `schemas.wire`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from enum import IntEnum
from struct import Struct
from typing import Any

from schemas.errors import LocalError, WireError

KIB = 1024


class GoodbyeCode(IntEnum):
    """Why a connection ended."""

    DONE = 0
    PROTOCOL = 1
    NOT_IDENTIFIED = 2
    OVERLOADED = 3
    VERSION = 4
    DRAINING = 5
    TIMEOUT = 6
    REFUSED = 7


class NackCode(IntEnum):
    """Why an envelope can never be stored."""

    MALFORMED = 1
    NOT_YOURS = 2
    TOO_LARGE = 3
    NOT_ALLOWED = 4


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the agent is (R4.3). `detail` is further computer information, texts by name."""

    agent_id: str
    user: str
    computer: str
    versions: list[int]
    software: str
    platform: str
    time_ms: int
    streams: list[str] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the gateway grants. `credit`, `max_envelope` in bytes; `recipients` PEM; `key_set`: `KEYSET.md`.

    `asks` names what it wants to be told: `ASKS_BACKLOG`.
    """

    version: int
    gateway: str
    credit: int
    max_envelope: int
    policy: dict[str, Any]
    recipients: list[str]
    time_ms: int
    key_set: dict[str, Any] = field(default_factory=dict)
    asks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Push:
    """Envelopes, the first of which has the number `first` on this connection."""

    first: int
    envelopes: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """What the push takes from the credit, bytes."""
        return sum(map(len, self.envelopes))


@dataclass(frozen=True, slots=True)
class Ack:
    """Every envelope below `next` is settled; `credit` bytes may be pushed since the connection began."""

    next: int
    credit: int


@dataclass(frozen=True, slots=True)
class Nack:
    """Envelope `index` can never be stored."""

    index: int
    code: NackCode
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What the agent may record and seal to from now on."""

    policy: dict[str, Any]
    recipients: list[str]
    key_set: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drain:
    """Go to `server` (host:port; empty: ask), within `within_ms`."""

    server: str
    reason: str
    within_ms: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? `token` comes back."""

    token: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Yes."""

    token: int


@dataclass(frozen=True, slots=True)
class LiveStart:
    """A viewer watches (R4.5)."""

    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LiveStop:
    """Nobody watches any more."""

    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AudioOpen:
    """A viewer listens: port, key and cipher (R4.4)."""

    detail: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LiveState:
    """What became of a stream that was asked for: watched or heard, over, or refused, and why."""

    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the agent's spool: envelopes, their bytes, and the age of the oldest in milliseconds."""

    envelopes: int
    bytes: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last frame of a connection."""

    code: int
    reason: str


LiveFrame = LiveStart | LiveStop | AudioOpen
Frame = Hello | Welcome | Push | Ack | Nack | Policy | Drain | Ping | Pong | LiveFrame | LiveState | Backlog | Goodbye

_PUSH = Struct(">QH")
_ACK = Struct(">QQ")
_NACK = Struct(">QH")
_TOKEN = Struct(">Q")
_LENGTH = Struct(">IB")

PREFIX_BYTES = _LENGTH.size
"""Length and type."""

MAX_PUSH_COUNT = 0xFFFF

ASKS_BACKLOG = "backlog"


def _build_json(frame: Any) -> bytes:
    return json.dumps(asdict(frame), separators=(",", ":"), ensure_ascii=False).encode()


def _parse_json(cls: type[Any]) -> Callable[[memoryview], Any]:
    names = {f.name: _SIMPLE_TYPES[str(f.type)] for f in fields(cls)}
    optional = {f.name for f in fields(cls) if f.default_factory is not MISSING}

    def parse(body: memoryview) -> Any:
        try:
            values = json.loads(bytes(body).decode())
            json.dumps(values, ensure_ascii=False).encode()  # half a character, escaped, would fail wherever it is used
        except (ValueError, RecursionError):
            raise WireError(f"the body of {cls.__name__} is not JSON in UTF-8") from None
        if not isinstance(values, dict):
            raise WireError(f"the body of {cls.__name__} is not an object")
        known = {name: values[name] for name in names if name in values}
        for name, fits in names.items():
            if name not in known and name in optional:
                continue
            if not fits(known.get(name)):
                raise WireError(f"{cls.__name__} needs a valid {name!r}")
        return cls(**known)

    return parse


def _fits_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


_SIMPLE_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": _fits_int,
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "list[int]": lambda value: isinstance(value, list) and all(map(_fits_int, value)),
    "dict[str, Any]": lambda value: isinstance(value, dict),
}


def _build_push(push: Push) -> bytes:
    count = len(push.envelopes)
    if not 1 <= count <= MAX_PUSH_COUNT:
        raise LocalError(f"a push has 1 to {MAX_PUSH_COUNT} envelopes")
    lengths = b"".join(len(envelope).to_bytes(4, "big") for envelope in push.envelopes)
    return b"".join((_PUSH.pack(push.first, count), lengths, *push.envelopes))


def _parse_push(body: memoryview) -> Push:
    if len(body) < _PUSH.size:
        raise WireError("a push is cut")
    first, count = _PUSH.unpack_from(body)
    at = _PUSH.size + 4 * count
    if count == 0 or len(body) < at:
        raise WireError("a push is empty or cut")
    envelopes: list[bytes] = []
    for length_at in range(_PUSH.size, at, 4):
        end = at + int.from_bytes(body[length_at : length_at + 4], "big")
        if end > len(body):
            raise WireError("an envelope is longer than its push")
        envelopes.append(bytes(body[at:end]))
        at = end
    if at != len(body):
        raise WireError("bytes follow the last envelope of a push")
    return Push(first, tuple(envelopes))


def _parse_ack(body: memoryview) -> Ack:
    if len(body) != _ACK.size:
        raise WireError("an ack has another length")
    return Ack(*_ACK.unpack(body))


def _build_nack(nack: Nack) -> bytes:
    return _NACK.pack(nack.index, nack.code) + nack.reason.encode()[:512]


def _parse_nack(body: memoryview) -> Nack:
    if len(body) < _NACK.size:
        raise WireError("a nack is cut")
    index, code = _NACK.unpack_from(body)
    if code not in set(NackCode):
        code = NackCode.MALFORMED  # a later version's code: the envelope is refused all the same
    return Nack(index, NackCode(code), bytes(body[_NACK.size :]).decode("utf-8", "replace"))


def _parse_token(cls: type[Any]) -> Callable[[memoryview], Any]:
    def parse(body: memoryview) -> Any:
        if len(body) != _TOKEN.size:
            raise WireError(f"a {cls.__name__} has another length")
        return cls(*_TOKEN.unpack(body))

    return parse


@dataclass(frozen=True, slots=True)
class FrameType:
    """A row of the table of frames: its number, and the most that `length` may say."""

    number: int
    cls: type[Any]
    limit: int
    build: Callable[[Any], bytes]
    parse: Callable[[memoryview], Any]


def _json_type(number: int, cls: type[Any], limit: int) -> FrameType:
    return FrameType(number, cls, limit, _build_json, _parse_json(cls))


FRAME_TYPES: tuple[FrameType, ...] = (
    _json_type(1, Hello, 64 * KIB),
    _json_type(2, Welcome, 256 * KIB),
    FrameType(3, Push, 4096 * KIB, _build_push, _parse_push),
    FrameType(4, Ack, 17, lambda ack: _ACK.pack(ack.next, ack.credit), _parse_ack),
    FrameType(5, Nack, KIB, _build_nack, _parse_nack),
    _json_type(6, Policy, 256 * KIB),
    _json_type(7, Drain, 4 * KIB),
    FrameType(8, Ping, 9, lambda ping: _TOKEN.pack(ping.token), _parse_token(Ping)),
    FrameType(9, Pong, 9, lambda pong: _TOKEN.pack(pong.token), _parse_token(Pong)),
    _json_type(10, LiveStart, 4 * KIB),
    _json_type(11, LiveStop, 4 * KIB),
    _json_type(12, AudioOpen, 4 * KIB),
    _json_type(13, Goodbye, 4 * KIB),
    _json_type(14, LiveState, 4 * KIB),
    _json_type(15, Backlog, KIB),
)

BY_NUMBER: Mapping[int, FrameType] = {row.number: row for row in FRAME_TYPES}
BY_CLASS: Mapping[type[Any], FrameType] = {row.cls: row for row in FRAME_TYPES}


def build_frame(frame: Frame) -> bytes:
    """The frame's bytes, length and type included; raises `LocalError` beyond the type's limit."""
    row = BY_CLASS[type(frame)]
    body = row.build(frame)
    length = len(body) + 1
    if length > row.limit:
        raise LocalError(f"{row.cls.__name__} of {length} bytes is over its limit of {row.limit}")
    return _LENGTH.pack(length, row.number) + body


def parse_prefix(data: bytes | bytearray | memoryview, at: int = 0) -> tuple[FrameType, int]:
    """Type and body length of the frame at offset `at`; raises `WireError` before the body is there."""
    length, number = _LENGTH.unpack_from(data, at)
    row = BY_NUMBER.get(number)
    if row is None:
        raise WireError(f"frame type {number} is not known here")
    if not 1 <= length <= row.limit:
        raise WireError(f"{row.cls.__name__} of {length} bytes is over its limit of {row.limit}")
    return row, length - 1
