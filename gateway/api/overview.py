"""The overview: how the installation is, now and as it changes.

Never tells content, and names people only to who may see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from gateway.api.access import Permission, Principal, needs
from gateway.api.services import Serving
from gateway.api.sse import HEARTBEAT, event, stream
from gateway.ops.picture import Overview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.api.services import Services

router = APIRouter(prefix="/api/v1/overview", tags=["overview"])

HEARTBEAT_S = 10.0


@router.get("")
async def show(principal: Annotated[Principal, needs(Permission.OVERVIEW)], services: Serving) -> Overview:
    """Agents, streams, lag, storage, nodes, gaps, and what wants attention."""
    async with services.overview.looking() as sampler:
        await sampler.until_read()
        return sampler.picture().for_principal(principal)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "`overview` events"}},
)
async def follow(principal: Annotated[Principal, needs(Permission.OVERVIEW)], services: Serving) -> StreamingResponse:
    """The same as server-sent events, every two seconds: `overview` with the whole picture as its data.

    The first is what is known now: `parts` says how old each part is, and which are being read. Others follow as they
    come. The stream ends, with the event `end`, when the session does. Every event is whole, so `Last-Event-ID` changes
    nothing.
    """
    return stream(services, principal, _pictures(services, principal))


async def _pictures(services: Services, principal: Principal) -> AsyncIterator[bytes]:
    async with services.overview.looking() as sampler:
        told = -1
        while not sampler.closed:
            if sampler.number != told:
                told = sampler.number
                yield event("overview", sampler.picture().for_principal(principal).model_dump_json(), told)
            elif not await sampler.wait(HEARTBEAT_S):
                yield HEARTBEAT
