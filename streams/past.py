"""Reading back: records of one partition between two offsets, outside any consumer group.

Never moves a group's offsets, and never waits for records that are not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.errors import UnavailableError
from streams.incoming import Incoming, Partition, incoming

PATIENCE_MS = 30_000
_POLL_MS = 1_000


class Past(Protocol):
    """What lies before a record."""

    async def offset_at(self, place: Partition, time_ms: int) -> int | None:
        """The first offset at or after a time; `None` when all records are older."""
        ...

    def read(self, place: Partition, start: int, end: int, key: bytes | None = None) -> AsyncIterator[Incoming]:
        """Records from `start` to before `end`, of one key or of all."""
        ...


class KafkaPast:
    """Reads back with a consumer of its own, made by `make` for each reading, and one for all questions of time."""

    def __init__(self, make: Callable[[], Any], prefix: str = "") -> None:
        self._make = make
        self._prefix = prefix
        self._asking: Any = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Let go of what was connected."""
        asking, self._asking = self._asking, None
        if asking is not None:
            await asking.stop()

    async def offset_at(self, place: Partition, time_ms: int) -> int | None:
        """As `Past` says; raises `UnavailableError`."""
        at = TopicPartition(self._prefix + place.topic, place.number)
        async with self._turn:
            try:
                asking = self._asking = self._asking or await self._connected()
                found = (await asking.offsets_for_times({at: max(0, time_ms)}))[at]
            except KafkaError as error:
                await self.close()
                raise UnavailableError(f"reading back {place.topic}/{place.number}: {type(error).__name__}") from error
        return None if found is None else int(found.offset)

    async def _connected(self) -> Any:
        consumer = self._make()
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def read(self, place: Partition, start: int, end: int, key: bytes | None = None) -> AsyncIterator[Incoming]:
        """As `Past` says; raises `UnavailableError`."""
        at = TopicPartition(self._prefix + place.topic, place.number)
        consumer = self._make()
        idle_ms = 0
        try:
            await consumer.start()
            consumer.assign([at])
            consumer.seek(at, start)
            while await consumer.position(at) < end:
                records = (await consumer.getmany(at, timeout_ms=_POLL_MS)).get(at, [])
                idle_ms = 0 if records else idle_ms + _POLL_MS
                if idle_ms >= PATIENCE_MS:
                    raise UnavailableError(f"reading back {place.topic}/{place.number} comes no further")
                for record in records:
                    if record.offset < end and (key is None or record.key == key):
                        yield incoming(record, self._prefix)
        except KafkaError as error:
            raise UnavailableError(f"reading back {place.topic}/{place.number}: {type(error).__name__}") from error
        finally:
            await consumer.stop()


class NoPast:
    """A past that holds nothing, for records that come with theirs."""

    async def offset_at(self, place: Partition, time_ms: int) -> int | None:  # noqa: ARG002 - `Past`'s signature
        """As `Past` says."""
        return None

    async def read(
        self,
        place: Partition,  # noqa: ARG002
        start: int,  # noqa: ARG002
        end: int,  # noqa: ARG002
        key: bytes | None = None,  # noqa: ARG002
    ) -> AsyncIterator[Incoming]:
        """As `Past` says."""
        nothing: tuple[Incoming, ...] = ()
        for record in nothing:
            yield record
