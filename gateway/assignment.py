"""Which server an agent should use: the answer of `GET /api/v1/assign` (R4.2).

Never waits for anything: it answers from what is known, which is enough for ten thousand agents that come at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from starlette.responses import JSONResponse

from gateway.presence.choose import choose
from gateway.presence.expected import Expected
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.presence.choose import Load
    from gateway.presence.view import PresenceView
    from infra.metrics import Metrics

RETRY_AFTER_S = 5


class Assigner:
    """Assigns agents to gateways, and remembers for a moment whom it sent where."""

    def __init__(self, view: PresenceView, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._clock = clock
        self._expected = Expected()
        self._results = metrics.counter("gateway_assignments_total")

    def assign(self, agent_id: str) -> list[Load]:
        """Servers for that agent, best first; raises `UnavailableError` with the reasons when none takes it."""
        now = self._clock()
        at = self._view.last_gateway(agent_id)
        reports = self._view.gateways().values()
        loads = self._expected.loads(reports, now)
        chosen = choose(agent_id or str(uuid4()), loads, at)
        if not chosen:
            self._results.labels("refused").inc()
            raise UnavailableError(_why_none(loads, {one.name: one.refusal for one in reports}))
        self._expected.send(chosen[0].name, now)
        result = "stays" if chosen[0].name == at else "moves" if at else "new"
        self._results.labels(result).inc()
        return chosen

    def answer(self, request: Request, trust: int) -> Response:
        """The answer to `GET /api/v1/assign?agent=ID`; agents of before name none, and read `server` alone."""
        try:
            first, *others = self.assign(_agent_in(request))
        except UnavailableError as error:
            return JSONResponse({"error": str(error)}, 503, headers={"Retry-After": str(RETRY_AFTER_S)})
        body: dict[str, Any] = {"server": first.address, "gateway": first.name, "trust": trust}
        return JSONResponse({**body, "alternatives": [one.address for one in others]})


def _why_none(loads: list[Load], refusals: dict[str, str]) -> str:
    """Why no gateway takes the agent: the reason of the only one, or each one's with its name."""
    why = {one.name: refusals[one.name] or "this gateway is full" for one in loads}
    if len(why) < 2:
        return next(iter(why.values()), "no gateway is there")
    return "; ".join(f"{name}: {reason}" for name, reason in sorted(why.items()))


def _agent_in(request: Request) -> str:
    """The agent's id; empty for what is none."""
    try:
        return str(UUID(request.query_params.get("agent", "")))
    except ValueError:
        return ""
