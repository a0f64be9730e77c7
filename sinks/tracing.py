"""Traces of what a sink stores: of sampled records, from handing their batch over until it is durable.

Never changes what is stored, nor when.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.tracing import TRACEPARENT, Span, Tracing
from sinks.sink import Reject, Sink, SinkRecord

SPANS = 16
"""Of one batch: with a ratio that is set too high, the first ones speak for the others."""


class TracedSink:
    """A sink in front of another."""

    def __init__(self, sink: Sink, tracing: Tracing) -> None:
        self._sink = sink
        self._tracing = tracing
        self._spans: list[Span] = []
        self.name, self.topics = sink.name, sink.topics
        self.open, self.close = sink.open, sink.close

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """As `Sink` says."""
        self._end("written_again")
        traced = ((record, dict(record.headers).get(TRACEPARENT)) for record in batch if record.headers)
        for record, traceparent in traced:
            if len(self._spans) >= SPANS:
                break
            if traceparent:
                self._begin(record, traceparent, len(batch))
        return await self._sink.write(batch)

    async def flush(self) -> None:
        """As `Sink` says."""
        await self._sink.flush()
        self._end()

    def _begin(self, record: SinkRecord, traceparent: bytes, records: int) -> None:
        about = self._tracing.follow(f"sink.{self.name}", traceparent, sink=self.name, records=records)
        if about is not None:
            about.note(topic=record.topic, partition=record.partition, offset=record.offset)
            self._spans.append(about)

    def _end(self, failure: str = "") -> None:
        spans, self._spans = self._spans, []
        for span in spans:
            span.end(failure)


def trace_sink(sink: Sink, tracing: Tracing | None) -> Sink:
    """The sink with traces; itself without a collector."""
    return sink if tracing is None else TracedSink(sink, tracing)
