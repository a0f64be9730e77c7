"""One growing archive file: appended to with `writev`, made durable, and sealed by a rename.

Never leaves a block half-written behind: what could not be written whole is cut off again at the next opening.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from infra.files import sync_directory, write_all, write_whole
from sinks.archive.container import SYNC_BYTES, build_file_header, encode_long
from sinks.archive.entry import SCHEMA
from sinks.archive.layout import MARKS_SUFFIX, OPEN_SUFFIX, make_directory
from sinks.archive.marks import Marks
from sinks.archive.scan import find_behind_damage, map_file, whole_length

log = structlog.get_logger(__name__)

BLOCK_BYTES = 4 * 1024 * 1024
_PIECES_PER_WRITE = 1020
_JOIN_BELOW_BYTES = 2048

Pieces = tuple[bytes, memoryview, bytes]


class GrowingFile:
    """A file that is being written; `marks` says what it holds. After any `OSError`: close it, and open it again."""

    def __init__(self, path: Path, fd: int, sync: bytes, size: int, marks: Marks) -> None:
        self.path = path
        self.marks = marks
        self.size = self.durable = size
        self._fd, self._sync = fd, sync

    @classmethod
    def create(cls, path: Path) -> GrowingFile:
        """A new file; `path` is the name that it will have when it is sealed."""
        make_directory(path.parent)
        sync = os.urandom(SYNC_BYTES)
        header = build_file_header(SCHEMA, sync)
        grows = path.with_name(path.name + OPEN_SUFFIX)
        write_whole(grows, header)
        fd = os.open(grows, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return cls(path, fd, sync, len(header), Marks())

    @classmethod
    def reopen(cls, grows: Path) -> GrowingFile:
        """A file that was not sealed: cut what is torn, make the rest durable, go on.

        Only a tail is cut. Damage with whole blocks behind it, which were durable once, is set aside.
        """
        marks = Marks()
        with map_file(grows) as data:
            end, sync = whole_length(data, marks)
            torn = len(data) - end
            behind = find_behind_damage(data, end, marks) if end and torn else []
            if behind:
                write_whole(grows.with_name(f"{grows.name}.{end}.damaged"), bytes(data[end:]))
                write_whole(grows, b"".join((data[:end], *behind)))
                rescued = sum(map(len, behind))
                log.error("archive_file_damaged", file=grows.name, at=end, lost_bytes=torn - rescued)
                end, torn = end + rescued, 0
        path = grows.with_name(grows.name.removesuffix(OPEN_SUFFIX))
        if not end:
            log.warning("archive_file_without_header", file=path.name, torn_bytes=torn)
            grows.unlink()
            return cls.create(path)
        fd = os.open(grows, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if torn:
            log.warning("torn_tail_cut", file=path.name, torn_bytes=torn, kept_bytes=end)
            os.ftruncate(fd, end)
        os.fsync(fd)
        return cls(path, fd, sync, end, marks)

    def append(self, entries: Iterable[Pieces]) -> None:
        """Write entries in blocks of about `BLOCK_BYTES`. They are durable only after `make_durable`."""
        pieces: list[bytes | memoryview] = []
        size = records = 0
        for entry in entries:
            pieces += entry
            size += len(entry[0]) + len(entry[1]) + len(entry[2])
            records += 1
            if size >= BLOCK_BYTES:
                self._write_block(pieces, size, records)
                pieces, size, records = [], 0, 0
        if records:
            self._write_block(pieces, size, records)

    def _write_block(self, pieces: list[bytes | memoryview], size: int, records: int) -> None:
        block = [encode_long(records) + encode_long(size), *pieces, self._sync]
        if size < _JOIN_BELOW_BYTES * len(pieces):
            block = [b"".join(block)]
        self.size += write_pieces(self._fd, block)

    def make_durable(self, *, fsync: bool = True) -> None:
        """Return when everything written is on the disk."""
        if self.size == self.durable:
            return
        if fsync:
            os.fdatasync(self._fd)
        self.durable = self.size

    def seal(self) -> None:
        """Give the file its name for good: it never changes again. Must be durable."""
        grows = self.path.with_name(self.path.name + OPEN_SUFFIX)
        write_whole(self.path.with_name(self.path.name + MARKS_SUFFIX), self.marks.encode())
        os.fsync(self._fd)
        grows.rename(self.path)
        sync_directory(self.path.parent)
        self.close()

    def close(self) -> None:
        """Let go of the file; what was not durable is cut off if that is possible."""
        if self._fd < 0:
            return
        try:
            if self.size != self.durable:
                os.ftruncate(self._fd, self.durable)
        finally:
            os.close(self._fd)
            self._fd = -1


def write_pieces(fd: int, pieces: Sequence[bytes | memoryview]) -> int:
    """Write all pieces one after the other with as few calls as may be; how many bytes that were."""
    total = 0
    for first in range(0, len(pieces), _PIECES_PER_WRITE):
        some = pieces[first : first + _PIECES_PER_WRITE]
        wanted = sum(map(len, some))
        written = os.writev(fd, some)
        if written < wanted:  # a full disk, or a signal: the rest tells which
            write_all(fd, memoryview(b"".join(some))[written:])
        total += wanted
    return total
