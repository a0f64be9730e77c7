"""The recordings themselves: segments that the server may open, and envelopes for those who hold the keys.

Never opens anything in this process, and never sends a byte before it is in the audit who asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from gateway.api.access import Permission, Principal, needs
from gateway.api.recordings.scope import Agents, Purpose, Streams, TimeMs, check_wish, note_view
from gateway.api.services import Serving
from gateway.recordings.asking import Job
from gateway.recordings.messages import encode_message
from gateway.recordings.places import Wish, find_places

if TYPE_CHECKING:
    from gateway.api.services import Services

router = APIRouter()

BINARY = "application/octet-stream"
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {BINARY: {}}, "description": "messages, each after its length in 4 bytes"}
}


@router.get("/segments", response_class=StreamingResponse, responses=_ANSWER)
async def read_segments(
    principal: Annotated[Principal, needs(Permission.RECORDINGS)],
    services: Serving,
    *,
    agent: Agents,
    stream: Streams,
    since_ms: TimeMs,
    until_ms: TimeMs,
    purpose: Purpose = "",
    terminal_start: Annotated[bool, Query(description="of terminals also what came before, to draw them")] = False,
) -> StreamingResponse:
    """Segments in plaintext, and as they are those that are end to end.

    Each message: 4 bytes of length, 4 bytes of the JSON's length, the JSON, the body. Screens begin with a whole frame
    of what was shown at `since_ms`. The last message has `end` in its JSON: without it the answer was cut.
    """
    wish, persons = await check_wish(services, principal, agent, stream, (since_ms, until_ms))
    await note_view(services, principal, wish, persons, purpose=purpose.strip())
    return StreamingResponse(await _begun(_segments(services, wish, terminal=terminal_start)), media_type=BINARY)


@router.get("/envelopes", response_class=StreamingResponse, responses=_ANSWER)
async def read_envelopes(
    principal: Annotated[Principal, needs(Permission.RECORDINGS)],
    services: Serving,
    *,
    agent: Agents,
    stream: Streams,
    since_ms: TimeMs,
    until_ms: TimeMs,
    purpose: Purpose = "",
) -> StreamingResponse:
    """Envelopes as they came, each after its length in 4 bytes: for unlocking in the browser.

    Those of screens begin with the epoch that goes on at `since_ms`, since frames build on those before.
    """
    wish, persons = await check_wish(services, principal, agent, stream, (since_ms, until_ms))
    await note_view(services, principal, wish, persons, action="fetch", purpose=purpose.strip())
    return StreamingResponse(await _begun(_envelopes(services, wish)), media_type=BINARY)


async def _begun(pieces: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, of which the first is there already: what goes wrong before it is an answer with its status."""
    first = await anext(pieces, b"")

    async def all_of_them() -> AsyncIterator[bytes]:
        async with aclosing(pieces):  # who goes away ends the reader's work at once
            yield first
            async for piece in pieces:
                yield piece

    return all_of_them()


async def _segments(services: Services, wish: Wish, *, terminal: bool) -> AsyncGenerator[bytes]:
    counts: Counter[str] = Counter()
    async with aclosing(_answers(services, wish, Job.SEGMENTS, counts, terminal=terminal)) as pieces:
        async for piece in pieces:
            yield piece
    names = ("segments", "sealed", "damaged", "other_keks", "bytes", "reads")
    yield encode_message({"end": True, **{name: counts[name] for name in names}})


async def _envelopes(services: Services, wish: Wish) -> AsyncGenerator[bytes]:
    async with aclosing(_answers(services, wish, Job.ENVELOPES, Counter())) as pieces:
        async for piece in pieces:
            yield piece


async def _answers(
    services: Services, wish: Wish, job: Job, counts: Counter[str], *, terminal: bool = False
) -> AsyncGenerator[bytes]:
    """The answers for each window of the time, one after the other."""
    for number, (since_ms, until_ms) in enumerate(wish.windows()):
        window = wish._replace(since_ms=since_ms, until_ms=until_ms)
        async with services.database() as connection:
            ask = await find_places(connection, window, job, start=not number, terminal=terminal and not number)
        async with services.recordings.readers.stream(ask) as (pieces, answer):
            async for piece in pieces:
                yield piece
        counts.update({name: value for name, value in answer.result.items() if isinstance(value, int)})
