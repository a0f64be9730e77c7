"""Traces of what goes through a gateway: sampled envelopes from their receipt until they are stored, and requests.

Never stands in the way of what is not traced: without a collector nothing here is put between, and no envelope or
answer ever waits for a trace.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from infra.tracing import TRACEPARENT
from schemas.enrolment import ASSIGN_PATH, CA_PATH, ENROL_PATH

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.publisher import Headers, Outcome, Publisher, Settle
    from infra.tracing import Span, Tracing

_ENVELOPES = "envelopes."
_FIXED = frozenset({ASSIGN_PATH, CA_PATH, ENROL_PATH, "/healthz", "/metrics"})
"""Routes without parameters that the framework tells nothing of."""


class TracedPublisher:
    """A publisher in front of another, which puts the trace of sampled envelopes into their headers."""

    def __init__(self, publisher: Publisher, tracing: Tracing) -> None:
        self._publisher = publisher
        self._tracing = tracing
        self.flush, self.check, self.close = publisher.flush, publisher.check, publisher.close

    @property
    def outstanding(self) -> int:
        """As `Publisher` says."""
        return self._publisher.outstanding

    @property
    def unacked_s(self) -> float:
        """As `Publisher` says."""
        return self._publisher.unacked_s

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers, settle: Settle) -> None:
        """As `Publisher` says."""
        if self._tracing.sample() and topic.startswith(_ENVELOPES):
            span = self._tracing.begin("gateway.store", stream=topic.removeprefix(_ENVELOPES), bytes=len(value))
            headers = [*headers, (TRACEPARENT, span.traceparent)]
            settle = partial(_settle, span, settle)
        self._publisher.publish(topic, key, value, headers, settle)


def _settle(span: Span, settle: Settle, outcome: Outcome) -> None:
    span.note(outcome=str(outcome))
    span.end("" if outcome == "delivered" else "not_stored")
    settle(outcome)


def trace_publisher(publisher: Publisher, tracing: Tracing | None) -> Publisher:
    """The publisher with traces; itself without a collector."""
    return publisher if tracing is None else TracedPublisher(publisher, tracing)


def trace_requests(app: ASGIApp, tracing: Tracing | None) -> ASGIApp:
    """The application with traces of sampled requests; itself without a collector.

    A request begins a trace of its own: one that the caller names may be anybody's. Routes are told as the table of
    routes has them, since a path may name a person.
    """
    if tracing is None:
        return app
    sampled = tracing

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not sampled.sample():
            await app(scope, receive, send)
            return
        span = sampled.begin("gateway.request", method=_known(scope["method"]))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.note(status=message["status"])
            await send(message)

        failure = "raised"
        try:
            await app(scope, receive, answer)
            failure = ""
        finally:
            span.note(route=_route(scope))
            span.end(failure)

    return traced


def _route(scope: Scope) -> str:
    """The route that was taken, as the table of routes has it; empty for a page or nothing."""
    path = str(getattr(scope.get("route"), "path", ""))
    return path or (scope["path"] if scope["path"] in _FIXED else "")


def _known(method: str) -> str:
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"
