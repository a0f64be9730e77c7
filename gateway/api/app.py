"""The application: its parts put together under `/api/v1`, with their documents and the console's pages.

Never serves a route that does not say who may use it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI

from gateway.api.documents import OPEN, api_routes, document, needs_of
from gateway.api.errors import Problem, add_error_handlers
from gateway.api.pages import BUILT, Pages, SecurityHeaders
from schemas.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.routing import BaseRoute

    from gateway.api.services import Services

MAX_BODY_BYTES = 1024 * 1024
"""Of any request; a route may allow less."""

PARTS: tuple[str, ...] = (
    "gateway.api.session",
    "gateway.api.overview",
    "gateway.api.processors",
    "gateway.api.replays",
    "gateway.api.dead_letters",
    "gateway.api.links",
    "gateway.api.oidc",
    "gateway.api.account",
    "gateway.api.tokens",
    "gateway.api.accounts",
    "gateway.api.teams",
    "gateway.api.own",
    "gateway.api.audit",
    "gateway.api.unlock",
    "gateway.api.browser_unlock",
    "gateway.api.recordings",
    "gateway.api.search",
    "gateway.api.exports",
    "gateway.api.keys",
    "gateway.api.nodes",
    "gateway.api.live",
    "gateway.api.reports",
    "gateway.api.alerts",
    "gateway.api.rules",
)
"""Modules with a `router`, in the order of their documents."""

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (400, "the request makes no sense here"),
        (401, "not signed in"),
        (403, "not allowed"),
        (404, "no such thing, or not yours to see"),
        (409, "not as things are now"),
        (422, "the request cannot be used"),
        (429, "too many attempts"),
        (503, "a store is away"),
    )
}

DESCRIPTION = """Everything that the console does. Sign in by `POST /api/v1/session` and send the cookie back, or send
`Authorization: Bearer TOKEN` with a token that `sealstream api token` or the console made. Errors are
`{"error": WORD, "message": TEXT}`; times are milliseconds since 1970, UTC."""


def create_app(services: Services, first: Iterable[BaseRoute] = ()) -> FastAPI:
    """The application; `first` are routes of others that come before the pages."""
    app = FastAPI(
        title="sealstream",
        version=version("sealstream"),
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEMS,
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.services = services
    add_error_handlers(app)
    for name in PARTS:
        router: APIRouter = import_module(name).router
        _require_permissions(router)
        app.include_router(router)
    app.router.routes.extend(first)
    app.router.routes.append(Pages(services.settings.console.pages_dir or BUILT).mount())
    app.add_middleware(SecurityHeaders, servers=lambda: _live_addresses(services))
    document(app)
    return app


def _live_addresses(services: Services) -> list[str]:
    """Where gateways show live views, `host:port`."""
    return [one.live_address for one in services.presence.gateways().values()] if services.presence else []


def _require_permissions(router: APIRouter) -> None:
    """Refuse to start with a route that forgot to say who may use it; the tag `open` says so on purpose."""
    for route in api_routes(router.routes):
        if needs_of(route.dependant) is None and OPEN not in route.tags:
            raise LocalError(f"{route.path} does not say who may use it: `needs(…)`, or the tag `open`")
