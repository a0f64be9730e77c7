"""What a replay was asked to do: which records, through which processor.

Pure values. Never changes once a run has begun: resuming asks for the same again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.errors import ConfigError
from schemas.replays import REPLAYABLE
from schemas.topics import ENVELOPES
from streams.incoming import Incoming


@dataclass(frozen=True, slots=True)
class Request:
    """One topic's records from a time (inclusive, ms) to a time (exclusive), of all agents or of some.

    `offsets` gives ranges by partition instead of times: first and end, -1 for the partition's own end. `epochs` (hex)
    are those to process, of the archive; none means all.
    """

    topic: str
    processor: str = "mine"
    since_ms: int = 0
    until_ms: int | None = None
    agents: frozenset[str] = frozenset()
    offsets: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    from_archive: bool = False
    epochs: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise `ConfigError` for what cannot be done."""
        names = {topic.name for topic in ENVELOPES}
        if self.topic not in names:
            raise ConfigError(f"{self.topic!r} is no envelope topic; there are {', '.join(sorted(names))}")
        topics = REPLAYABLE.get(self.processor)
        if topics is None:
            raise ConfigError(f"no processor {self.processor!r} can be replayed; there are {', '.join(REPLAYABLE)}")
        if self.topic not in topics:
            raise ConfigError(f"{self.processor} does not read {self.topic}; it reads {', '.join(sorted(topics))}")
        if self.until_ms is not None and self.until_ms <= self.since_ms:
            raise ConfigError("--until is not after --since: the range is empty")
        if self.from_archive and self.offsets:
            raise ConfigError("--offset names Kafka's offsets; from the archive, choose by time")

    def wants(self, record: Incoming) -> bool:
        """Whether the record is asked for."""
        if self.agents and record.key.decode("utf-8", "replace") not in self.agents:
            return False
        if self.offsets:
            return True
        return self.since_ms <= record.timestamp_ms and (self.until_ms is None or record.timestamp_ms < self.until_ms)

    def to_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        offsets = {str(number): span for number, span in self.offsets.items()}
        return {**asdict(self), "agents": sorted(self.agents), "epochs": sorted(self.epochs), "offsets": offsets}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """The mirror image of `to_json`."""
        offsets = {int(number): (first, end) for number, (first, end) in data["offsets"].items()}
        agents, epochs = frozenset(data["agents"]), frozenset(data.get("epochs", ()))
        return cls(**{**data, "agents": agents, "epochs": epochs, "offsets": offsets})
