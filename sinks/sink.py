"""What a store must offer so that the consumer loop can fill it: four methods and their contract.

Never knows of offsets to commit, groups or rebalances: those are the loop's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas.errors import UnavailableError


class StandbyError(UnavailableError):
    """Another process fills the store, as it should: this one stands by, and takes over when that one has ended."""


class SinkRecord(NamedTuple):
    """One Kafka record as sinks see it. `topic` is without the deployment's prefix; a missing value is empty."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, near enough."""
        return len(self.value) + 200


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that the store can never take. `reason` is a fixed word; `detail` is for a person."""

    record: SinkRecord
    reason: str
    detail: str = ""


class Sink(Protocol):
    """A store that topics are written into. One task calls it, one call at a time.

    The contract, which `tests/sinks/contract.py` holds every sink to:

    1. After `write` and then `flush` have returned, every record of the batch is durable, or is among the rejects.
    2. Writing a record again, in any batch, in any order, after a restart, changes nothing.
    3. `UnavailableError` from any method: nothing is promised of this batch. The loop waits, then writes the same
       records again (fewer, when partitions were taken from it); what was stored already is stored once.
    4. One bad record rejects itself alone.
    5. A call may be cancelled at any await; that counts as `UnavailableError`.
    6. Any other exception is a mistake of ours: the process crashes in plain sight, and nothing is committed.
    """

    name: str
    """``disk``, ``postgresql``, ``elasticsearch``: names the consumer group, the role and the metrics."""

    topics: tuple[str, ...]
    """What it reads, without prefix."""

    async def open(self) -> None:
        """Connect and repair. Called until it succeeds, before the consumer joins its group."""

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """Hand the batch to the store; return what it can never take."""

    async def flush(self) -> None:
        """Return when everything written is durable."""

    async def close(self) -> None:
        """Let go of the store. Never raises for what is closed already."""
