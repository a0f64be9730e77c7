"""Reading an archive file by ranges: what stands near each other is read at once, and every read is counted.

Never reads the bytes between two ranges that are far apart, and never holds a file open between two reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from sinks.archive.layout import Layout

HOLE_BYTES = 256 * 1024
"""Bytes of others that are read along, rather than to read twice."""

MOST_BYTES = 16 * 1024 * 1024
"""Of one read, unless a single stretch is larger."""


class Stretch(NamedTuple):
    """Whole records that stand together in an archive file."""

    name: str
    start: int
    end: int

    @property
    def day(self) -> str:
        """The archive's day of the file."""
        return self.name.split("/")[-2]

    @property
    def kind(self) -> StreamKind:
        """The stream of the file."""
        return StreamKind.from_label(self.name.split("/")[-3])


class Range(NamedTuple):
    """What one read brings: stretches of one file, and the bytes from the first's start to the last's end."""

    stretches: tuple[Stretch, ...]

    @property
    def name(self) -> str:
        """The file."""
        return self.stretches[0].name

    @property
    def start(self) -> int:
        """Offset of the first byte."""
        return self.stretches[0].start

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return max(stretch.end for stretch in self.stretches)


class Portion(NamedTuple):
    """The bytes of one stretch, where they stand in the file."""

    stretch: Stretch
    data: memoryview


def join_ranges(stretches: Iterable[Stretch], hole: int = HOLE_BYTES, most: int = MOST_BYTES) -> Iterator[Range]:
    """The reads for `stretches`, by file and offset; those less than `hole` bytes apart come in one."""
    held: list[Stretch] = []
    for stretch in sorted(set(stretches)):
        if held and not (
            stretch.name == held[0].name
            and stretch.start - held[-1].end <= hole
            and stretch.end - held[0].start <= most
        ):
            yield Range(tuple(held))
            held = []
        held.append(stretch)
    if held:
        yield Range(tuple(held))


class RangeReader:
    """Reads ranges of one archive; `reads` and `read_bytes` say how many there were."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.reads = 0
        self.read_bytes = 0

    def portions(self, stretches: Iterable[Stretch]) -> Iterator[Portion]:
        """The bytes of each stretch, by file and offset; raises `MalformedError` for a damaged archive."""
        for one in join_ranges(stretches):
            data = memoryview(self._read(one))
            for stretch in one.stretches:
                yield Portion(stretch, data[stretch.start - one.start : stretch.end - one.start])

    def _read(self, one: Range) -> bytes:
        path = self._layout.find(one.name)
        if path is None:
            raise MalformedError(f"the archive file {one.name} is missing", "file_missing")
        size = one.end - one.start
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, size, one.start)
        finally:
            os.close(fd)
        self.reads += 1
        self.read_bytes += len(data)
        if len(data) < size:
            raise MalformedError(f"{path} is shorter than its index says: `sealstream archive reindex`", "cut")
        return data
