"""Connections on the HTTPS port: how many there are, how long each may take to ask, and who gives way.

Never lets who connects and does not ask keep others out: when all places are taken, or all that one address may have,
the oldest connection that has no whole request yet gives way. An address with many is a fleet behind one router more
often than an attack, so none is refused while there is room.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.peer import origin_of

if TYPE_CHECKING:
    import h11

    from infra.metrics import Metrics

log = structlog.get_logger()

REQUEST_TIMEOUT_S = 10.0
"""From the first moment, or from the answer before, until a request is there with its whole body."""

STUCK_TIMEOUT_S = 30.0
"""How long an answer may wait for who does not read it."""


class Visits:
    """The places of one HTTPS port. `limit` is how many there are; one address may have half of them.

    `gauge` is the metric that shows how many are taken.
    """

    def __init__(
        self,
        limit: int,
        metrics: Metrics,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        gauge: str = "gateway_https_connections",
    ) -> None:
        self.request_timeout_s = request_timeout_s
        self._limit = limit
        self._limit_each = max(1, limit // 2)
        self._open = metrics.gauge(gauge)
        self._ended = metrics.counter("gateway_https_ended_total")
        self._all: dict[Visit, None] = {}  # in the order of their last answer, oldest first
        self._by_origin: Counter[str] = Counter()

    def may_enter(self, address: object) -> bool:
        """Whether there is a place for a connection from `address`, if need be one that somebody gives up for it."""
        origin = origin_of(address)
        if self._by_origin[origin] >= self._limit_each:
            return self._make_place(origin)
        if len(self._all) >= self._limit:
            waiting = Counter(visit.origin for visit in self._all if visit.waits)
            return bool(waiting) and self._make_place(waiting.most_common(1)[0][0])
        return True

    def enter(self, visit: Visit) -> None:
        """A connection has finished its handshake."""
        self._all[visit] = None
        self._by_origin[visit.origin] += 1
        self._open.set(len(self._all))

    def leave(self, visit: Visit) -> None:
        """It is over."""
        if visit in self._all:
            del self._all[visit]
            self._by_origin[visit.origin] -= 1
            if not self._by_origin[visit.origin]:
                del self._by_origin[visit.origin]
            self._open.set(len(self._all))

    def answered(self, visit: Visit) -> None:
        """It was served: others have been waiting for longer."""
        if visit in self._all:
            self._all[visit] = self._all.pop(visit)

    def end(self, visit: Visit, reason: str) -> None:
        """End a connection, and count why."""
        self._ended.labels(reason).inc()
        log.info("https_connection_ended", reason=reason, origin=visit.origin)
        visit.transport.abort()
        self.leave(visit)

    def _make_place(self, origin: str) -> bool:
        oldest = next((visit for visit in self._all if visit.waits and visit.origin == origin), None)
        if oldest is None:
            self._ended.labels("refused").inc()
            return False
        self.end(oldest, "gave_way")
        return True


class Visit(H11Protocol):
    """uvicorn's protocol of one connection, with the deadlines that it lacks: to ask, and to read the answer."""

    def __init__(self, visits: Visits, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self.origin = ""
        self._visits = visits
        self._request_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether it has not sent a whole request since it was last answered."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is done: a request is due."""
        super().connection_made(transport)
        self.origin = origin_of(transport.get_extra_info("peername"))
        self._visits.enter(self)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """When the request is whole, who asked has done its part."""
        super().data_received(data)
        self._look_for_request()

    def on_response_complete(self) -> None:
        """The next request is due, unless it came with the one before."""
        self._visits.answered(self)
        self._expect_request()
        super().on_response_complete()
        self._look_for_request()

    def pause_writing(self) -> None:
        """It does not read its answer."""
        super().pause_writing()
        self._reading_due = self.loop.call_later(STUCK_TIMEOUT_S, self._visits.end, self, "slow_reader")

    def resume_writing(self) -> None:
        """It reads on."""
        super().resume_writing()
        if self._reading_due:
            self._reading_due.cancel()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """From here on it is another protocol's, with limits of its own."""
        self._leave()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The place is free."""
        self._leave()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        if self._request_due:
            self._request_due.cancel()
        self._request_due = self.loop.call_later(self._visits.request_timeout_s, self._visits.end, self, "slow_request")

    def _look_for_request(self) -> None:
        if self._request_due and not self.waits:
            self._request_due.cancel()

    def _leave(self) -> None:
        for due in (self._request_due, self._reading_due):
            if due:
                due.cancel()
        self._visits.leave(self)
