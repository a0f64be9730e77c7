"""The API's documents: what FastAPI tells of the routes, and who may use each.

Never documents a route as open that is not, nor the reverse: both come from the route's own dependency.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from gateway.api.access import Needs

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant
    from starlette.routing import BaseRoute

OPEN = "open"
"""Tag of routes that serve whoever asks."""

COOKIE, BEARER = "session", "token"
_SCHEMES: dict[str, dict[str, str]] = {
    COOKIE: {"type": "apiKey", "in": "cookie", "name": "__Host-sealstream", "description": "from `POST /session`"},
    BEARER: {"type": "http", "scheme": "bearer", "description": "from `POST /tokens` or `sealstream api token`"},
}


def needs_of(dependant: Dependant) -> Needs | None:
    """What a route wants of who asks, if it wants anything."""
    for one in dependant.dependencies:
        found = one.call if isinstance(one.call, Needs) else needs_of(one)
        if found is not None:
            return found
    return None


def document(app: FastAPI) -> None:
    """Have `app` tell who may use each route."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documents say


def _describe(app: FastAPI) -> dict[str, Any]:
    described = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    described.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for route in api_routes(app.routes):
        wants = needs_of(route.dependant)
        if wants is None or not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = described["paths"][route.path_format][method.lower()]
            operation["security"] = [{COOKIE: []}, {BEARER: []}]
            told = f"Needs the permission `{wants.permission}`." if wants.permission else "For whoever is signed in."
            operation["description"] = f"{operation.get('description', '')}\n\n{told}".strip()
    return described


def api_routes(routes: Sequence[BaseRoute]) -> Iterator[RouteContext]:
    """Those of FastAPI's, as they are in effect, those of included routers among them."""
    for context in iter_route_contexts(routes):
        if isinstance(context.original_route, APIRoute):
            yield context
