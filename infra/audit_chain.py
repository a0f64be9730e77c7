"""The audit as a chain: each hash covers its entry and the hash before it. Checking it, and against its sources.

Never believes the database alone: what it says is compared with Kafka's topic, and with checkpoints kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from schemas.errors import ConfigError

FIRST_HASH = bytes(32)
FIELDS = ("actor", "action", "target", "purpose", "outcome")

Position = tuple[str, int, int]
"""Topic id, partition and offset: what makes an entry one and the same everywhere."""


class Link(NamedTuple):
    """A row of `audit_chain`."""

    number: int
    entry: str
    hash: bytes


class Checkpoint(NamedTuple):
    """The chain's state at a number, to be kept where who writes the database cannot."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The way back; raises `ConfigError`."""
        number, _, digest = text.strip().partition(":")
        try:
            found = cls(int(number), bytes.fromhex(digest))
        except ValueError:
            found = cls(0, b"")
        if found.number < 1 or len(found.hash) != len(FIRST_HASH):
            raise ConfigError(f"{text!r} is not a checkpoint: `sealstream audit checkpoint` prints one")
        return found


@dataclass(slots=True)
class Report:
    """What a check found."""

    entries: int = 0
    head: Checkpoint | None = None
    in_kafka: int = 0
    not_stored_yet: int = 0
    damage: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing was changed, removed or put in."""
        return not self.damage


def next_hash(before: bytes, entry: str) -> bytes:
    """The hash of an entry that follows one with the hash `before`."""
    return hashlib.sha256(before + entry.encode()).digest()


class ChainCheck:
    """Takes the links in the order of their numbers, then rows and records; `report` grows meanwhile."""

    def __init__(self, checkpoints: Iterable[Checkpoint] = ()) -> None:
        self.report = Report()
        self._checkpoints = {checkpoint.number: checkpoint.hash for checkpoint in checkpoints}
        self._hash = FIRST_HASH
        self._entries: dict[Position, dict[str, Any]] = {}

    def take_link(self, link: Link) -> None:
        """The next link of the chain."""
        report = self.report
        expected = report.entries + 1
        if link.number != expected:
            report.damage.append(f"entries {expected} to {link.number - 1} are missing from the chain")
        elif next_hash(self._hash, link.entry) != link.hash:
            report.damage.append(f"entry {link.number} was changed, or one before it: its hash does not fit")
        wanted = self._checkpoints.pop(link.number, link.hash)
        if wanted != link.hash:
            report.damage.append(f"the chain was rewritten: at {link.number} it is not what the checkpoint says")
        entry = json.loads(link.entry)
        position = position_of(entry)
        if position in self._entries:
            report.damage.append(f"entry {link.number} stands in the chain twice")
        self._entries[position] = entry
        report.entries, self._hash = link.number, link.hash
        report.head = Checkpoint(link.number, link.hash)

    def end_links(self) -> None:
        """There are no more: what a checkpoint knows beyond the end was cut off."""
        self.report.damage += [f"the chain was cut: it ends before {number}" for number in sorted(self._checkpoints)]

    def check_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The rows of `audit_entry`, all of them, as JSON objects."""
        missing = set(self._entries)
        for row in rows:
            position = position_of(row)
            missing.discard(position)
            chained = self._entries.get(position)
            if chained is None:
                self.report.damage.append(f"the row at {_where(position)} is not in the chain")
            elif any(row.get(name) != value for name, value in chained.items() if name != "happened_at"):
                self.report.damage.append(f"the row at {_where(position)} was changed")
            elif _moment(row) != _moment(chained):
                self.report.damage.append(f"the time of the row at {_where(position)} was changed")
        self.report.damage += [f"the row at {_where(position)} was removed" for position in sorted(missing)]

    def check_records(self, topic_id: str, records: Iterable[tuple[int, int, Mapping[str, Any] | None]]) -> None:
        """The records of Kafka's topic, all of them: partition, offset, entry (none for what is no entry)."""
        stored = {position for position in self._entries if position[0] == topic_id}
        newest = max((offset for _, _, offset in stored), default=-1)
        for partition, offset, record in records:
            self.report.in_kafka += 1
            position = (topic_id, partition, offset)
            stored.discard(position)
            chained = self._entries.get(position)
            if chained is None:
                if offset > newest:
                    self.report.not_stored_yet += 1
                elif record is not None:
                    self.report.damage.append(f"Kafka's entry at {_where(position)} is missing from the database")
            elif record is None or not _same(chained, record):
                self.report.damage.append(f"Kafka's entry at {_where(position)} is another than the database's")
        self.report.damage += [f"Kafka does not have the entry at {_where(position)}" for position in sorted(stored)]


def position_of(entry: Mapping[str, Any]) -> Position:
    """Where in Kafka an entry stands."""
    return str(entry.get("topic_id", "")), int(entry["kafka_partition"]), int(entry["kafka_offset"])


def _same(chained: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    texts = all(chained[name] == _kept(record[name]) for name in FIELDS)
    detail = {_kept(name): _kept(value) for name, value in record["detail"].items()}
    return texts and chained["detail"] == detail and _moment(chained) == record["time_ms"]


def _kept(text: str) -> str:
    """As the database keeps it: it has no zero characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _moment(entry: Mapping[str, Any]) -> int:
    return round(datetime.fromisoformat(entry["happened_at"]).timestamp() * 1000)


def _where(position: Position) -> str:
    return f"partition {position[1]}, offset {position[2]}"
