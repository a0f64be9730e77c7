"""The application: its parts put together under `/api/v1`, with their documents and the console's pages.

Never serves a route that does not say who may use it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from gateway.api.access import Needs
from gateway.api.errors import Problem, add_error_handlers
from gateway.api.pages import BUILT, Pages, SecurityHeaders
from schemas.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi.dependencies.models import Dependant
    from starlette.routing import BaseRoute

    from gateway.api.services import Services

PARTS: tuple[str, ...] = (
    "gateway.api.session",
    "gateway.api.recordings",
)
"""Modules with a `router`, in the order of their documents."""

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (401, "not signed in"),
        (403, "not allowed"),
        (404, "no such thing, or not yours to see"),
        (422, "the request cannot be used"),
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
    )
    app.state.services = services
    add_error_handlers(app)
    for name in PARTS:
        router: APIRouter = import_module(name).router
        _require_permissions(router)
        app.include_router(router)
    app.router.routes.extend(first)
    app.router.routes.append(Pages(services.settings.console.pages_dir or BUILT).mount())
    app.add_middleware(SecurityHeaders)
    return app


def _require_permissions(router: APIRouter) -> None:
    """Refuse to start with a route that forgot to say who may use it; `open_to_all` says so on purpose."""
    for route in router.routes:
        if isinstance(route, APIRoute) and not _says_who(route.dependant) and "open" not in route.tags:
            raise LocalError(f"{route.path} does not say who may use it: `needs(…)`, or the tag `open`")


def _says_who(dependant: Dependant) -> bool:
    return any(isinstance(one.call, Needs) or _says_who(one) for one in dependant.dependencies)
