"""Epoch headers of one agent and day, in a file of their own: what erasing that person's day destroys (R6.3).

Never brings back a header that was erased, and never leaves half of one behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.files import sync_directory, write_all, write_whole
from schemas.errors import MalformedError
from sinks.archive.container import (
    SYNC_BYTES,
    Buffer,
    build_file_header,
    decode_bytes,
    encode_bytes,
    encode_long,
    parse_file_header,
    read_blocks,
)
from sinks.archive.layout import Layout, hold_lock, make_directory
from sinks.archive.scan import map_file

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "ArchivedEpochHeader",
    "namespace": "sealstream",
    "doc": "an epoch header as it stood before its records; an epoch's first one in this file is its number 0",
    "fields": [
        {"name": "epoch_id", "type": {"type": "fixed", "name": "EpochId", "size": 32}},
        {"name": "header", "type": "bytes"},
    ],
}

_EPOCH_BYTES = 32


@dataclass(slots=True)
class AgentDay:
    """The epoch headers of one agent and day, and the epochs whose headers were erased."""

    headers: dict[bytes, list[bytes]] = field(default_factory=dict)
    erased: frozenset[bytes] = frozenset()
    rewrapped: dict[bytes, int] = field(default_factory=dict)
    """SHA-256 of headers as they came and do not stand here any more, to the numbers of those in their place."""
    state: tuple[int, ...] = ()
    """Changes when another process changed the files."""

    def number(self, epoch_id: bytes, header: bytes) -> int | None:
        """Which of its epoch's headers this one is, as it stands or as it came; none when it is not known."""
        known = self.headers.get(epoch_id, [])
        if header in known:
            return known.index(header)
        number = self.rewrapped.get(hashlib.sha256(header).digest())
        return number if number is not None and number < len(known) else None


class HeaderStore:
    """All epoch headers of an archive; keeps the agents' days that it used last in memory."""

    def __init__(self, layout: Layout, cache_size: int = 256) -> None:
        self._layout = layout
        self._cache: OrderedDict[tuple[bytes, str], AgentDay] = OrderedDict()
        self._cache_size = cache_size

    def day(self, agent_id: bytes, day: str) -> AgentDay:
        """What is stored of an agent's day. May be as old as the last change by this process."""
        found = self._cache.get((agent_id, day))
        if found is None:
            found = self._cache[agent_id, day] = load_day(self._layout.key_file(agent_id, day))
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end((agent_id, day))
        return found

    def renew(self, agent_id: bytes, day: str) -> None:
        """Read an agent's day again if another process changed it: erased a header, or put another in its place."""
        found = self._cache.get((agent_id, day))
        if found is not None and found.state != _state(self._layout.key_file(agent_id, day)):
            del self._cache[agent_id, day]

    def forget(self) -> None:
        """Read everything from disk again."""
        self._cache.clear()

    def add(self, agent_id: bytes, day: str, wanted: Iterable[tuple[bytes, bytes]]) -> None:
        """Store epoch ids with their headers, durably; those of erased epochs are left out."""
        path = self._layout.key_file(agent_id, day)
        with self.locked():
            known = self.day(agent_id, day)
            if known.state != _state(path):
                known = self._cache[agent_id, day] = load_day(path)
            fresh: list[tuple[bytes, bytes]] = []
            for epoch_id, header in wanted:
                if epoch_id not in known.erased and known.number(epoch_id, header) is None:
                    fresh.append((epoch_id, header))
                    known.headers.setdefault(epoch_id, []).append(header)
            if fresh:
                _append(path, fresh)
                known.state = _state(path)

    def erase(self, agent_id: bytes, day: str, time_ms: int, epochs: Collection[bytes] | None = None) -> int:
        """Destroy the headers of an agent's day, or of some of its epochs; how many can never be opened again."""
        path = self._layout.key_file(agent_id, day)
        with self.locked():
            found = load_day(path)
            going = found.headers.keys() if epochs is None else found.headers.keys() & set(epochs)
            erased = found.erased | going
            if going:
                tombstone = {"time_ms": time_ms, "epochs": sorted(epoch.hex() for epoch in erased)}
                write_whole(path.with_suffix(".erased"), json.dumps(tombstone).encode())
            # Killed here: headers are still there, and erasing again ends it.
            kept = {epoch: headers for epoch, headers in found.headers.items() if epoch not in going}
            if not kept:
                _remove(path)
            elif not erased.isdisjoint(_stored(path)):
                _replace(path, _build(kept))
        self._cache.pop((agent_id, day), None)
        return len(going)

    def rewrap(self, agent_id: bytes, day: str, exchange: Callable[[bytes], bytes | None]) -> int:
        """Put what `exchange` makes of a header in its place, and under its number; how many it made.

        The day's file is replaced whole; what a header was is remembered by its hash, so that an envelope that comes
        again does not bring the old one back.
        """
        path = self._layout.key_file(agent_id, day)
        with self.locked():
            found = load_day(path)
            rewrapped, count = dict(found.rewrapped), 0
            for headers in found.headers.values():
                for number, header in enumerate(headers):
                    new = exchange(header)
                    if new is not None and new != header:
                        rewrapped[hashlib.sha256(header).digest()] = number
                        headers[number] = new
                        count += 1
            if count:
                write_whole(
                    path.with_suffix(".rewrapped"),
                    json.dumps({came.hex(): number for came, number in rewrapped.items()}).encode(),
                )
                # Killed here: hashes of headers that still stand, which are found as they stand.
                write_whole(path, _build(found.headers))
        self._cache.pop((agent_id, day), None)
        return count

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing any header."""
        with hold_lock(self._layout.keys / "lock", wait=True):
            yield


def load_day(path: Path) -> AgentDay:
    """What the files of an agent's day hold; a torn tail is left out, and cut off when something is appended."""
    state = _state(path)
    headers: dict[bytes, list[bytes]] = {}
    if path.exists():
        with map_file(path) as data:
            headers, _ = _parse(data)
    erased = _load_erased(path.with_suffix(".erased"))
    # An erasure that was killed half-way has a tombstone and headers: to be erased again, but not to be used.
    kept = {e: h for e, h in headers.items() if e not in erased}
    return AgentDay(kept, erased, _load_rewrapped(path.with_suffix(".rewrapped")), state)


