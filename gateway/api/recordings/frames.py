"""One picture of a screen at a moment.

Never shows a picture of what is end to end: only the browser can draw that.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, Problem
from gateway.api.recordings.scope import Purpose, TimeMs, check_wish, note_view
from gateway.api.services import Serving
from gateway.recordings.asking import Job
from gateway.recordings.places import find_places

router = APIRouter()

_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/webp": {}}, "description": "the picture"},
    304: {"description": "the picture is as it was"},
    409: {"model": Problem, "description": "it is end to end"},
}
MAX_DISPLAY, MAX_SIDE = 63, 16_384
"""Those of `schemas.tiles`, which would bring numpy into the gateway's process."""

_CACHED = "private, max-age=600"


@router.get("/frame", response_class=Response, responses=_ANSWER)
async def read_frame(
    principal: Annotated[Principal, needs(Permission.RECORDINGS)],
    services: Serving,
    *,
    agent: UUID,
    at_ms: TimeMs,
    display: Annotated[int, Query(ge=0, le=MAX_DISPLAY)] = 0,
    width: Annotated[int, Query(ge=0, le=MAX_SIDE, description="in pixels; 0: as large as the display")] = 480,
    purpose: Purpose = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """What was on a display at that moment, as WebP."""
    wish, persons = await check_wish(services, principal, [agent], ["screen"], (at_ms, at_ms + 1))
    await note_view(services, principal, wish, persons, purpose=purpose.strip())
    async with services.database() as connection:
        ask = await find_places(connection, wish, Job.FRAME, start=True)
    ask = ask.with_options(display=display, width=width)
    body, result = await services.recordings.readers.collect(ask)
    if result["sealed"]:
        raise ApiError(409, "sealed", "this is end to end: unlock it in the browser to see it")
    if not result["found"]:
        raise ApiError(404, "nothing_found", "no screen was recorded at that moment")
    etag = f'"{sha256(body).hexdigest()[:24]}"'
    frame_width, frame_height = result["size"]
    headers = {
        "ETag": etag,
        "Cache-Control": _CACHED,
        "X-Frame-Time-Ms": str(result["time_ms"]),
        "X-Frame-Size": f"{frame_width}x{frame_height}",
    }
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="image/webp", headers=headers)
