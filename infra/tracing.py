"""Traces by OpenTelemetry: where a sampled envelope or request was, and for how long. An extra, and off by default.

Never imports OpenTelemetry while no collector is named, and never writes an attribute that its table does not list: no
person's name, no text, no title, no address, no path of a request.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from schemas.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from infra.settings import Settings, TracingSettings

log = structlog.get_logger()

TRACEPARENT = "traceparent"
"""Header of a Kafka record that carries its trace on (W3C Trace Context)."""

ATTRIBUTES = frozenset(
    {"stream", "stage", "sink", "topic", "partition", "offset", "records", "results", "bytes", "outcome", "method",
     "route", "status"}
)  # fmt: skip
"""All that a span may say of what it is about; each is a word of ours, or a number."""

_MAX_TEXT = 128
_PREFIX = "sealstream."

Attributes = Mapping[str, str | int]


class Span:
    """One stretch of work, of a trace that was sampled. `traceparent` lets others go on with the trace."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any, traceparent: bytes) -> None:
        self._span = span
        self.traceparent = traceparent

    def note(self, **attributes: str | int) -> None:
        """Say more of it."""
        self._span.set_attributes(_checked(attributes))

    def end(self, failure: str = "") -> None:
        """It is over; `failure` is a fixed word for what went wrong. Ending it again changes nothing."""
        if failure:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, failure)
        self._span.end()


class Tracing:
    """Begins spans of one process. `exporter` is OpenTelemetry's; it is given batches by a thread of its own."""

    def __init__(
        self,
        exporter: Any,
        ratio: float,
        resource: Mapping[str, str],
        *,
        at_once: bool = False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._ratio = ratio
        self._chance = chance
        self._provider = TracerProvider(resource=Resource.create(dict(resource)))
        self._provider.add_span_processor((SimpleSpanProcessor if at_once else BatchSpanProcessor)(exporter))
        self._tracer = self._provider.get_tracer("sealstream")

    def sample(self) -> bool:
        """Whether what begins now is to be traced."""
        return self._chance() < self._ratio

    def begin(self, name: str, **attributes: str | int) -> Span:
        """The first span of a trace."""
        return self._start(name, None, attributes)

    def follow(
        self, name: str, traceparent: bytes, since_ns: int | None = None, **attributes: str | int
    ) -> Span | None:
        """A span that goes on with a trace; none when nobody samples it, or when that is no trace."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({TRACEPARENT: traceparent.decode("ascii", "replace")})
        parent = trace.get_current_span(context).get_span_context()
        if not (parent.is_valid and parent.trace_flags.sampled):
            return None
        return self._start(name, context, attributes, since_ns)

    def close(self) -> None:
        """Hand over what waits, and end the thread."""
        self._provider.shutdown()

    def _start(self, name: str, context: Any, attributes: Attributes, since_ns: int | None = None) -> Span:
        from opentelemetry.context import Context

        span = self._tracer.start_span(name, context or Context(), attributes=_checked(attributes), start_time=since_ns)
        seen = span.get_span_context()
        return Span(span, b"00-%032x-%016x-01" % (seen.trace_id, seen.span_id))


def _checked(attributes: Attributes) -> dict[str, str | int]:
    """The attributes under our prefix; raises `LocalError` for one that is not in the table, or is a long text."""
    for name, value in attributes.items():
        if name not in ATTRIBUTES or (isinstance(value, str) and len(value) > _MAX_TEXT):
            raise LocalError(f"a span must not say {name!r}")
    return {_PREFIX + name: value for name, value in attributes.items()}


def tracing_of(settings: Settings, process: str) -> Tracing | None:
    """The tracing of this process, made when first asked for; none without a collector.

    Raises `ConfigError` when OpenTelemetry is not installed.
    """
    if not settings.tracing.endpoint:
        return None
    return _make(settings.tracing, settings.node.id, process)


@cache
def _make(tracing: TracingSettings, node: str, process: str) -> Tracing:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise ConfigError(
            "tracing.endpoint is set, but OpenTelemetry is missing: install sealstream[tracing]"
        ) from None
    log.info("tracing_started", endpoint=tracing.endpoint, ratio=tracing.ratio)
    own = {"service.name": "sealstream", "service.version": version("sealstream")}
    own["service.instance.id"] = f"{node}/{process}"
    return Tracing(OTLPSpanExporter(endpoint=tracing.endpoint), tracing.ratio, own)