def _load_erased(path: Path) -> frozenset[bytes]:
    try:
        return frozenset(bytes.fromhex(epoch) for epoch in json.loads(path.read_text("utf-8"))["epochs"])
    except FileNotFoundError:
        return frozenset()


def _load_rewrapped(path: Path) -> dict[bytes, int]:
    try:
        return {bytes.fromhex(came): int(number) for came, number in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}


def _build(headers: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """A file of these headers; each epoch's in their order, which is their numbers."""
    sync = os.urandom(SYNC_BYTES)
    rows = [epoch_id + encode_bytes(header) for epoch_id, known in headers.items() for header in known]
    body = b"".join(rows)
    return build_file_header(SCHEMA, sync) + encode_long(len(rows)) + encode_long(len(body)) + body + sync


def _parse(data: Buffer) -> tuple[dict[bytes, list[bytes]], int]:
    headers: dict[bytes, list[bytes]] = {}
    try:
        file_header = parse_file_header(data)
    except MalformedError:
        return {}, 0
    end = file_header.size
    try:
        for block in read_blocks(data, file_header):
            at = block.start
            for _ in range(block.records):
                epoch_id = bytes(data[at : at + _EPOCH_BYTES])
                header, at = decode_bytes(data, at + _EPOCH_BYTES)
                headers.setdefault(epoch_id, []).append(header)
            end = block.next
    except MalformedError:
        pass
    return headers, end


def _append(path: Path, fresh: list[tuple[bytes, bytes]]) -> None:
    make_directory(path.parent)
    end, sync = 0, b""
    if path.exists():
        with map_file(path) as data:
            _, end = _parse(data)
            sync = parse_file_header(data).sync if end else b""
    body = b"".join(epoch_id + encode_bytes(header) for epoch_id, header in fresh)
    start = b"" if end else build_file_header(SCHEMA, sync := os.urandom(SYNC_BYTES))
    block = start + encode_long(len(fresh)) + encode_long(len(body)) + body + sync
    if not end:
        write_whole(path, block)
        return
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, end)
        os.lseek(fd, end, os.SEEK_SET)
        write_all(fd, block)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _stored(path: Path) -> Collection[bytes]:
    """Every epoch whose headers stand in the file, erased or not."""
    with map_file(path) as data:
        return _parse(data)[0].keys()


def _remove(path: Path) -> None:
    if path.exists():
        with _overwriting(path):
            pass
        path.unlink()
        path.with_suffix(".rewrapped").unlink(missing_ok=True)
        sync_directory(path.parent)


def _replace(path: Path, content: bytes) -> None:
    with _overwriting(path):
        write_whole(path, content)


@contextmanager
def _overwriting(path: Path) -> Iterator[None]:
    """Write zeros over the file that this is now, even if another has its name afterwards.

    What a disk or a file system keeps of it all the same is out of our reach.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield
        write_all(fd, bytes(os.fstat(fd).st_size))
        os.fsync(fd)
    finally:
        os.close(fd)


def _state(path: Path) -> tuple[int, ...]:
    state: list[int] = []
    for file in (path, path.with_suffix(".erased")):
        try:
            status = file.stat()
        except FileNotFoundError:
            state += [0, 0]
        else:
            state += [status.st_ino, status.st_size]
    return tuple(state)
