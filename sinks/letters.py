"""Dead letters as an operator sees them: which are open, which were settled, by whom.

Never removes one: that it was retried or dropped is an entry of the audit topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from schemas.records import Record

RETRY, DROP = "dead-letter retry", "dead-letter drop"
"""Actions in the audit topic that settle the dead letter that is their target."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One record that somebody gave up on. `id` is ``topic-partition-offset`` of where it stood."""

    id: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]
    time_ms: int
    stages: tuple[str, ...]
    reason: str
    detail: str
    settled: str = ""
    """``retried`` or ``dropped``, by whom; empty while it is open."""


@dataclass(slots=True)
class _Settlement:
    time_ms: int
    word: str


@dataclass(slots=True)
class Letters:
    """All dead letters, folded from the records of two topics in any order."""

    _letters: dict[str, Letter] = field(default_factory=dict)
    _settlements: dict[str, _Settlement] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """A `DeadLetter` record. The same record given up by several stages is one letter."""
        letter_id = f"{record['topic']}-{record['partition']}-{record['offset']}"
        before = self._letters.get(letter_id)
        stages = (*(before.stages if before else ()), record["stage"])
        self._letters[letter_id] = Letter(
            id=letter_id,
            topic=record["topic"],
            partition=record["partition"],
            offset=record["offset"],
            key=record["key"],
            value=record["value"] or (before.value if before else b""),
            headers=record["headers"],
            time_ms=max(record["time_ms"], before.time_ms if before else 0),
            stages=tuple(dict.fromkeys(stages)),
            reason=record["reason"],
            detail=record["detail"],
        )

    def settle(self, entry: Record) -> None:
        """An `AuditEntry` record; those of other actions change nothing."""
        word = {RETRY: "retried", DROP: "dropped"}.get(entry["action"])
        known = self._settlements.get(entry["target"])
        if word and entry["outcome"] == "done" and (known is None or known.time_ms <= entry["time_ms"]):
            self._settlements[entry["target"]] = _Settlement(entry["time_ms"], f"{word} by {entry['actor']}")

    def all(self) -> Iterable[Letter]:
        """Every letter, oldest first, with how it was settled: one that came again after that is open again."""
        for letter in sorted(self._letters.values(), key=lambda letter: (letter.time_ms, letter.id)):
            settled = self._settlements.get(letter.id)
            over = settled is not None and settled.time_ms >= letter.time_ms
            yield replace(letter, settled=settled.word) if settled and over else letter

    def open(self) -> list[Letter]:
        """Those that nobody has settled."""
        return [letter for letter in self.all() if not letter.settled]

    def find(self, letter_id: str) -> Letter | None:
        """The letter of that id."""
        return next((letter for letter in self.all() if letter.id == letter_id), None)
