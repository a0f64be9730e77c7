"""One question to a TLS listener and its answer: a ClientHello as bytes, and what the server's first flight says.

Never finishes a handshake: what a listener agrees to stands in clear in its first flight (RFC 5246, RFC 8446).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304

_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO, _KEY_EXCHANGE, _CERTIFICATE_REQUEST, _HELLO_DONE = 2, 12, 13, 14
_SERVER_NAME, _GROUPS, _POINTS, _SIGNATURES, _VERSIONS, _KEY_SHARE = 0, 10, 11, 13, 43, 51
_NAMED_CURVE = 3
_RANDOM = bytes(range(32))
_SCHEMES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601)
"""Signatures with SHA-256 and better."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a client offers: one version, and suites and groups by their IANA numbers."""

    version: int
    suites: Sequence[int]
    groups: Sequence[int]
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the server settled on. `group` is 0 where there is none; `prime` is that of finite-field Diffie-Hellman."""

    version: int
    suite: int
    group: int = 0
    prime: int = 0
    compression: int = 0
    asks_certificate: bool = False


def write_hello(question: Question) -> bytes:
    """The ClientHello as a record. In TLS 1.3 it has no key share: the answer, a HelloRetryRequest, names the group."""
    extensions = _extension(_GROUPS, _vector(_shorts(question.groups), 2))
    extensions += _extension(_POINTS, b"\x01\x00")
    if question.version >= TLS_1_2:
        extensions += _extension(_SIGNATURES, _vector(_shorts(_SCHEMES), 2))
    if question.version == TLS_1_3:
        extensions += _extension(_VERSIONS, _vector(_shorts([TLS_1_3]), 1)) + _extension(_KEY_SHARE, b"\x00\x00")
    if question.server_name:
        name = b"\x00" + _vector(question.server_name.encode("idna"), 2)
        extensions += _extension(_SERVER_NAME, _vector(name, 2))
    body = struct.pack("!H", min(question.version, TLS_1_2)) + _RANDOM + b"\x00"
    body += _vector(_shorts(question.suites), 2) + b"\x01\x00"
    if question.version > SSL_3:
        body += _vector(extensions, 2)
    message = b"\x01" + len(body).to_bytes(3) + body
    return struct.pack("!BHH", _HANDSHAKE, min(question.version, TLS_1_0), len(message)) + message


def flight_is_complete(data: bytes) -> bool:
    """Whether the server says no more until the client does: an alert, TLS 1.3's hello, or "hello done"."""
    kinds = [kind for kind, _ in _messages(data)]
    hello = read_flight(data)
    return _has_alert(data) or _HELLO_DONE in kinds or (hello is not None and hello.version == TLS_1_3)


def read_flight(data: bytes) -> Agreed | None:
    """What the server's first flight agrees to; none for a refusal, and for what is not TLS."""
    agreed: Agreed | None = None
    try:
        for kind, body in _messages(data):
            if kind == _SERVER_HELLO:
                agreed = _read_server_hello(body)
            elif kind == _KEY_EXCHANGE and agreed:
                group, prime = _read_key_exchange(body)
                agreed = replace(agreed, group=group, prime=prime)
            elif kind == _CERTIFICATE_REQUEST and agreed:
                agreed = replace(agreed, asks_certificate=True)
    except (struct.error, IndexError):
        return None
    return agreed


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole handshake messages in the records, up to where records are no longer in clear."""
    stream = bytearray()
    for kind, body in _records(data):
        if kind != _HANDSHAKE:
            break
        stream += body
    place = 0
    while place + 4 <= len(stream):
        size = int.from_bytes(stream[place + 1 : place + 4])
        if place + 4 + size > len(stream):
            return
        yield stream[place], bytes(stream[place + 4 : place + 4 + size])
        place += 4 + size


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 5 <= len(data):
        kind, _version, size = struct.unpack_from("!BHH", data, place)
        if place + 5 + size > len(data):
            return
        yield kind, data[place + 5 : place + 5 + size]
        place += 5 + size


def _has_alert(data: bytes) -> bool:
    return any(kind == _ALERT for kind, _ in _records(data))


def _read_server_hello(body: bytes) -> Agreed:
    version, place = struct.unpack_from("!H", body)[0], 34
    place += 1 + body[place]  # the session id
    suite, compression = struct.unpack_from("!HB", body, place)
    place += 5
    group = 0
    while place + 4 <= len(body):
        kind, size = struct.unpack_from("!HH", body, place)
        place += 4
        if kind == _VERSIONS:
            version = struct.unpack_from("!H", body, place)[0]
        elif kind == _KEY_SHARE:
            group = struct.unpack_from("!H", body, place)[0]
        place += size
    return Agreed(version, suite, group, compression=compression)


def _read_key_exchange(body: bytes) -> tuple[int, int]:
    """Curve of ECDHE, prime of DHE; RSA key transport has no such message."""
    if body[0] == _NAMED_CURVE:
        return struct.unpack_from("!H", body, 1)[0], 0
    size = struct.unpack_from("!H", body)[0]
    return 0, int.from_bytes(body[2 : 2 + size])


def _shorts(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"!{len(numbers)}H", *numbers)


def _vector(data: bytes, length_bytes: int) -> bytes:
    return len(data).to_bytes(length_bytes) + data


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack("!H", kind) + _vector(data, 2)
