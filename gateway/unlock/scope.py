"""What an unlock is about: agents, streams, and from when until when.

Never wider than what was asked: whoever finds and opens checks each record against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import MalformedError
from schemas.identity import agent_bytes, agent_text
from schemas.kinds import StreamKind
from sinks.envelopes import MAX_TIME_MS

MAX_AGENTS = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """Agents by their 16-byte ids; captured from `since_ms` on and before `until_ms`."""

    agents: tuple[bytes, ...]
    kinds: tuple[StreamKind, ...]
    since_ms: int
    until_ms: int

    def __post_init__(self) -> None:
        if not 0 < len(self.agents) <= MAX_AGENTS or not self.kinds:
            raise MalformedError(f"an unlock names 1 to {MAX_AGENTS} agents, and streams", "bad_scope")
        if not 0 <= self.since_ms < self.until_ms <= MAX_TIME_MS:
            raise MalformedError("an unlock's time must begin before it ends", "bad_scope")

    def holds(self, capture_ms: int) -> bool:
        """Whether that time is within it."""
        return self.since_ms <= capture_ms < self.until_ms

    def to_json(self) -> dict[str, Any]:
        """As requests and the audit carry it."""
        return {
            "agents": [agent_text(agent) for agent in self.agents],
            "streams": [kind.label for kind in self.kinds],
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Scope:
        """The way back; raises `MalformedError` that says what is wrong."""
        agents, streams = body.get("agents"), body.get("streams")
        if not (_is_texts(agents) and _is_texts(streams)):
            raise MalformedError("agents and streams are lists of texts", "bad_scope")
        times = [body.get(name) for name in ("since_ms", "until_ms")]
        if not all(type(time) is int for time in times):
            raise MalformedError("since_ms and until_ms are milliseconds since 1970", "bad_scope")
        try:
            ids = tuple(dict.fromkeys(agent_bytes(agent) for agent in agents or ()))
        except ValueError:
            raise MalformedError("an agent's id is a UUID", "bad_scope") from None
        try:
            kinds = tuple(dict.fromkeys(StreamKind.from_label(label) for label in streams or ()))
        except ValueError as error:
            raise MalformedError(str(error), "bad_scope") from None
        if StreamKind.INDEX in kinds:
            raise MalformedError("the index has nothing to see: `sealstream search --unlock` uses it", "bad_scope")
        return cls(ids, kinds, times[0] or 0, times[1] or 0)

    def __str__(self) -> str:
        agents = ",".join(agent_text(agent) for agent in self.agents)
        return f"{agents} {','.join(kind.label for kind in self.kinds)}"


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
