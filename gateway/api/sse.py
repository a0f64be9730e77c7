"""Server-sent events: values as they come, until who looks has gone, is signed out, or the server stops.

Never goes on for a session that has ended, and never lets a viewer who reads slowly hold up others.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from schemas.errors import SealstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.api.access import Principal
    from gateway.api.services import Services

LIVES_EVERY_S = 5.0
"""How soon a stream ends after its session was revoked."""

RETRY_MS = 2000
"""How long a browser waits before it connects again."""


def event(name: str, data: str, number: int) -> bytes:
    """One event; `data` is JSON, which has no line breaks."""
    return f"event: {name}\nid: {number}\ndata: {data}\n\n".encode()


HEARTBEAT = b": alive\n\n"
"""A remark for when nothing happens: whoever is gone is noticed by it."""


def stream(services: Services, principal: Principal, events: AsyncIterator[bytes]) -> StreamingResponse:
    """The response that tells `events` while the principal's session lives."""

    async def told() -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        asked = time.monotonic()
        async for one in events:
            if time.monotonic() - asked > LIVES_EVERY_S:
                if not await _lives(services, principal):
                    yield event("end", '{"reason":"signed_out"}', 0)
                    return
                asked = time.monotonic()
            yield one

    return StreamingResponse(
        told(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _lives(services: Services, principal: Principal) -> bool:
    """Whether the session lives; while nobody can be asked it goes on: overviews are for when stores are away."""
    try:
        return await services.desk.identities.lives(principal)
    except SealstreamError:
        return True
