"""Avro object-container files, uncompressed: blocks that are built for `writev`, and read in place.

Never trusts a length that it reads: what does not fit in the file is a torn tail.
https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.errors import MalformedError

Buffer = bytes | memoryview

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_BLOCK_BYTES = 64 * 1024 * 1024
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class FileHeader:
    """A container file's header: its metadata, the marker that ends each block, and where blocks begin."""

    metadata: dict[str, bytes]
    sync: bytes
    size: int


class Block(NamedTuple):
    """A whole block: `records` of them between offsets `start` and `end`; `next` is where another begins."""

    records: int
    start: int
    end: int
    next: int


def encode_long(value: int) -> bytes:
    """Avro's long: zigzag, then seven bits a byte, least significant first."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    if rest < 0x80:
        return bytes((rest,))
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def decode_long(data: Buffer, at: int) -> tuple[int, int]:
    """The long at `at`, and where it ends; raises `MalformedError` when the data end or it is too long."""
    value = shift = 0
    if at < len(data) and (first := data[at]) < 0x80:  # most are short
        return (first >> 1) ^ -(first & 1), at + 1
    for byte in bytes(data[at : at + _MAX_VARINT_BYTES]):
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    raise MalformedError("not an Avro long", "truncated")


def encode_bytes(value: bytes) -> bytes:
    """Avro's bytes or string."""
    return encode_long(len(value)) + value


def decode_bytes(data: Buffer, at: int) -> tuple[bytes, int]:
    """The bytes at `at`, and where they end."""
    length, at = decode_long(data, at)
    if not 0 <= length <= len(data) - at:
        raise MalformedError("a length does not fit", "truncated")
    return bytes(data[at : at + length]), at + length


def encode_schema(schema: dict[str, Any]) -> bytes:
    """A schema as it stands in a file's metadata."""
    return json.dumps(schema, separators=(",", ":")).encode()


def build_file_header(schema: dict[str, Any], sync: bytes) -> bytes:
    """The header of a new file, with a fresh random `sync`."""
    pairs = ((b"avro.schema", encode_schema(schema)), (b"avro.codec", b"null"))
    body = b"".join(encode_bytes(name) + encode_bytes(value) for name, value in pairs)
    return MAGIC + encode_long(len(pairs)) + body + b"\0" + sync


def parse_file_header(data: Buffer) -> FileHeader:
    """The header at the start of `data`; raises `MalformedError`."""
    if bytes(data[:4]) != MAGIC:
        raise MalformedError("not an Avro container file", "bad_magic")
    metadata: dict[str, bytes] = {}
    count, at = decode_long(data, 4)
    while count:
        if count < 0:  # then the map block's size in bytes follows
            count, (_, at) = -count, decode_long(data, at)
        for _ in range(count):
            name, at = decode_bytes(data, at)
            metadata[name.decode("utf-8", "replace")], at = decode_bytes(data, at)
        count, at = decode_long(data, at)
    sync = bytes(data[at : at + SYNC_BYTES])
    if len(sync) != SYNC_BYTES:
        raise MalformedError("the file's header is cut", "truncated")
    if metadata.get("avro.codec", b"null") != b"null":
        raise MalformedError("the file is compressed", "bad_codec")
    return FileHeader(metadata, sync, at + SYNC_BYTES)


def read_blocks(data: Buffer, header: FileHeader, at: int | None = None) -> Iterator[Block]:
    """Every whole block from `at` on; raises `MalformedError` where the rest is not one."""
    at = header.size if at is None else at
    while at < len(data):
        count, start = decode_long(data, at)
        size, start = decode_long(data, start)
        end = start + size
        if count <= 0 or not 0 <= size <= MAX_BLOCK_BYTES or end + SYNC_BYTES > len(data):
            raise MalformedError("a block is cut or its size is wrong", "bad_block")
        if bytes(data[end : end + SYNC_BYTES]) != header.sync:
            raise MalformedError("a block does not end in the file's marker", "bad_block")
        yield Block(count, start, end, end + SYNC_BYTES)
        at = end + SYNC_BYTES
