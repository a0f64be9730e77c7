"""What is asked for, checked: whose agents these are, and whether the account may see them; and that it is audited.

Never tells apart what is not there from what is not this account's to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import Query

from gateway.api.errors import ApiError, not_found
from gateway.recordings.places import Wish, agents_of, parse_kinds
from gateway.recordings.seen import Look, Stretch, told
from schemas.identity import agent_text
from sinks.envelopes import MAX_TIME_MS

if TYPE_CHECKING:
    from gateway.api.access import Principal
    from gateway.api.services import Services

MAX_AGENTS = 64
MAX_SPAN_MS = 32 * 86_400_000

TimeMs = Annotated[int, Query(ge=0, le=MAX_TIME_MS, description="milliseconds since 1970, UTC")]
STORED = r"^[^\x00]*$"
"""A text that PostgreSQL can take."""

PersonName = Annotated[str, Query(min_length=1, max_length=256, pattern=STORED)]
Purpose = Annotated[str, Query(max_length=1000, description="why; it is kept in the audit", pattern=STORED)]
Agents = Annotated[list[UUID], Query(alias="agent", min_length=1, max_length=MAX_AGENTS)]
Streams = Annotated[list[str], Query(alias="stream", min_length=1, max_length=8)]


async def check_wish(
    services: Services, principal: Principal, agents: Sequence[UUID], streams: Sequence[str], times: tuple[int, int]
) -> tuple[Wish, list[str]]:
    """What may be asked for, and whose recordings it is about. Raises `ApiError` and `MalformedError`."""
    check_times(*times)
    persons = await persons_of(services, principal, agents)
    ids = tuple(dict.fromkeys(agent.bytes for agent in agents))
    return Wish(ids, parse_kinds(streams), *times), persons


async def persons_of(services: Services, principal: Principal, agents: Sequence[UUID]) -> list[str]:
    """Whose recordings the agents make; raises `ApiError` 404 unless the account may see them all."""
    async with services.database() as connection:
        known = await agents_of(connection, agents)
    if any(agent not in known or not principal.may_see(known[agent]) for agent in agents):
        raise not_found("agent")
    return sorted(set(known.values()))


def check_times(since_ms: int, until_ms: int) -> None:
    """Raise `ApiError` unless the time begins before it ends, and is not longer than may be asked for."""
    if not since_ms < until_ms:
        raise ApiError(400, "bad_time", "the time must begin before it ends")
    if until_ms - since_ms > MAX_SPAN_MS:
        raise ApiError(400, "bad_time", "ask for at most 32 days at once")


async def note_view(
    services: Services,
    principal: Principal,
    wish: Wish,
    persons: Sequence[str],
    *,
    action: str = "view",
    purpose: str = "",
) -> None:
    """Have in the audit that this is looked at, before it is shown."""
    streams = ",".join(kind.label for kind in wish.kinds)
    for agent in wish.agents:
        text = agent_text(agent)

        async def write(outcome: str, stretches: Sequence[Stretch], text: str = text) -> None:
            detail = {"persons": ",".join(persons), **told(stretches)}
            await services.audit(principal, action, f"{text} {streams}", purpose=purpose, outcome=outcome, **detail)

        look = Look(principal.actor, text, f"{action} {streams}", purpose)
        await services.recordings.seen.note(look, wish.since_ms, wish.until_ms, write)
