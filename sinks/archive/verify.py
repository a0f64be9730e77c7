"""Checks an archive: every byte, every chain of records, every header, and what is missing.

Never changes anything, and opens no envelope: it needs no key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas.envelope import (
    CORE_BYTES,
    RECORD_HEADER_BYTES,
    TAG_BYTES,
    first_hash,
    next_hash,
    parse_record_header,
)
from schemas.errors import ConfigError, MalformedError
from schemas.identity import agent_text
from sinks.archive.container import read_blocks
from sinks.archive.entry import Entry
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import OPEN_SUFFIX, Layout
from sinks.archive.marks import Marks
from sinks.archive.scan import map_file, parse_archive_header, read_entries


@dataclass(slots=True)
class Report:
    """What was found. `damage` and `duplicates` should be empty; `gaps` are records that never came."""

    files: int = 0
    records: int = 0
    bytes: int = 0
    erased: int = 0
    torn_bytes: int = 0
    damage: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything stored is as it was stored, once."""
        return not self.damage and not self.duplicates


def verify(root: Path) -> Iterator[tuple[Path, Report]]:
    """Checks file after file; yields the file just checked, and the one report that grows with each."""
    layout = Layout(root)
    check = _Verification(HeaderStore(layout))
    report = check.report
    for path in layout.all_files():
        check.check_file(layout, path)
        yield path, report
    report.gaps += list(check.find_gaps())


class _Verification:
    def __init__(self, headers: HeaderStore) -> None:
        self.report = Report()
        self._headers = headers
        self._marks = Marks()
        self._chains: dict[bytes, tuple[int, bytes]] = {}

    def check_file(self, layout: Layout, path: Path) -> None:
        name = layout.name(path)
        self.report.files += 1
        with map_file(path) as data:
            self.report.bytes += len(data)
            end = 0
            try:
                header = parse_archive_header(data)
                end = header.size
                for block in read_blocks(data, header):
                    for entry in read_entries(data, block):
                        self._check_entry(name, path.parent.name, entry)
                    end = block.next
            except ConfigError as error:
                self.report.damage.append(f"{name}: {error}")
            except MalformedError as error:
                if path.suffix == OPEN_SUFFIX:
                    self.report.torn_bytes += len(data) - end
                else:
                    self.report.damage.append(f"{name}: after byte {end}: {error}")

    def _check_entry(self, name: str, day: str, entry: Entry) -> None:
        self.report.records += 1
        key = entry.id.agent_id + entry.id.epoch_id
        if not self._marks.add(key, entry.id.sequence):
            self.report.duplicates.append(f"{name}: {entry.id} is stored twice")
        known = self._headers.day(entry.id.agent_id, day)
        headers = known.headers.get(entry.id.epoch_id, [])
        if entry.id.epoch_id in known.erased:
            self.report.erased += 1
        elif entry.header >= len(headers):
            self.report.damage.append(f"{name}: the epoch header of {entry.id} is missing")
        self._check_chain(name, key, entry, headers)

    def _check_chain(self, name: str, key: bytes, entry: Entry, headers: list[bytes]) -> None:
        """Each record names the hash of the one before it: nobody can change, swap or slip in one unnoticed."""
        sealed = bytes(entry.record)
        record = parse_record_header(sealed)
        expected, last_hash = self._chains.get(key, (-1, b""))
        if record.sequence == 0 and headers:
            expected, last_hash = 0, first_hash(headers[0][:CORE_BYTES])
        if record.sequence == expected and record.previous_hash != last_hash:
            self.report.damage.append(f"{name}: {entry.id} does not follow the record before it")
        if record.sequence != entry.id.sequence:
            self.report.damage.append(f"{name}: {entry.id} is filed under another sequence than its own")
        following = next_hash(record.previous_hash, sealed[:RECORD_HEADER_BYTES], sealed[-TAG_BYTES:])
        self._chains[key] = (record.sequence + 1, following)

    def find_gaps(self) -> Iterator[str]:
        for key in self._marks.keys():  # noqa: SIM118  # not a mapping
            expected = 0
            for first, last in self._marks.ranges(key):
                if first > expected:
                    yield f"agent {agent_text(key[:16])}, epoch {key[16:].hex()[:16]}…: {expected} to {first - 1}"
                expected = last + 1
