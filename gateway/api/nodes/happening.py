"""What happens to nodes and agents, as it happens and as it did: the lifecycle topic that this gateway follows anyway.

Never names a recorded person to who may not see them, and reads nothing from Kafka for a page.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.nodes.showing import Model
from gateway.api.services import Services, Serving
from gateway.api.sse import HEARTBEAT, event, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.lifecycle import LifecycleLog

router = APIRouter(prefix="/api/v1/nodes", tags=["nodes"])

Seer = Annotated[Principal, needs(Permission.NODES)]

HEARTBEAT_S = 10.0
BATCH = 500
HIDDEN = "(not yours to see)"


class FactTold(Model):
    """One lifecycle fact."""

    offset: int
    time_ms: int
    subject: str
    id: str
    event: str
    role: str
    address: str
    reporter: str
    detail: dict[str, str]


class HistoryAnswer(Model):
    """Facts, the newest first, and whether older ones may be asked for by `before`."""

    facts: list[FactTold]
    before: int | None
    oldest: int
    """The oldest that is kept here; what is older tells `sealstream lifecycle tail --from-start`."""
    connected: bool
    """Whether the topic is being read now."""
    age_s: float | None


@router.get("/history")
async def show_history(  # noqa: PLR0917  # FastAPI calls it by names
    principal: Seer,
    services: Serving,
    subject: Literal["", "node", "agent"] = "",
    search: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=BATCH)] = 100,
) -> HistoryAnswer:
    """What happened, the newest first. `search` is looked for in ids, events, addresses and details."""
    log = _log(services)
    lines = log.lines_from(log.oldest)
    found = await asyncio.to_thread(_newest, lines, principal, _Wanted(subject, search, before, limit + 1))
    more = len(found) > limit
    found = found[:limit]
    return HistoryAnswer(
        facts=found,
        before=found[-1].offset if more else None,
        oldest=log.oldest,
        connected=log.connected,
        age_s=log.age_s(),
    )


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "`fact` events"}},
)
async def follow(request: Request, principal: Seer, services: Serving) -> StreamingResponse:
    """What happens from now on, as server-sent events: `fact`, with an offset as its id.

    After a broken connection it goes on where `Last-Event-ID` says. Ends, with the event `end`, when the session does.
    """
    log = _log(services)
    last = request.headers.get("last-event-id", "")
    known = last.isdigit() and len(last) < 19
    return stream(services, principal, _facts(log, principal, int(last) + 1 if known else log.next_offset))


async def _facts(log: LifecycleLog, principal: Principal, position: int) -> AsyncIterator[bytes]:
    generation = log.generation
    while True:
        if generation != log.generation:  # offsets begin again
            generation, position = log.generation, 0
        lines = log.lines_from(position)[:BATCH]
        for offset, line in lines:
            position = offset + 1
            yield event("fact", _fact(line, principal).model_dump_json(), offset)
        if not lines and not await log.wait(HEARTBEAT_S):
            yield HEARTBEAT


class _Wanted(NamedTuple):
    subject: str
    search: str
    before: int | None
    most: int


def _newest(lines: list[tuple[int, bytes]], principal: Principal, wanted: _Wanted) -> list[FactTold]:
    """Beside the event loop: a search that finds little looks at all of them."""
    found: list[FactTold] = []
    for offset, line in reversed(lines):
        if wanted.before is not None and offset >= wanted.before:
            continue
        fact = _fact(line, principal)
        if _matches(fact, wanted.subject, wanted.search):
            found.append(fact)
            if len(found) == wanted.most:
                break
    return found


def _log(services: Services) -> LifecycleLog:
    if services.lifecycle is None:
        raise ApiError(503, "unavailable", "this process does not follow what happens to nodes", retry_after_s=5)
    return services.lifecycle


def _fact(line: bytes, principal: Principal) -> FactTold:
    row: dict[str, Any] = json.loads(line)
    detail: dict[str, str] = row["detail"]
    person = detail.get("user", "")
    if person and not principal.may_see(person):
        detail = {**detail, "user": HIDDEN}
    names = ("offset", "time_ms", "subject", "id", "event", "role", "address", "reporter")
    return FactTold(**{name: row[name] for name in names}, detail=detail)


def _matches(fact: FactTold, subject: str, search: str) -> bool:
    if subject and fact.subject != subject:
        return False
    words = search.lower().split()
    text = " ".join([fact.id, fact.event, fact.address, fact.reporter, *fact.detail.values()]).lower()
    return all(word in text for word in words)
