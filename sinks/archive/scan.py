"""Reading an archive file from front to back, in place.

Never reads past what is whole; who asks for a repair gets the torn tail cut off, and nothing else changed.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import ConfigError, MalformedError
from sinks.archive.container import Block, Buffer, FileHeader, encode_schema, parse_file_header, read_blocks
from sinks.archive.entry import SCHEMA, Entry, decode_entry
from sinks.archive.marks import Marks


def parse_archive_header(data: Buffer) -> FileHeader:
    """The header of an archive file; raises `ConfigError` when another release wrote it in another form."""
    header = parse_file_header(data)
    if header.metadata != {"avro.schema": encode_schema(SCHEMA), "avro.codec": b"null"}:
        raise ConfigError("an archive file has another form than this release writes")
    return header


@contextmanager
def map_file(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, without reading them; they stay mapped as long as a slice of them is kept."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        yield memoryview(mapped)


def read_entries(data: Buffer, block: Block, *, check: bool = True) -> Iterator[Entry]:
    """The entries of one block; raises `MalformedError`."""
    at, left = block.start, block.records
    while at < block.end and left:
        entry = decode_entry(data[: block.end], at, check=check)
        yield entry
        at, left = entry.end, left - 1
    if at != block.end or left:
        raise MalformedError("a block's records do not fill it", "bad_block")


def whole_length(data: Buffer, marks: Marks) -> tuple[int, bytes]:
    """How many bytes of a file that may be torn are whole, and its sync marker; fills `marks` with what it holds."""
    try:
        header = parse_archive_header(data)
    except MalformedError:
        return 0, b""
    end = header.size
    try:
        for block in read_blocks(data, header):
            for entry in list(read_entries(data, block)):
                marks.add(entry.id.agent_id + entry.id.epoch_id, entry.id.sequence)
            end = block.next
    except MalformedError:
        pass
    return end, header.sync


def find_behind_damage(data: Buffer, at: int, marks: Marks) -> list[Buffer]:
    """The blocks that stand whole somewhere behind `at`, where one does not; fills `marks` with what they hold.

    A write that was torn has none: what was written last is damaged then, and nothing follows it.
    """
    header = parse_archive_header(data)
    rest, found, start = bytes(data[at:]), [], at
    while (marker := rest.find(header.sync, start - at)) >= 0:
        start = at + marker + len(header.sync)
        try:
            for block in read_blocks(data, header, start):
                for entry in list(read_entries(data, block)):
                    marks.add(entry.id.agent_id + entry.id.epoch_id, entry.id.sequence)
                found.append(data[start : block.next])
                start = block.next
        except MalformedError:
            continue
    return found
