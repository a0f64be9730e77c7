"""Avro records in Confluent framing, and segments: what is sealed, and what the Avro topics carry.

Never decodes more than a stated number of bytes: what arrives was written by somebody else.
"""

from __future__ import annotations

import io
import json
import sys
from functools import cache
from importlib import resources
from typing import Any

import fastavro

from schemas.errors import MalformedError
from schemas.kinds import StreamKind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Record = dict[str, Any]

SEGMENT_SCHEMAS: dict[StreamKind, str] = {kind: f"{kind.label}_segment" for kind in StreamKind}
"""The schema of each stream's segments; the envelope's header says which stream it is."""

TEXT_SCHEMA = "text_segment"
"""The schema of what was read in an end-to-end stream (content type `TEXT`)."""

MAX_SEGMENT_BYTES = 64 * 1024 * 1024
"""The most that one segment may hold when it is decompressed."""

_FRAMING_BYTES = 5
_ZSTD_LEVEL = 3


@cache
def schema_ids() -> dict[int, str]:
    """Id to schema name, as `schemas/avro/ids.txt` lists them."""
    lines = (resources.files("schemas") / "avro" / "ids.txt").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return {int(row[0]): row[1] for row in rows}


@cache
def schema_source(schema_id: int) -> str:
    """The schema of that id as JSON text; raises `MalformedError` for an id that was never given out."""
    name = schema_ids().get(schema_id)
    if name is None:
        raise MalformedError(f"no schema has the id {schema_id}", "unknown_schema")
    return (resources.files("schemas") / "avro" / f"{name}.avsc").read_text("utf-8")


@cache
def latest_id(subject: str) -> int:
    """The newest schema id of a subject: `screen_segment`, and later `screen_segment-2` and so on."""
    return max(i for i, name in schema_ids().items() if name.split("-")[0] == subject)


@cache
def _parsed(schema_id: int) -> Any:
    return fastavro.parse_schema(json.loads(schema_source(schema_id)))


def encode_record(subject: str, record: Record) -> bytes:
    """`record` under the newest schema of `subject`: a zero byte, the 4-byte schema id, Avro."""
    schema_id = latest_id(subject)
    out = io.BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, _parsed(schema_id), record)
    return out.getvalue()


def decode_record(data: bytes, subject: str) -> Record:
    """The record in `data`, read with the schema it was written with; raises `MalformedError`.

    Fields that a later schema of the subject added come with their defaults.
    """
    if len(data) < _FRAMING_BYTES or data[0] != 0:
        raise MalformedError("not an Avro record in Confluent framing", "bad_framing")
    schema_id = int.from_bytes(data[1:_FRAMING_BYTES], "big")
    name = schema_ids().get(schema_id, "")
    if name.split("-")[0] != subject:
        raise MalformedError(f"schema id {schema_id} is not one of {subject}", "unknown_schema")
    body = io.BytesIO(data)
    body.seek(_FRAMING_BYTES)
    try:
        newest = latest_id(subject)
        reader = None if newest == schema_id else _parsed(newest)
        record = fastavro.schemaless_reader(body, _parsed(schema_id), reader)
    except Exception as error:  # noqa: BLE001  fastavro raises whatever its input provokes: EOFError, IndexError …
        raise MalformedError(f"not a {subject}: {type(error).__name__}", "bad_avro") from None
    if body.read(1):
        raise MalformedError(f"bytes follow the {subject}", "trailing_bytes")
    if not isinstance(record, dict):
        raise MalformedError(f"not a {subject}", "bad_avro")
    return record


def encode_segment(kind: StreamKind, events: list[Record]) -> bytes:
    """The plaintext of an envelope: consecutive events of one stream, Avro, compressed."""
    return _compress(SEGMENT_SCHEMAS[kind], events)


def decode_segment(kind: StreamKind, segment: bytes) -> list[Record]:
    """The events of a segment; raises `MalformedError` for what is not one, or is larger than it may be."""
    return _decompress(SEGMENT_SCHEMAS[kind], segment)


def encode_text(passages: list[Record]) -> bytes:
    """The plaintext of an envelope of content type `TEXT`."""
    return _compress(TEXT_SCHEMA, passages)


def decode_text(segment: bytes) -> list[Record]:
    """The passages that `encode_text` wrote; raises `MalformedError` as `decode_segment` does."""
    return _decompress(TEXT_SCHEMA, segment)


def _compress(subject: str, events: list[Record]) -> bytes:
    return zstd.compress(encode_record(subject, {"events": events}), _ZSTD_LEVEL)


def _decompress(subject: str, segment: bytes) -> list[Record]:
    decompressor = zstd.ZstdDecompressor()
    try:
        plain = decompressor.decompress(segment, MAX_SEGMENT_BYTES)
    except zstd.ZstdError:
        raise MalformedError("the segment is not zstd", "bad_compression") from None
    if not decompressor.eof or decompressor.unused_data:
        raise MalformedError("the segment is cut, too large, or bytes follow it", "bad_compression")
    events = decode_record(plain, subject)["events"]
    return list(events)
