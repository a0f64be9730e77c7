"""A segment as miners see it: opened, joined of its parts, decoded.

Never outlives the record that it came from: plaintext is kept nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.identity import EnvelopeId, document_id
from schemas.kinds import StreamKind
from schemas.records import Record


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive events of one stream of one agent. `id` is that of its first part."""

    id: EnvelopeId
    kind: StreamKind
    events: Sequence[Record]
    user: str = ""
    computer: str = ""

    def document(self, kind: str, *, source: EnvelopeId | None = None, ordinal: int = 0, **fields: Any) -> Record:
        """A `Document` record of this version of this segment's stream; `source` is where its text began."""
        source = source or self.id
        return {
            "document_id": document_id(source, ordinal),
            "version": self.id.sequence,
            "agent_id": source.agent,
            "epoch_id": source.epoch_id.hex(),
            "sequence": source.sequence,
            "stream": self.kind.label,
            "kind": kind,
            "user": self.user,
            "computer": self.computer,
            **fields,
        }
