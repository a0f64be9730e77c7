"""Where rejects are kept: the dead-letters topic, each with its whole record and why.

Never returns before all in-sync replicas have every one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiokafka.errors import KafkaError

from schemas.dead_letter import dead_letter_record
from schemas.errors import UnavailableError
from schemas.records import Record, encode_record
from sinks.sink import Reject

_TIMEOUT_S = 60.0


class Producer(Protocol):
    """What is needed of a producer; aiokafka's has it."""

    async def send(self, topic: str, value: bytes, key: bytes) -> Any:
        """Returns an awaitable that is done when all in-sync replicas have the record."""


class KafkaDeadLetters:
    """Publishes rejects to the topic `topic` (with its prefix)."""

    def __init__(self, producer: Producer, topic: str, clock_ms: Callable[[], int]) -> None:
        self._producer, self._topic, self._clock_ms = producer, topic, clock_ms

    async def put(self, rejects: Sequence[Reject], stage: str) -> None:
        """Publish all of them; raises `UnavailableError`, then some may be there twice: readers go by their id."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                sent = [
                    await self._producer.send(
                        self._topic,
                        value=encode_record("dead_letter", dead_letter(reject, stage, self._clock_ms())),
                        key=reject.record.topic.encode(),
                    )
                    for reject in rejects
                ]
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            raise UnavailableError(f"Kafka takes no dead letters: {type(error).__name__}") from error


def dead_letter(reject: Reject, stage: str, time_ms: int) -> Record:
    """The `DeadLetter` record of a reject."""
    record = reject.record
    return dead_letter_record(
        (record.topic, record.partition, record.offset),
        record.key,
        record.value,
        {name: value or b"" for name, value in record.headers},
        stage=stage,
        reason=reject.reason,
        detail=reject.detail,
        time_ms=time_ms,
    )
