"""The body of a processor: process a record, deliver what came of it, and only then be done with it.

Lets nothing escape but what the worker must crash of: what escapes a Faust body, or is cancelled there, is lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from infra.lifecycle import wall_clock_ms
from infra.tracing import TRACEPARENT, Span, Tracing
from schemas.errors import MalformedError, RemoteError, UnavailableError
from streams.backoff import Backoff
from streams.delivery import Delivery
from streams.incoming import Incoming
from streams.outgoing import Outgoing, dead_letter, reason_of
from streams.processor import PoisonError, Processor
from streams.row import Made

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How patient a body is with one record."""

    attempts: int = 3
    """How often a record may end its reader, or fail in a way that nobody foresaw, before it is a dead letter."""
    backoff: Backoff = field(default_factory=Backoff)


def _ignore(_seconds: float) -> None:
    pass


class Body:
    """Settles records of one processor. `waiting` counts those that wait for a dependency."""

    def __init__(self, processor: Processor, delivery: Delivery, patience: Patience | None = None) -> None:
        self.processor = processor
        self._delivery = delivery
        self._patience = patience or Patience()
        self.settled = 0
        self.dead: Counter[str] = Counter()
        """Records that were given up, by reason."""
        self.bytes = 0
        """Of the records that are settled."""
        self.waiting = 0
        self.results = 0
        self.settled_at = time.monotonic()
        self.observe: Callable[[float], None] = _ignore
        """Told of each settled record how many seconds it has been in Kafka."""
        self.tracing: Tracing | None = None

    async def settle(self, record: Incoming) -> None:
        """Return when what came of the record is durable, be it results or a dead letter."""
        await self.deliver([await self.process(record)])

    async def process(self, record: Incoming) -> Made:
        """What comes of the record, be it results or a dead letter; nothing of it is delivered yet."""
        span = self._follow(record)
        try:
            results = await self._process(record)
        except BaseException:
            await self.processor.forget(record)
            if span is not None:
                span.end("forgotten")
            raise
        if span is not None:
            span.note(results=len(results))
            results = [replace(result, headers=((TRACEPARENT, span.traceparent),)) for result in results]
        return Made(record, results, span)

    async def deliver(self, made: Sequence[Made]) -> None:
        """Return when what came of these records is durable, in their order."""
        try:
            await self._deliver(made)
        except BaseException:
            for one in made:
                await self.forget(one)
            raise
        for one in made:
            if one.span is not None:
                one.span.end()
        self.settled += len(made)
        self.bytes += sum(len(one.record.value) for one in made)
        now_ms = wall_clock_ms()
        for one in made:
            self.observe(max(0, now_ms - one.record.timestamp_ms) / 1000)
        self.settled_at = time.monotonic()

    async def forget(self, made: Made) -> None:
        """What came of the record will not be delivered."""
        await self.processor.forget(made.record)
        if made.span is not None:
            made.span.end("forgotten")

    def _follow(self, record: Incoming) -> Span | None:
        """The record's part of its trace, if that is sampled: from its processing to its results' delivery."""
        traceparent = record.headers.get(TRACEPARENT) if self.tracing is not None else None
        if self.tracing is None or traceparent is None:
            return None
        stage, size = self.processor.stage, len(record.value)
        span = self.tracing.follow(f"worker.{stage}", traceparent, stage=stage, bytes=size, topic=record.topic)
        if span is not None:
            span.note(partition=record.partition, offset=record.offset)
        return span

    async def _deliver(self, made: Sequence[Made]) -> None:
        """Deliver all together; where there is one that no broker takes, one by one, so that it alone is given up."""
        try:
            await self._delivery.deliver([result for one in made for result in one.results])
        except MalformedError as error:
            if len(made) == 1:
                await self._delivery.deliver([await self._give_up(made[0].record, error)])
                self.results += 1
                return
            for one in made:
                await self._deliver([one])
            return
        self.results += sum(len(one.results) for one in made)

    async def _process(self, record: Incoming) -> Sequence[Outgoing]:
        away = failed = 0
        while True:
            try:
                return await self.processor.process(record)
            except RemoteError as error:
                return [await self._give_up(record, error)]
            except UnavailableError as error:
                away += 1
                log.warning("dependency_away", stage=self.processor.stage, attempt=away, error=str(error))
                await self._wait(away)
            except Exception as error:  # see the module: what escapes is lost
                failed += 1
                foreseen = isinstance(error, PoisonError)
                log.warning(
                    "record_failed", stage=self.processor.stage, topic=record.topic, partition=record.partition,
                    offset=record.offset, attempt=failed, exc_info=not foreseen,
                )  # fmt: skip
                if failed >= self._patience.attempts:
                    return [await self._give_up(record, error)]
                await self.processor.forget(record)
                await self._wait(failed)

    async def _wait(self, attempt: int) -> None:
        self.waiting += 1
        try:
            await self._patience.backoff.wait(attempt)
        finally:
            self.waiting -= 1

    async def _give_up(self, record: Incoming, error: Exception) -> Outgoing:
        await self.processor.forget(record)
        reason = reason_of(error)
        self.dead[reason] += 1
        log.warning(
            "record_dead", stage=self.processor.stage, topic=record.topic, partition=record.partition,
            offset=record.offset, reason=reason,
        )  # fmt: skip
        detail = str(error) if isinstance(error, RemoteError) else type(error).__name__
        return dead_letter(record, self.processor.stage, reason, detail, wall_clock_ms())
