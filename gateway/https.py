"""The HTTPS port: which server an agent should use, enrolment, health, metrics, schemas, unlocking, and the console.

Never opens anything that was recorded in this process, and never reads more of a request than it needs.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import structlog
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway import registry
from gateway.body import read_body
from gateway.enrol import Enrolment, EnrolmentRequest, enrolment_answer, read_ca
from gateway.marks import Marks
from gateway.peer import address_of, address_text
from gateway.throttle import Throttle
from gateway.tracing import trace_requests
from gateway.trust import TrustApi
from gateway.visits import REQUEST_TIMEOUT_S, Visits
from gateway.webserver import WebServer, make_server
from infra.health import run_checks
from infra.metrics import CONTENT_TYPE
from infra.tracing import tracing_of
from schemas.enrolment import ASSIGN_PATH, CA_PATH, ENROL_PATH
from schemas.errors import ConfigError, MalformedError, UnavailableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Container

    from starlette.applications import Starlette
    from starlette.requests import Request

    from gateway.api.services import Services
    from gateway.assignment import Assigner
    from gateway.facts import Facts
    from gateway.health import Health
    from gateway.policy import PolicyFiles
    from infra.metrics import Metrics
    from infra.settings import Settings

log = structlog.get_logger()

MAX_CONNECTIONS = 512


class HttpsPort:
    """The application and its routes; `serve` runs it until `stop`."""

    def __init__(
        self,
        settings: Settings,
        *,
        health: Health,
        policy: PolicyFiles,
        facts: Facts,
        metrics: Metrics,
        approved: Container[str],
        assigner: Assigner,
        marks: Marks | None = None,
        console: bool = True,
        max_connections: int = MAX_CONNECTIONS,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._health = health
        self._policy = policy
        self._facts = facts
        self._metrics = metrics
        self._approved = approved
        self._assigner = assigner
        self._max_connections = max_connections
        self._request_timeout_s = request_timeout_s
        self._enrolment = Enrolment(settings)
        self._marks = marks or Marks()
        self._throttle = Throttle("agents", self._marks)
        self.trust = TrustApi(settings, facts, self._throttle)
        self._server: WebServer | None = None
        self.services: Services | None = None
        """What the console's API works with; none where there is no console."""
        routes = [
            Route(ASSIGN_PATH, self.assign),
            Route(CA_PATH, self.show_ca),
            Route("/healthz", self.show_health),
            Route("/metrics", self.show_metrics),
            *registry.ROUTES,
            *self.trust.routes,
        ]
        self.app = self._make_console(routes) if console else make_plain_app(routes)

    def _make_console(self, routes: list[Route]) -> Starlette:
        """The API and the pages, and enrolment: what a master has and others need not import."""
        from gateway.api.app import create_app
        from gateway.api.services import Services

        self.services = Services(self._settings, self._facts, self._metrics, self._marks)
        self.services.approved = self._approved
        return create_app(self.services, [*routes, Route(ENROL_PATH, self.enrol, methods=["POST"])])

    async def assign(self, request: Request) -> Response:
        """`GET /api/v1/assign`: the server that an agent should use now, and others (R4.2)."""
        return self._assigner.answer(request, self.trust.told.version)

    async def show_ca(self, _request: Request) -> Response:
        """`GET /api/v1/ca`: the certificate by which agents know this server."""
        return Response(read_ca(self._settings), media_type="application/x-pem-file")

    async def show_health(self, _request: Request) -> Response:
        """`GET /healthz`: 503 with the reasons when what comes could not be kept."""
        if self._health.stopping:
            return JSONResponse({"status": "stopping"}, 503)
        status, media_type, body = await run_checks({"kafka": self._health.kafka, "disk": self._health.disk})
        return Response(body, status.value, media_type=media_type)

    async def show_metrics(self, request: Request) -> Response:
        """`GET /metrics`: in Prometheus's text format, for approved addresses alone (R5.1)."""
        address = address_of(request)
        if address not in self._approved:
            self._metrics.counter("gateway_metrics_refused_total").inc()
            log.warning("metrics_refused", address=address)
            return PlainTextResponse(f"{address} is not an approved address: see `sealstream approved`\n", 403)
        return PlainTextResponse(self._metrics.expose(), media_type=CONTENT_TYPE)

    async def enrol(self, request: Request) -> Response:
        """`POST /api/v1/enrol`, as `docs/enrolment.md` says."""
        address = address_of(request)
        if not await self._throttle.allows(address):
            return self._refuse(429, "too many attempts: try again in a minute", address)
        try:
            wish = EnrolmentRequest.parse(await read_body(request))
        except MalformedError as error:
            return self._refuse(400, str(error), address)
        recipients = self._policy.told.recipients
        if not recipients or self._health.reasons:
            return self._refuse(503, "; ".join(self._health.reasons) or "the server has no public KEK yet", address)
        return await self._issue(wish, recipients, address)

    async def _issue(self, wish: EnrolmentRequest, recipients: list[str], address: str) -> Response:
        """Spend the token, issue, and hand out only when the audit entry is stored.

        What can be wrong with the request is looked at first: nobody without a token gets into the register.
        """
        try:
            issued = await self._enrolment.redeem(wish)
        except MalformedError as error:
            return self._refuse(400, str(error), address)
        except (OSError, ConfigError, UnavailableError) as error:
            log.error("enrolment_impossible", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return self._refuse(503, "the server cannot issue certificates now", address)
        if issued is None:
            await self._throttle.fail(address)
            return self._refuse(403, "the token is unknown, used up or expired", address)
        agent_id, certificate = issued
        detail = {"address": address, "computer": wish.computer[:256], "user": wish.user[:256]}
        if not await self._facts.audit_durably("enrol", agent_id, "done", **detail):
            return self._refuse(503, "the server cannot keep its audit now", address)
        self._metrics.counter("gateway_enrolments_total").labels("done").inc()
        log.info("agent_enrolled", agent=agent_id, **detail)
        trust = self.trust.told
        return JSONResponse(enrolment_answer(agent_id, certificate, trust, recipients, self._policy.told.policy))

    def _refuse(self, status: int, why: str, address: str) -> Response:
        self._metrics.counter("gateway_enrolments_total").labels(str(status)).inc()
        log.warning("enrolment_refused", status=status, reason=why, address=address)
        return JSONResponse({"error": why}, status, headers={"Retry-After": "60"} if status == 429 else None)

    async def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve on `listener` until `stop`."""
        log.info("https_listening", address=address_text(listener.getsockname()))
        visits = Visits(self._max_connections, self._metrics, request_timeout_s=self._request_timeout_s)
        timeout_s = self._settings.gateway.handshake_timeout_s
        app = trace_requests(self.app, tracing_of(self._settings, self._settings.gateway.name))
        self._server = make_server(app, visits, listener, context, timeout_s, ws="none")
        try:
            await self._server.serve()
        finally:
            if self.services:
                await self.services.close()

    def stop(self) -> None:
        """Let `serve` finish what it has and return."""
        if self.services:
            self.services.overview.stop()
        if self._server:
            self._server.should_exit = True


def make_plain_app(routes: list[Route]) -> Starlette:
    """An application of these routes alone; bodies are bounded by who reads them."""
    from starlette.applications import Starlette

    return Starlette(routes=routes)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket for `serve`; raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    listener.setblocking(False)
    return listener
