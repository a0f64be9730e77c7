"""Bodies of requests on the HTTPS port: read under a limit, and taken apart as texts.

Never believes a length that the request states.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from starlette.requests import Request

from schemas.errors import MalformedError

MAX_BODY_BYTES = 64 * 1024


async def read_body(request: Request) -> bytes:
    """The whole body; raises `MalformedError` as soon as it is over `MAX_BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise MalformedError(f"the body is over {MAX_BODY_BYTES} bytes", "bad_request")
    return bytes(body)


def read_texts(body: bytes, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, str]:
    """The fields of a JSON object, all texts, an optional one that is not there empty; raises `MalformedError`."""
    try:
        values = json.loads(body)
        fields = {name: values.get(name, "") for name in (*needed, *optional)}
    except (ValueError, AttributeError, RecursionError):
        raise MalformedError("the body is not a JSON object", "bad_request") from None
    if not all(isinstance(value, str) for value in fields.values()) or not all(fields[name] for name in needed):
        also = f", and may have {', '.join(optional)}" if optional else ""
        raise MalformedError(f"the body needs texts {' and '.join(needed)}{also}", "bad_request")
    return fields
