"""One file of the spool's journal: what it holds, and how it is read back.

Never changes a byte that is durable: a volume only grows, is cut where a write failed, or goes as a whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from agent.journal import HEAD_BYTES, EntryHead, parse_envelope, parse_head
from infra.files import sync_directory, write_all

log = structlog.get_logger()

SUFFIX = ".journal"
READ_BYTES = 256 * 1024


class DamagedError(Exception):
    """The bytes at this place of a volume are not the entry that was written there."""


@dataclass(slots=True)
class Volume:
    """A journal file with the entries `first` to `next - 1`; `size` durable bytes."""

    path: Path
    first: int
    next: int
    size: int = 0
    oldest_ms: int | None = None
    newest_ms: int = 0
    _descriptor: int | None = field(default=None, repr=False)

    @classmethod
    def at(cls, path: Path) -> Volume:
        """The volume of that file, of which nothing is known yet."""
        return cls(path, int(path.stem), int(path.stem))

    @classmethod
    def create(cls, directory: Path, first: int) -> Volume:
        """A new, empty volume, open for appending."""
        path = directory / f"{first:020d}{SUFFIX}"
        volume = cls(path, first, first)
        volume._open(os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        sync_directory(directory)
        return volume

    def count(self, heads: list[EntryHead]) -> None:
        """Entries with these heads are durable at the end of the volume now."""
        for head in heads:
            self.size += head.size
            self.next = head.number + 1
            self.newest_ms = head.appended_ms
            self.oldest_ms = head.appended_ms if self.oldest_ms is None else self.oldest_ms

    def write(self, data: bytes) -> None:
        """Append and sync; after an `OSError` the volume is as it was."""
        descriptor = self._open(os.O_RDWR)
        os.lseek(descriptor, self.size, os.SEEK_SET)
        try:
            write_all(descriptor, data)
            os.fdatasync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # what stays is cut by the next write, or is damage that nobody counts
                os.ftruncate(descriptor, self.size)
            raise

    def read(self, at: int, max_bytes: int) -> list[tuple[EntryHead, bytes]]:
        """Entries from offset `at` on whose envelopes are at most `max_bytes` together.

        Raises `DamagedError` when the first of them is not what was written.
        """
        taken: list[tuple[EntryHead, bytes]] = []
        try:
            for head, envelope in self._entries(at):
                max_bytes -= head.length
                if max_bytes < 0:
                    break
                taken.append((head, envelope))
        except DamagedError:
            if not taken:
                raise
        return taken

    def find(self, number: int) -> int:
        """Offset of the first entry whose number is at least `number`; damage ends the search, for `read` to tell."""
        at = 0
        while at < self.size:
            try:
                head = parse_head(self._pread(at, HEAD_BYTES))
            except DamagedError:
                break
            if head is None or head.number >= number:
                break
            at += head.size
        return at

    def _entries(self, at: int) -> Iterator[tuple[EntryHead, bytes]]:
        data, begin = b"", at
        while at < self.size:
            head = parse_head(data, at - begin)
            if head is None or at - begin + head.size > len(data):
                data, begin = self._pread(at, max(READ_BYTES, head.size if head else HEAD_BYTES)), at
                head = parse_head(data)
                if head is not None and head.size > len(data):
                    data = self._pread(at, head.size)
            envelope = parse_envelope(head, data, at - begin) if head else None
            if head is None or envelope is None:
                raise DamagedError(f"{self.path.name} at {at}")
            yield head, bytes(envelope)
            at += head.size

    def _pread(self, at: int, length: int) -> bytes:
        try:
            return os.pread(self._open(os.O_RDWR), min(length, self.size - at), at)
        except OSError as error:
            raise DamagedError(f"{self.path.name}: {error.strerror}") from None

    def _open(self, flags: int) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self.path, flags | os.O_CLOEXEC, 0o600)
        return self._descriptor

    def close(self) -> None:
        """Let the file go; it opens again by itself when it is needed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Delete the file; one that stays is known as released by the ledger."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("spool_volume_stays", file=self.path.name, reason=error.strerror)
