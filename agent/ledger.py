"""What a spool knows beside its envelopes: how far they were released, where each stream stands, gaps that it owes.

Never believed blindly: it has a checksum; without it the journal must do (envelopes come twice, none is lost).
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.gap import Gap, Mark, merge_gaps
from infra.files import write_whole
from schemas.kinds import StreamKind

MAX_OWED = 200
"""More gaps than this are told as fewer: one for each stream and reason."""


@dataclass(slots=True)
class Ledger:
    """The state of a spool. `head` is the number of the first envelope that is not released."""

    head: int = 0
    clean: bool = True
    """Whether the agent ended by itself, with everything durable."""
    recording: frozenset[str] = frozenset()
    since_us: int = 0
    """Since when these streams are recorded, microseconds."""
    marks: dict[StreamKind, Mark] = field(default_factory=dict)
    """The last durable envelope of each stream."""
    owed: dict[int, Gap] = field(default_factory=dict)
    next_owed: int = 1

    def owe(self, gap: Gap) -> None:
        """Remember `gap`; merges when there are too many."""
        self.owed[self.next_owed] = gap
        self.next_owed += 1
        if len(self.owed) > MAX_OWED:
            merged = merge_gaps(self.owed.values())
            self.owed = dict(enumerate(merged, self.next_owed))
            self.next_owed += len(merged)

    def to_bytes(self) -> bytes:
        """A line of JSON and a line with its CRC-32, for people to read and for us to check."""
        body: dict[str, Any] = {
            "head": self.head,
            "clean": self.clean,
            "recording": sorted(self.recording),
            "since_us": self.since_us,
            "marks": {mark.kind.label: [mark.epoch_id.hex(), *mark[2:]] for mark in self.marks.values()},
            "owed": [gap.to_json() for gap in self.owed.values()],
        }
        text = json.dumps(body).encode()
        return text + f"\n{zlib.crc32(text):08x}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Ledger | None:
        """The ledger that `to_bytes` wrote, or `None` when these are not its bytes."""
        text, _, crc = data.rstrip(b"\n").rpartition(b"\n")
        if crc != f"{zlib.crc32(text):08x}".encode():
            return None
        try:
            body = json.loads(text)
            marks = {(kind := StreamKind.from_label(label)): _mark(kind, row) for label, row in body["marks"].items()}
            owed = {number: Gap.from_json(gap) for number, gap in enumerate(body["owed"], 1)}
            recording = frozenset(body["recording"]), int(body["since_us"])
            return cls(int(body["head"]), bool(body["clean"]), *recording, marks, owed, len(owed) + 1)
        except (ValueError, KeyError, TypeError):
            return None  # another release's ledger

    def write(self, path: Path, *, durable: bool) -> None:
        """Replace the file at `path`."""
        write_whole(path, self.to_bytes(), durable=durable)


def _mark(kind: StreamKind, row: list[Any]) -> Mark:
    epoch_id, sequence, from_us, until_us = row
    return Mark(kind, bytes.fromhex(epoch_id), int(sequence), int(from_us), int(until_us))
