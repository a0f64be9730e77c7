"""What the gateway asks of a reader: a job, whose recordings, of what time, and where in the archive they stand.

Never wider than what a person was allowed: the gateway makes it, and the reader checks each record against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from schemas.kinds import StreamKind
from sinks.archive.ranges import Stretch


class Job(StrEnum):
    """What is to be done."""

    SEGMENTS = "segments"
    """Segments in plaintext, and what is end to end as it is."""
    ENVELOPES = "envelopes"
    """Envelopes as they are."""
    FRAME = "frame"
    """One picture of a display."""
    TEXT = "text"
    """Everything that can be read, as lines of text."""
    ACTIVITY = "activity"
    """Spans of what was in front."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. Agents by their 16-byte ids; captured from `since_ms` on and before `until_ms`."""

    job: Job
    agents: tuple[bytes, ...]
    kinds: tuple[StreamKind, ...]
    since_ms: int
    until_ms: int
    near: tuple[Stretch, ...] = ()
    """Where what is asked for stands, and of screens what it builds on in all likelihood."""
    far: tuple[Stretch, ...] = ()
    """Of screens: where the rest of what it may build on stands."""
    days: tuple[str, ...] = ()
    """The archive's days on which there may be more than the index knows."""
    indexed: Mapping[str, int] = field(default_factory=dict)
    """Of the files of these days: how many bytes the index knows."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, capture_ms: int) -> bool:
        """Whether that time is asked for."""
        return self.since_ms <= capture_ms < self.until_ms

    def places(self, kind: StreamKind, *, far: bool = False) -> list[Stretch]:
        """The stretches of one stream."""
        return [one for one in (self.far if far else self.near) if one.kind is kind]

    def with_options(self, **options: Any) -> Ask:
        """The same with other options."""
        return replace(self, options={**self.options, **options})

    def to_json(self) -> dict[str, Any]:
        """As it goes to a reader."""
        return {
            "job": self.job.value,
            "agents": [agent.hex() for agent in self.agents],
            "kinds": [int(kind) for kind in self.kinds],
            "times": [self.since_ms, self.until_ms],
            "near": _pack(self.near),
            "far": _pack(self.far),
            "days": list(self.days),
            "indexed": dict(self.indexed),
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Ask:
        """The way back."""
        since_ms, until_ms = body["times"]
        return cls(
            Job(body["job"]),
            tuple(bytes.fromhex(agent) for agent in body["agents"]),
            tuple(StreamKind(kind) for kind in body["kinds"]),
            since_ms,
            until_ms,
            _unpack(body["near"]),
            _unpack(body["far"]),
            tuple(body["days"]),
            body["indexed"],
            body["options"],
        )


def _pack(stretches: Iterable[Stretch]) -> list[list[Any]]:
    """Of each file its name, and offset and length of each stretch: there may be tens of thousands."""
    packed: dict[str, list[Any]] = {}
    for one in stretches:
        packed.setdefault(one.name, [one.name]).extend((one.start, one.end - one.start))
    return list(packed.values())


def _unpack(packed: Iterable[Sequence[Any]]) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(name, start, start + length)
        for name, *numbers in packed
        for start, length in zip(numbers[::2], numbers[1::2], strict=True)
    )
