"""Reading the API's requests: JSON bodies and query parameters, bounded and checked.

Never reads more of a body than a request may have.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.body import read_body
from gateway.unlock.refusal import RefusedError
from gateway.unlock.scope import Scope
from schemas.errors import MalformedError

if TYPE_CHECKING:
    from starlette.requests import Request


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object; raises `RefusedError`."""
    try:
        value = json.loads(await read_body(request))
    except MalformedError as error:
        raise RefusedError("bad_request", str(error)) from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError("bad_request", "the body is not a JSON object")
    return value


def text_of(body: dict[str, Any], name: str) -> str:
    """A text of the body; raises `RefusedError`."""
    value = body.get(name)
    if not isinstance(value, str):
        raise RefusedError("bad_request", f"{name} is not a text")
    return value


def requested_scope(request: Request) -> Scope:
    """The scope in a query: `agent` and `stream`, as often as need be, `since_ms`, `until_ms`."""
    query = request.query_params
    try:
        times = {name: int(query.get(name, "")) for name in ("since_ms", "until_ms")}
    except ValueError:
        raise RefusedError("bad_scope", "since_ms and until_ms are milliseconds since 1970") from None
    return Scope.from_json({"agents": query.getlist("agent"), "streams": query.getlist("stream"), **times})
