"""The identity of a record: what makes writing it twice the same as writing it once."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID


class EnvelopeId(NamedTuple):
    """Agent (16 bytes), epoch (32 bytes) and sequence within the epoch: unique for ever."""

    agent_id: bytes
    epoch_id: bytes
    sequence: int

    @property
    def agent(self) -> str:
        """The agent's UUID as text, as topics' records and stores carry it."""
        return agent_text(self.agent_id)

    def __str__(self) -> str:
        return f"{self.agent}/{self.epoch_id.hex()}/{self.sequence}"


def agent_text(agent_id: bytes) -> str:
    """The 16 bytes of an agent id as UUID text."""
    return str(UUID(bytes=agent_id))


def agent_bytes(agent: str) -> bytes:
    """UUID text as the 16 bytes that envelopes carry; raises `ValueError`."""
    return UUID(agent).bytes


def document_id(source: EnvelopeId, ordinal: int = 0) -> str:
    """The id of the `ordinal`-th document that the segment at `source` yields.

    Elasticsearch ids may be 512 bytes; this is at most 130 and sorts by agent.
    """
    return f"{source.agent}-{source.epoch_id.hex()[:32]}-{source.sequence:010d}-{ordinal}"
