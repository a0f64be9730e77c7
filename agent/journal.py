"""The form of the spool on disk: entries one after the other, each saying what would be lost with it.

Never trusts what it reads: a header and its envelope have a checksum each, and what fails one is damage.

Entry, big-endian: magic ``SJE1`` (4), length of the envelope (4), number (8), appended ms (8), first and last event us
(8, 8), sequence (8), stream kind (1), epoch id (32), CRC-32 of the envelope (4), CRC-32 of all that (4), envelope.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from agent.gap import Mark
from schemas.kinds import StreamKind

MAGIC = b"SJE1"
MAX_ENTRY_BYTES = 16 * 1024 * 1024

_HEAD = Struct(">4sIQQQQQB32sI")
_CRC = Struct(">I")
HEAD_BYTES = _HEAD.size + _CRC.size
_KINDS = {int(kind): kind for kind in StreamKind}


class EntryHead(NamedTuple):
    """What is known of an entry without its envelope. `length` is the envelope's, bytes."""

    number: int
    length: int
    appended_ms: int
    mark: Mark
    crc: int

    @property
    def size(self) -> int:
        """Bytes of the whole entry."""
        return HEAD_BYTES + self.length


class Entry(NamedTuple):
    """A whole entry at offset `at` of its file."""

    at: int
    head: EntryHead
    envelope: memoryview


class Damage(NamedTuple):
    """Bytes `at` to `end` of a file that are no entry. `heads` are those of damaged envelopes, where they survived."""

    at: int
    end: int
    heads: tuple[EntryHead, ...]


def build_entry(number: int, appended_ms: int, mark: Mark, envelope: bytes) -> bytes:
    """The entry's bytes."""
    head = _HEAD.pack(
        MAGIC,
        len(envelope),
        number,
        appended_ms,
        mark.from_us,
        mark.until_us,
        mark.sequence,
        mark.kind,
        mark.epoch_id,
        zlib.crc32(envelope),
    )
    return b"".join((head, _CRC.pack(zlib.crc32(head)), envelope))


def parse_head(data: bytes | memoryview, at: int = 0) -> EntryHead | None:
    """The head of the entry at offset `at`, or `None` when there is none."""
    if len(data) < at + HEAD_BYTES:
        return None
    magic, length, number, appended_ms, from_us, until_us, sequence, kind, epoch_id, crc = _HEAD.unpack_from(data, at)
    if magic != MAGIC or length > MAX_ENTRY_BYTES or kind not in _KINDS:
        return None
    if _CRC.unpack_from(data, at + _HEAD.size)[0] != zlib.crc32(data[at : at + _HEAD.size]):
        return None
    return EntryHead(number, length, appended_ms, Mark(_KINDS[kind], epoch_id, sequence, from_us, until_us), crc)


def parse_envelope(head: EntryHead, data: bytes | memoryview, at: int) -> memoryview | None:
    """The envelope of the entry at offset `at`, or `None` when it is cut or damaged."""
    envelope = memoryview(data)[at + HEAD_BYTES : at + head.size]
    return envelope if len(envelope) == head.length and zlib.crc32(envelope) == head.crc else None


def scan(data: bytes) -> Iterator[Entry | Damage]:
    """Every entry of a file, and the damage between them: together they cover all of `data`, in order."""
    at = damaged_at = 0
    heads: list[EntryHead] = []
    while at < len(data):
        head = parse_head(data, at)
        envelope = parse_envelope(head, data, at) if head else None
        if head is None or envelope is None:
            if head is not None:
                heads.append(head)
            found = data.find(MAGIC, at + 1)
            at = found if found >= 0 else len(data)
            continue
        if damaged_at < at:
            yield Damage(damaged_at, at, tuple(heads))
        yield Entry(at, head, envelope)
        at = damaged_at = at + head.size
        heads = []
    if damaged_at < at:
        yield Damage(damaged_at, at, tuple(heads))
