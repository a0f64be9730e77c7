"""One archived envelope as it lies in an archive file: where it came from, and its sealed record.

Never holds an epoch header: `header` only says which of the epoch's headers belongs before the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from sinks.archive.container import Buffer, decode_bytes, decode_long, encode_bytes, encode_long
from sinks.sink import SinkRecord

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "ArchivedRecord",
    "namespace": "sealstream",
    "doc": "a sealed record as it came; its epoch header stands in the agent's file of that day, under keys/",
    "fields": [
        {"name": "agent_id", "type": {"type": "fixed", "name": "AgentId", "size": 16}},
        {"name": "epoch_id", "type": {"type": "fixed", "name": "EpochId", "size": 32}},
        {"name": "sequence", "type": "long"},
        {"name": "capture_ms", "type": "long"},
        {"name": "header", "type": "int", "doc": "which of the epoch's headers, from 0"},
        {"name": "topic", "type": "string", "doc": "Kafka's, without prefix"},
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "timestamp_ms", "type": "long", "doc": "Kafka's"},
        {"name": "key", "type": ["null", "bytes"]},
        {
            "name": "headers",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Header",
                    "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": "bytes"}],
                },
            },
        },
        {"name": "record", "type": "bytes", "doc": "the envelope without its epoch header"},
        {
            "name": "check",
            "type": {"type": "fixed", "name": "Check", "size": 8},
            "doc": "first half of the AES-128-GCM tag, key and nonce all zero, with the bytes of this record before "
            "`record`'s content as plaintext and that content as additional data: a checksum against accidents",
        },
    ],
}

CHECK_BYTES = 8
TAG_BYTES = 16
_ID_BYTES = 48
# Five times as fast as CRC-32 where the CPU has AES, which is where archives are written.
_CHECKSUM = AESGCM(bytes(16))
_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoded record; `start` and `end` are its offsets in what it was decoded from."""

    id: EnvelopeId
    capture_ms: int
    header: int
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    record: Buffer
    start: int
    end: int


def encode_entry(
    source: SinkRecord, envelope_id: EnvelopeId, capture_ms: int, header: int, sealed: memoryview
) -> tuple[bytes, memoryview, bytes]:
    """The three pieces of an entry, to be written one after the other: what is before `sealed`, it, its check."""
    headers = source.headers
    before = b"".join(
        (
            envelope_id.agent_id,
            envelope_id.epoch_id,
            encode_long(envelope_id.sequence),
            encode_long(capture_ms),
            encode_long(header),
            _encode_place(source.topic, source.partition),
            encode_long(source.offset),
            encode_long(source.timestamp_ms),
            _encode_key(source.key),
            encode_long(len(headers)) if headers else b"",
            *[_encode_header(name, value) for name, value in headers],
            b"\0",
            encode_long(len(sealed)),
        )
    )
    return before, sealed, checksum(before, sealed)


@lru_cache(maxsize=1024)
def _encode_place(topic: str, partition: int) -> bytes:
    return encode_bytes(topic.encode()) + encode_long(partition)


@lru_cache(maxsize=16_384)
def _encode_key(key: bytes | None) -> bytes:
    return b"\0" if key is None else b"\x02" + encode_bytes(key)


@lru_cache(maxsize=16_384)
def _encode_header(name: str, value: bytes | None) -> bytes:
    return encode_bytes(name.encode()) + encode_bytes(value or b"")


def checksum(before: Buffer, sealed: Buffer) -> bytes:
    """The check of an entry whose sealed record is preceded by `before`."""
    return _CHECKSUM.encrypt(_NONCE, before, sealed)[-TAG_BYTES : CHECK_BYTES - TAG_BYTES]


def decode_entry(data: Buffer, at: int, *, check: bool = True) -> Entry:
    """The entry at `at`; raises `MalformedError` when it is cut, or its bytes are not what was written."""
    start = at
    agent_id, epoch_id = bytes(data[at : at + 16]), bytes(data[at + 16 : at + _ID_BYTES])
    sequence, at = decode_long(data, at + _ID_BYTES)
    capture_ms, at = decode_long(data, at)
    header, at = decode_long(data, at)
    topic, at = decode_bytes(data, at)
    partition, at = decode_long(data, at)
    offset, at = decode_long(data, at)
    timestamp_ms, at = decode_long(data, at)
    key, at = _decode_key(data, at)
    headers, at = _decode_headers(data, at)
    length, at = decode_long(data, at)
    end = at + length + CHECK_BYTES
    if length < 0 or end > len(data):
        raise MalformedError("an archived record is cut", "truncated")
    if check and checksum(data[start:at], data[at : at + length]) != data[at + length : end]:
        raise MalformedError("an archived record was changed: its check does not fit", "bad_check")
    return Entry(
        EnvelopeId(agent_id, epoch_id, sequence),
        capture_ms,
        header,
        topic.decode("utf-8", "replace"),
        partition,
        offset,
        timestamp_ms,
        key,
        headers,
        data[at : at + length],
        start,
        end,
    )


def _decode_key(data: Buffer, at: int) -> tuple[bytes | None, int]:
    branch, at = decode_long(data, at)
    return decode_bytes(data, at) if branch else (None, at)


def _decode_headers(data: Buffer, at: int) -> tuple[tuple[tuple[str, bytes], ...], int]:
    headers: list[tuple[str, bytes]] = []
    count, at = decode_long(data, at)
    while count:
        if not 0 < count < 10_000:
            raise MalformedError("the headers of an archived record are damaged", "bad_headers")
        for _ in range(count):
            name, at = decode_bytes(data, at)
            value, at = decode_bytes(data, at)
            headers.append((name.decode("utf-8", "replace"), value))
        count, at = decode_long(data, at)
    return tuple(headers), at
