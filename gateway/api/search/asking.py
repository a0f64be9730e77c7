"""Searching, and what filters there are.

Never answers before it is in the audit who searched for what.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from gateway.api.access import Permission, Principal, needs
from gateway.api.recordings.scope import STORED, Purpose
from gateway.api.search.answers import (
    MAX_AFTER,
    FacetValue,
    SearchAnswer,
    decode_after,
    encode_after,
    facet_rows,
    hit_row,
)
from gateway.api.search.scope import Names, Words, searched_persons, spelled
from gateway.api.services import Serving
from sinks.elasticsearch.blind import count_end_to_end
from sinks.elasticsearch.documents import suggest_values
from sinks.elasticsearch.facets import time_ranges
from sinks.elasticsearch.search import Answer, Question, search
from sinks.envelopes import MAX_TIME_MS

if TYPE_CHECKING:
    from gateway.api.services import Services

router = APIRouter(prefix="/search")

MAX_HITS = 100
TOLD_S = 300.0
"""That somebody found something of a person is told once in so many seconds."""

MOST_TOLD = 100_000

MaybeTimeMs = Annotated[int | None, Query(ge=0, le=MAX_TIME_MS)]
Searcher = Annotated[Principal, needs(Permission.SEARCH)]


@router.get("")
async def find(
    principal: Searcher,
    services: Serving,
    *,
    q: Words = "",
    person: Names = [],  # noqa: B006 - FastAPI copies it
    team: Names = [],  # noqa: B006
    endpoint: Annotated[Names, Query(description="computers; * stands for anything")] = [],  # noqa: B006
    stream: Annotated[Names, Query(description="streams, or kinds: screen, terminal, email, window")] = [],  # noqa: B006
    application: Annotated[Names, Query(description="* stands for anything")] = [],  # noqa: B006
    since_ms: MaybeTimeMs = None,
    until_ms: MaybeTimeMs = None,
    fuzzy: Annotated[bool, Query(description="words that are nearly these, as OCR may have read them")] = False,
    order: Literal["score", "newest", "oldest"] = "score",
    limit: Annotated[int, Query(ge=1, le=MAX_HITS)] = 20,
    after: Annotated[str, Query(max_length=MAX_AFTER, description="`after` of the page before")] = "",
    facets: bool = True,
    purpose: Purpose = "",
) -> SearchAnswer:
    """Texts with all of the words, the best first. Words that are end to end are found by the blind search alone."""
    persons = await searched_persons(services, principal, person, team)
    first = facets and not after
    question = Question(
        q,
        computers=endpoint,
        streams=stream,
        applications=application,
        since_ms=since_ms,
        until_ms=until_ms,
        fuzzy=fuzzy,
        limit=limit,
        order=order,
        persons=persons,
        after=decode_after(after),
        ranges=time_ranges(since_ms, until_ms, int(time.time() * 1000)) if first else None,
    )
    answer, sealed, _ = await asyncio.gather(
        _search(services, question),
        _count_sealed(services, question) if first else _none(),
        _audit(services, principal, question, purpose, asked=[*person, *(f"team {one}" for one in team)]),
    )
    hits = [hit for hit in answer.hits if principal.may_see(hit.user)]
    await _tell_found(services, principal, q, {hit.user for hit in hits})
    rows = None
    if answer.facets is not None:
        names = await spelled(services, principal, [name for name, _ in answer.facets.values.get("person", ())])
        rows = facet_rows(answer.facets, names)
    return SearchAnswer(
        total=answer.total,
        at_least=answer.at_least,
        took_ms=answer.took_ms,
        after=encode_after(answer.after),
        hits=[hit_row(hit) for hit in hits],
        facets=rows,
        end_to_end=sealed,
    )


class Suggestions(BaseModel):
    """Values that a filter may have."""

    model_config = ConfigDict(frozen=True)

    values: list[FacetValue]


_PEOPLE = """
SELECT {column} AS value, count(*) AS count FROM agent
WHERE ($1::text[] IS NULL OR user_name = ANY($1)) AND {column} <> '' AND starts_with(lower({column}), $2)
GROUP BY {column} ORDER BY max(last_seen_at) DESC LIMIT $3"""
_TEAMS = """
SELECT team AS value, count(*) AS count FROM team_member
WHERE ($1::text[] IS NULL OR user_name = ANY($1)) AND starts_with(lower(team), $2)
GROUP BY team ORDER BY team LIMIT $3"""
_STATEMENTS = {
    "person": _PEOPLE.format(column="user_name"),
    "computer": _PEOPLE.format(column="computer"),
    "team": _TEAMS,
}


@router.get("/suggest")
async def suggest(
    principal: Searcher,
    services: Serving,
    *,
    field: Literal["application", "person", "computer", "team"],
    prefix: Annotated[str, Query(max_length=256, pattern=STORED)] = "",
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> Suggestions:
    """Values of a filter that begin like that."""
    if field == "application":
        index_prefix = services.settings.elasticsearch.index_prefix
        found = await suggest_values(
            services.elasticsearch, index_prefix, field, prefix, principal.persons, limit=limit
        )
        return Suggestions(values=[FacetValue(value=value, count=count) for value, count in found])
    persons = None if principal.persons is None else sorted(principal.persons)
    async with services.database() as connection:
        rows = await connection.fetch(_STATEMENTS[field], persons, prefix.lower(), limit)
    return Suggestions(values=[FacetValue(value=row["value"], count=row["count"]) for row in rows])


async def _search(services: Services, question: Question) -> Answer:
    return await search(services.elasticsearch, services.settings.elasticsearch.index_prefix, question)


async def _count_sealed(services: Services, question: Question) -> int:
    return await count_end_to_end(services.elasticsearch, services.settings.elasticsearch.index_prefix, question)


async def _none() -> int:
    return 0


async def _audit(
    services: Services, principal: Principal, question: Question, purpose: str, *, asked: Collection[str]
) -> None:
    """That it is searched, and for what."""
    filters = {
        "who": ", ".join(asked),
        "endpoints": ", ".join(question.computers),
        "streams": ", ".join(question.streams),
        "applications": ", ".join(question.applications),
        "since_ms": str(question.since_ms or ""),
        "until_ms": str(question.until_ms or ""),
        "page": "a further one" if question.after else "",
    }
    await services.audit(principal, "search", question.text, purpose=purpose.strip(), outcome="asked", **filters)


_told: OrderedDict[tuple[str, str], float] = OrderedDict()


async def _tell_found(services: Services, principal: Principal, words: str, persons: Collection[str]) -> None:
    """That texts of these people were shown, so that they can see who looked."""
    now_s = time.monotonic()
    fresh = sorted(one for one in persons if _told.get((principal.actor, one), 0.0) < now_s)
    if not fresh:
        return
    await services.audit(principal, "search", words, outcome="found", persons=",".join(fresh))
    for one in fresh:
        _told[principal.actor, one] = now_s + TOLD_S
        _told.move_to_end((principal.actor, one))
    while len(_told) > MOST_TOLD:
        _told.popitem(last=False)
