"""The archive as a sink: what the consumer loop hands over is on the disk, once, when `flush` returns.

Never writes in two processes at once, and trusts nothing in memory after a write that failed.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from schemas.envelope import EpochHeader
from schemas.errors import MalformedError, UnavailableError
from schemas.kinds import StreamKind
from schemas.topics import ENVELOPES
from sinks.archive.entry import encode_entry
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout, day_of, hold_lock, make_directory
from sinks.archive.shelf import Shelf
from sinks.archive.writer import Pieces
from sinks.envelopes import Glance, Glancer
from sinks.sink import Reject, SinkRecord, StandbyError

log = structlog.get_logger(__name__)
Value = TypeVar("Value")

MAX_OPEN_SHELVES = 48
RECENT_HEADERS = 32_768
"""Epochs whose stored header is known without a look at the day of their agent."""

IDLE_S = 3600.0
"""A shelf that got nothing for so long is sealed."""


class Follower(Protocol):
    """Who follows the archive as it grows: the index."""

    def notify(self) -> None:
        """Something is durable that was not. Must return at once."""

    def doubt(self) -> None:
        """A file that grows was cut: what was seen of it may not be there. Called from any thread; returns at once."""

    async def run(self) -> None:
        """Follow until cancelled. Must never end by itself."""


class ArchiveSink:
    """Writes envelopes into archive files. All of its work is done in one thread, in the order of the calls."""

    name = "disk"
    topics = tuple(topic.name for topic in ENVELOPES)

    def __init__(
        self,
        root: Path,
        *,
        file_bytes: int = 256 * 1024 * 1024,
        fsync: bool = True,
        clock: Callable[[], float] = time.monotonic,
        follower: Follower | None = None,
    ) -> None:
        self._layout = Layout(root)
        self._headers = HeaderStore(self._layout)
        self._recent: OrderedDict[bytes, int] = OrderedDict()
        self._file_bytes, self._fsync, self._clock, self._follower = file_bytes, fsync, clock, follower
        self._shelves: dict[tuple[StreamKind, str], Shelf] = {}
        self._glancer = Glancer()
        self._held = ExitStack()
        self._owned = False
        self._following: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "archive")
        self.duplicates = 0
        """Records that were stored already."""

    async def open(self) -> None:
        """Take the archive; `UnavailableError` as long as another process has it."""
        await self._run(self._open)
        if self._follower is not None and self._following is None:
            self._following = asyncio.create_task(self._follower.run(), name="archive-index")

    def _open(self) -> None:
        self._held.close()
        make_directory(self._layout.root)
        try:
            self._held.enter_context(hold_lock(self._layout.lock, wait=False))
        except BlockingIOError:
            raise StandbyError(f"another process writes the archive {self._layout.root}") from None
        self._owned = True
        for kind in StreamKind:
            for day in self._layout.days(kind):
                if any(path.suffix == ".open" for path in self._layout.files(kind, day)):
                    self._shelf(kind, day)

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """Append what is not stored yet; rejects what is not an envelope."""
        return await self._run(lambda: self._write(batch))

    async def flush(self) -> None:
        """Return when all of it is on the disk."""
        await self._run(self._flush)
        if self._follower is not None and self._following is not None:
            if self._following.done():
                self._following.result()  # a mistake of ours: raises it, in plain sight
            self._follower.notify()

    async def apart(self, kind: StreamKind, day: str, work: Callable[[], Value]) -> Value:
        """Do `work` on a stream's day between two writes: its files are sealed, and headers are read anew after it."""
        return await self._run(lambda: self._apart(kind, day, work))

    def _apart(self, kind: StreamKind, day: str, work: Callable[[], Value]) -> Value:
        if not self._owned:
            raise UnavailableError(f"the archive {self._layout.root} was given back")
        shelf = self._shelves.get((kind, day))
        if shelf is not None:
            shelf.make_durable(fsync=self._fsync)
            shelf.seal()
            del self._shelves[kind, day]
        try:
            return work()
        finally:
            self._headers.forget()
            self._recent.clear()

    async def close(self) -> None:
        """Give the archive back."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        await self._run(self._close)

    async def _run(self, work: Callable[[], Value]) -> Value:
        # A cancelled caller leaves; the thread ends its work before it starts another.
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._guarded(work))

    def _guarded(self, work: Callable[[], Value]) -> Value:
        try:
            return work()
        except OSError as error:
            self._forget()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise UnavailableError(f"the disk of the archive {self._layout.root} is full") from error
            raise UnavailableError(f"the archive {self._layout.root} cannot be written: {error.strerror}") from error

    def _write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        rejects: list[Reject] = []
        glanced: list[tuple[SinkRecord, Glance]] = []
        for record in batch:
            try:
                glanced.append((record, self._glancer.glance(record.value)))
            except MalformedError as error:
                rejects.append(Reject(record, "malformed", str(error)))
        self._store_headers(glanced)
        self._append(glanced)
        return rejects

    def _store_headers(self, glanced: Sequence[tuple[SinkRecord, Glance]]) -> None:
        """Headers first: a record whose header is lost is lost itself."""
        fresh: dict[tuple[bytes, str], dict[tuple[bytes, bytes], None]] = {}
        for _, glance in glanced:
            epoch = glance.epoch
            if self._recent.get(epoch.header_bytes) is not None:
                continue
            day = day_of(epoch.created_ms)
            known = self._headers.day(epoch.agent_id, day)
            if epoch.epoch_id not in known.erased and known.number(epoch.epoch_id, epoch.header_bytes) is None:
                fresh.setdefault((epoch.agent_id, day), {})[epoch.epoch_id, epoch.header_bytes] = None
        for (agent_id, day), wanted in fresh.items():
            self._headers.add(agent_id, day, wanted)

    def _append(self, glanced: Sequence[tuple[SinkRecord, Glance]]) -> None:
        shelves: dict[Shelf, dict[bytes, list[Pieces]]] = {}
        for record, glance in glanced:
            epoch = glance.epoch
            day = day_of(epoch.created_ms)
            number = self._number(epoch, day)
            if number is None:
                log.info("record_of_erased_epoch_left_out", agent=glance.id.agent, day=day)
                continue
            shelf = self._shelf(glance.kind, day)
            if not shelf.claim(glance.id):
                self.duplicates += 1
                continue
            sealed = memoryview(record.value)[glance.record_at :]
            pieces = encode_entry(record, glance.id, glance.capture_ms, number, sealed)
            # An agent's records stand together, in their order: the index has one row for them.
            shelves.setdefault(shelf, {}).setdefault(epoch.agent_id, []).append(pieces)
        for shelf, agents in shelves.items():
            shelf.append([pieces for entries in agents.values() for pieces in entries])

    def _number(self, epoch: EpochHeader, day: str) -> int | None:
        """Which of its epoch's stored headers this one is; none when they were erased."""
        number = self._recent.get(epoch.header_bytes)
        if number is None:
            number = self._headers.day(epoch.agent_id, day).number(epoch.epoch_id, epoch.header_bytes)
            if number is None:
                return None
            self._recent[epoch.header_bytes] = number
            if len(self._recent) > RECENT_HEADERS:
                self._recent.popitem(last=False)
        return number

    def _shelf(self, kind: StreamKind, day: str) -> Shelf:
        shelf = self._shelves.get((kind, day))
        if shelf is None:
            shelf = Shelf(self._layout, kind, day, file_bytes=self._file_bytes)
            self._shelves[kind, day] = shelf
        shelf.used_s = self._clock()
        return shelf

    def _flush(self) -> None:
        for shelf in self._shelves.values():
            shelf.make_durable(fsync=self._fsync)
        self._retire()

    def _retire(self) -> None:
        by_age = sorted(self._shelves.items(), key=lambda item: item[1].used_s)
        too_many = max(0, len(by_age) - MAX_OPEN_SHELVES)
        for number, (key, shelf) in enumerate(by_age):
            if number < too_many or self._clock() - shelf.used_s > IDLE_S:
                shelf.seal()
                del self._shelves[key]

    def _forget(self) -> None:
        self._headers.forget()
        self._recent.clear()
        shelves, self._shelves = self._shelves, {}
        for shelf in shelves.values():
            try:
                shelf.close()
            except OSError as error:
                log.warning("archive_file_not_closed", day=shelf.day, reason=str(error))
        if self._follower is not None:
            self._follower.doubt()

    def _close(self) -> None:
        self._forget()
        self._owned = False
        self._held.close()
