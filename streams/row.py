"""One key's records: processed one after the other, while what came of earlier ones is on its way to Kafka.

Never begins a delivery before the one before it ended: one key's results arrive in order, whatever is sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.tracing import Span
from streams.incoming import Incoming
from streams.outgoing import Outgoing


@dataclass(frozen=True, slots=True)
class Made:
    """A record and what came of it, a dead letter perhaps."""

    record: Incoming
    results: Sequence[Outgoing] = ()
    span: Span | None = None
    """Of its trace, when that is sampled."""

    @property
    def bytes(self) -> int:
        """Size of what came of it."""
        return sum(len(result.value) for result in self.results)


class Work(Protocol):
    """What is done with records: `streams.body.Body`, or what a replay puts before one."""

    async def process(self, record: Incoming) -> Made:
        """What comes of the record; it is forgotten again when this is cancelled or raises."""
        ...

    async def deliver(self, made: Sequence[Made]) -> None:
        """Return when all is durable; all records are forgotten when this is cancelled or raises."""
        ...

    async def forget(self, made: Made) -> None:
        """What came of the record will not be delivered."""
        ...


@dataclass(slots=True)
class Row:
    """`waiting` to be processed, and `made` but not on its way yet."""

    waiting: deque[Incoming] = field(default_factory=deque)
    made: list[Made] = field(default_factory=list)
    processing: bool = False
    delivering: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing is done with it, or will be."""
        return not (self.processing or self.delivering)
