"""What the gateway needs of Kafka: publish a record, and be told once what became of it.

Never settles a record as delivered before all in-sync replicas have it. `gateway.kafka` is the real one,
`gateway.memory` its sibling for tests; one contract suite holds them together.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

Headers = list[tuple[str, bytes]]


class Outcome(StrEnum):
    """What became of a record."""

    DELIVERED = "delivered"
    """All in-sync replicas have it."""

    REFUSED = "refused"
    """The broker can never take this record (too large): publishing it again is useless."""

    FAILED = "failed"
    """It may or may not be there: whoever published it must not acknowledge it, and may publish it again."""


Settle = Callable[[Outcome], None]


class Publisher(Protocol):
    """Publishes records; every call below is made on the event loop, and none of them blocks it."""

    @property
    def outstanding(self) -> int:
        """Records that are published and not settled."""

    @property
    def unacked_s(self) -> float:
        """For how many seconds the oldest of them has been so; 0 where there is none."""

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers, settle: Settle) -> None:
        """Begin to publish; `settle` is called exactly once, later, on the event loop.

        Records of one topic and key are stored in the order of the calls. `topic` carries no prefix.
        """

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is outstanding; whether that was so within the time."""

    async def check(self) -> str:
        """Why records cannot be stored now, in words for a person; empty when they can."""

    async def close(self) -> None:
        """Give up what is outstanding (settled as failed) and let go of the connection."""
