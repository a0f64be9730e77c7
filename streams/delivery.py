"""Delivering records: idempotent producer, all in-sync replicas, and back only when they are durable.

Never returns before every record's delivery was confirmed, and never drops one in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import structlog
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RequestTimedOutError,
)
from aiokafka.partitioner import murmur2

from schemas.errors import LocalError, MalformedError
from streams.backoff import Backoff
from streams.outgoing import Outgoing

log = structlog.get_logger(__name__)

BATCHED: Mapping[str, int] = {"max_batch_size": 256 * 1024, "linger_ms": 2}
"""How a worker's producer gathers records: far above aiokafka's 16 kB, below what topics take of a batch."""


class Producer(Protocol):
    """What is used of a Kafka producer. The second await is the one that knows."""

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, **others: Any
    ) -> Awaitable[Any]:
        """Queue a record; the result resolves when it is delivered."""
        ...


class KeyPartitioner:
    """Kafka's default partition of a key, remembered: working it out in Python costs more than all else in sending."""

    def __init__(self, cache_size: int = 65_536) -> None:
        self._hash = lru_cache(cache_size)(murmur2)

    def __call__(self, key: bytes, all_partitions: Sequence[int], available: Sequence[int]) -> int:
        """As aiokafka calls it; every record of ours has a key."""
        del available
        hashed: int = self._hash(key)
        return all_partitions[(hashed & 0x7FFFFFFF) % len(all_partitions)]


class Delivery:
    """Sends processors' results to the topics with the deployment's `prefix`."""

    def __init__(self, producer: Producer, prefix: str = "", backoff: Backoff | None = None) -> None:
        self._producer = producer
        self._prefix = prefix
        self._backoff = backoff or Backoff()
        self.delivered = 0
        self.waiting = False

    async def deliver(self, records: Sequence[Outgoing]) -> None:
        """Return when all are in Kafka, however long the broker is away.

        What fails is sent again with all that follows it, so that the last word of each key is the newest.
        Raises `MalformedError` for one that no broker would take, `LocalError` when the producer is past use.
        """
        attempt = 0
        while records:
            errors = await self._send(records)
            failed = [(index, error) for index, error in enumerate(errors) if error is not None]
            for _, error in failed:
                _raise_unless_passing(error)
            first = failed[0][0] if failed else len(records)
            self.delivered += first
            records = records[first:]
            self.waiting = bool(records)
            if records:
                attempt += 1
                log.warning("delivery_waits", records=len(records), attempt=attempt, error=type(failed[0][1]).__name__)
                await self._backoff.wait(attempt)

    async def _send(self, records: Sequence[Outgoing]) -> list[BaseException | None]:
        """Queue all in order, then wait for all; what each one failed of. Nothing is queued behind a failure."""
        deliveries: list[Awaitable[Any]] = []
        refused: BaseException | None = None
        try:
            for record in records:
                topic = self._prefix + record.topic
                others = {"headers": list(record.headers)} if record.headers else {}
                deliveries.append(await self._producer.send(topic, value=record.value, key=record.key, **others))
        except KafkaError as error:
            refused = error
        outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
        errors = [outcome if isinstance(outcome, BaseException) else None for outcome in outcomes]
        return errors if refused is None else [*errors, refused]


def _raise_unless_passing(error: BaseException) -> None:
    if isinstance(error, MessageSizeTooLargeError):
        raise MalformedError("a result is larger than its topic takes", "result_too_large") from None
    if isinstance(error, (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError)):
        return
    if isinstance(error, KafkaError) and error.retriable:
        return
    if isinstance(error, KafkaError):
        raise LocalError(f"the producer cannot go on: {type(error).__name__}") from error
    raise error
