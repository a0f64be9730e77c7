"""What a processor is to the lane that feeds it: a function of records with a memory that can be thrown away.

A processor never sends, commits or sleeps on a dependency by itself: it returns or raises, and its lane does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streams.incoming import Incoming, Partition
from streams.outgoing import Outgoing


class PoisonError(Exception):
    """A record ended the process that read it; trying again a few times tells whether it was the record."""


class Processor(Protocol):
    """Makes results of records, one key's in order.

    `process` raises `RemoteError` for a record that can never be processed, `UnavailableError` to be asked again
    when a dependency is back, `PoisonError` to be asked again a few times.
    """

    stage: str

    async def begin(self, place: Partition, next_offset: int) -> None:
        """A partition comes: the next record will be the one at `next_offset`, or after it."""
        ...

    def end(self, place: Partition, next_offset: int) -> None:
        """A partition goes; all records below `next_offset` are settled."""
        ...

    async def process(self, record: Incoming) -> Sequence[Outgoing]:
        """What comes of the record."""
        ...

    async def forget(self, record: Incoming) -> None:
        """The record's results may not have been delivered: remember nothing that it changed."""
        ...


class Stateless:
    """The part of a processor that remembers nothing between records."""

    async def begin(self, place: Partition, next_offset: int) -> None:
        """Nothing to prepare."""

    def end(self, place: Partition, next_offset: int) -> None:
        """Nothing to keep."""

    async def forget(self, record: Incoming) -> None:
        """Nothing to forget."""
