"""Trace files: recorded events of any streams, with times counted from the start (`docs/trace.md`).

Never for people's data: a trace is not encrypted.
"""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.records import MAX_SEGMENT_BYTES, decode_segment, encode_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemas.records import Record

MAGIC = b"SEALTRACE"
VERSION = 1
CHUNK_US = 1_000_000
CHUNK_BYTES = 256 * 1024
_LENGTH = struct.Struct(">I")
_CHUNK = struct.Struct(">BQI")
_CHECK_BYTES = 8
_MAX_ABOUT = 1 << 20
_TIMES = ("time_us", "from_us", "until_us")


class Chunk(NamedTuple):
    """Consecutive events of one stream, still encoded."""

    kind: StreamKind
    offset_us: int
    segment: bytes


class Trace:
    """A trace in memory, as compressed as in its file."""

    def __init__(self, about: dict[str, Any], chunks: list[Chunk], duration_us: int, *, complete: bool) -> None:
        self.about = about
        self.chunks = chunks
        self.duration_us = duration_us
        self.complete = complete
        """Whether the file had its end."""

    @classmethod
    def load(cls, path: Path) -> Trace:
        """The trace in a file; raises `MalformedError` when it is none."""
        with path.open("rb") as file:
            return read_trace(file)

    @property
    def kinds(self) -> list[StreamKind]:
        """The streams that it has events of."""
        return sorted({chunk.kind for chunk in self.chunks})

    def events(self, kind: StreamKind | None = None) -> Iterator[tuple[StreamKind, Record]]:
        """Its events in order, of one stream or of all, times from the start. They are shared: copy before changing."""
        for chunk in self.chunks:
            if kind in (None, chunk.kind):
                for event in _decode(chunk):
                    yield chunk.kind, event


class TraceWriter:
    """Writes a trace as its events come. Usable as a context manager; without `close` the file counts as cut off."""

    def __init__(self, file: IO[bytes], *, started_us: int, title: str = "") -> None:
        self._file = file
        self._started_us = started_us
        self._kind: StreamKind | None = None
        self._events: list[Record] = []
        self._bytes = 0
        self._last_us = 0
        about = json.dumps({"started_us": started_us, "title": title, "software": "sealstream"}).encode()
        file.write(MAGIC + bytes([VERSION]) + _LENGTH.pack(len(about)) + about)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, kind: StreamKind, event: Record) -> None:
        """Add an event with absolute times. Times that go back are taken as the last one."""
        event = _shift(event, -self._started_us)
        event["time_us"] = self._last_us = max(event["time_us"], self._last_us)
        full = self._events and (
            kind != self._kind
            or event["time_us"] - self._events[0]["time_us"] >= CHUNK_US
            or self._bytes >= CHUNK_BYTES
        )
        if full:
            self.flush()
        self._kind = kind
        self._events.append(event)
        self._bytes += sum(len(value) for value in event.values() if isinstance(value, bytes | str))

    def flush(self) -> None:
        """Write what waits."""
        if self._kind is not None and self._events:
            self._write(self._kind, self._events[0]["time_us"], encode_segment(self._kind, self._events))
        self._events, self._bytes = [], 0
        self._file.flush()

    def close(self) -> None:
        """Write the end mark; the file itself stays open."""
        self.flush()
        self._write(0, self._last_us, b"")
        self._file.flush()

    def _write(self, stream: int, offset_us: int, content: bytes) -> None:
        chunk = _CHUNK.pack(stream, offset_us, len(content)) + content
        self._file.write(chunk + _check(chunk))


def read_trace(file: IO[bytes]) -> Trace:
    """The trace in an open file; raises `MalformedError` when it is none. A cut or damaged end is left out."""
    head = file.read(len(MAGIC) + 1)
    if head[:-1] != MAGIC or len(head) <= len(MAGIC):
        raise MalformedError("not a trace file", "bad_trace")
    if head[-1] != VERSION:
        raise MalformedError(f"a trace of version {head[-1]} needs a later release", "bad_trace")
    about = _read_about(file)
    chunks: list[Chunk] = []
    duration_us = 0
    while (chunk := _read_chunk(file)) is not None:
        stream, offset_us, content = chunk
        duration_us = max(offset_us, duration_us)
        if stream == 0:
            return Trace(about, chunks, duration_us, complete=True)
        if stream in set(StreamKind):  # others are a later version's
            chunks.append(Chunk(StreamKind(stream), offset_us, content))
    return Trace(about, chunks, duration_us, complete=False)


def write_trace(path: Path, events: Iterable[tuple[StreamKind, Record]], *, started_us: int, title: str = "") -> None:
    """Write events, whose times are absolute and in order, as a trace file."""
    with path.open("wb") as file, TraceWriter(file, started_us=started_us, title=title) as writer:
        for kind, event in events:
            writer.append(kind, event)


def place_in_time(event: Record, start_us: int, speed: float = 1.0) -> Record:
    """An event of a trace as it happens when the trace starts at `start_us`."""
    placed = dict(event)
    for name in _TIMES:
        if placed.get(name) is not None:
            placed[name] = start_us + int(placed[name] / speed)
    return placed


def _read_about(file: IO[bytes]) -> dict[str, Any]:
    prefix = file.read(_LENGTH.size)
    length = int.from_bytes(prefix, "big")
    if len(prefix) < _LENGTH.size or length > _MAX_ABOUT:
        raise MalformedError("the trace's description is cut or too long", "bad_trace")
    try:
        about = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise MalformedError("the trace's description is not JSON", "bad_trace") from None
    if not isinstance(about, dict):
        raise MalformedError("the trace's description is not an object", "bad_trace")
    return about


def _read_chunk(file: IO[bytes]) -> tuple[int, int, bytes] | None:
    """Stream, offset and content; None where the file is cut or damaged."""
    prefix = file.read(_CHUNK.size)
    if len(prefix) < _CHUNK.size:
        return None
    stream, offset_us, length = _CHUNK.unpack(prefix)
    if length > MAX_SEGMENT_BYTES:
        return None
    content = file.read(length)
    if len(content) < length or file.read(_CHECK_BYTES) != _check(prefix + content):
        return None
    return stream, offset_us, content


def _check(chunk: bytes) -> bytes:
    return hashlib.sha256(chunk).digest()[:_CHECK_BYTES]


def _shift(event: Record, by_us: int) -> Record:
    return event | {name: max(event[name] + by_us, 0) for name in _TIMES if event.get(name) is not None}


@lru_cache(maxsize=64)
def _decode(chunk: Chunk) -> list[Record]:
    """Decoded once for all agents that play it in step."""
    return decode_segment(chunk.kind, chunk.segment)
