"""Searching end-to-end text by its blind index: sealed roots for the page, candidates for its tokens, what to compare.

Never learns a word: the page opens the roots, makes the tokens, and compares what it opened with what was asked.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.recordings.scope import persons_of
from gateway.api.search.asking import MaybeTimeMs
from gateway.api.search.scope import Name, Names, searched_persons
from gateway.api.services import Serving
from gateway.api.times import to_ms
from schemas.errors import ConfigError
from schemas.identity import EnvelopeId, agent_text
from sinks.archive.finding import find_segments
from sinks.blind_search import find_roots
from sinks.elasticsearch.blind import MOST_TERMS, find_candidates, find_spans
from sinks.elasticsearch.search import Question
from sinks.envelopes import MAX_TIME_MS

if TYPE_CHECKING:
    from sinks.elasticsearch.blind import Candidate

router = APIRouter(prefix="/search/blind")

MOST_ROOTS = 2000
MOST_PLACES = 200
MOST_CANDIDATES = 2000
MOST_WORDS = 64
_TOKEN = re.compile(r"^[A-Za-z0-9_-]{11}$")

Searcher = Annotated[Principal, needs(Permission.SEARCH)]
AgentIds = Annotated[list[UUID], Field(max_length=64)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class SpanRow(_Frozen):
    """When end-to-end texts of an agent's stream were seen."""

    agent_id: str
    stream: str
    from_ms: int
    until_ms: int


class Sealed(_Frozen):
    """The envelopes of a segment as they are, base64, in the order of its parts."""

    agent_id: str
    epoch: str
    sequence: int
    envelopes: list[str]


class Roots(_Frozen):
    """Roots of the index, sealed. `more`: there are others, ask for a shorter time or fewer people."""

    spans: list[SpanRow]
    envelopes: list[Sealed]
    more: bool


class BlindQuestion(_Frozen):
    """Tokens of each word, and where to look."""

    tokens: Annotated[list[list[str]], Field(min_length=1, max_length=MOST_WORDS)]
    person: Annotated[list[Name], Field(max_length=50)] = []
    team: Annotated[list[Name], Field(max_length=50)] = []
    agent: AgentIds = []
    stream: Annotated[list[str], Field(max_length=8)] = []
    since_ms: Annotated[int | None, Field(ge=0, le=MAX_TIME_MS)] = None
    until_ms: Annotated[int | None, Field(ge=0, le=MAX_TIME_MS)] = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 500

    @field_validator("tokens")
    @classmethod
    def _are_tokens(cls, tokens: list[list[str]]) -> list[list[str]]:
        if not all(words and all(map(_TOKEN.match, words)) for words in tokens):
            raise ValueError("each word has at least one token: 8 bytes in base64url without padding")
        if sum(map(len, tokens)) > MOST_TERMS:
            raise ValueError(f"at most {MOST_TERMS} tokens can be asked for at once")
        return tokens


class CandidateRow(_Frozen):
    """A document that has the tokens, and may have the words."""

    id: str
    index: str
    time_ms: int
    until_ms: int
    agent_id: str
    epoch: str
    sequence: int
    person: str
    computer: str
    stream: str
    kind: str


class Candidates(_Frozen):
    """Candidates; `more`: there are at least as many again."""

    candidates: list[CandidateRow]
    more: bool


class PlaceRow(_Frozen):
    """Where a candidate's text stands."""

    agent_id: UUID
    epoch: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    sequence: Annotated[int, Field(ge=0, lt=2**40)]


class Places(_Frozen):
    """What to fetch."""

    places: Annotated[list[PlaceRow], Field(min_length=1, max_length=MOST_PLACES)]
    purpose: Annotated[str, Field(max_length=1000)] = ""


class SealedSegments(_Frozen):
    """Segments as they are; those that are not whole in the archive are left out."""

    segments: list[Sealed]


@router.get("/roots")
async def read_roots(
    principal: Searcher,
    services: Serving,
    *,
    person: Names = [],  # noqa: B006 - FastAPI copies it
    team: Names = [],  # noqa: B006
    agent: Annotated[list[UUID], Query(max_length=64)] = [],  # noqa: B006
    stream: Names = [],  # noqa: B006
    since_ms: MaybeTimeMs = None,
    until_ms: MaybeTimeMs = None,
) -> Roots:
    """The sealed roots of the index in scope, and when there are texts of which agent and stream."""
    scope = await searched_persons(services, principal, person, team)
    question = _question(scope, agent, stream, since_ms, until_ms)
    await services.audit(principal, "search_unlocked", "roots", persons=",".join(person), outcome="asked")
    prefix = services.settings.elasticsearch.index_prefix
    try:
        spans = await find_spans(services.elasticsearch, prefix, question)
    except ConfigError as error:
        raise ApiError(400, "too_many", "too many agents are in scope: name people or a shorter time") from error
    async with services.database() as connection:
        wanted = await find_roots(connection, spans)
        sealed = await find_segments(connection, services.settings.archive.dir, wanted[:MOST_ROOTS])
    return Roots(
        spans=[SpanRow(**span._asdict()) for span in spans], envelopes=_sealed(sealed), more=len(wanted) > MOST_ROOTS
    )


@router.post("")
async def find_blindly(principal: Searcher, services: Serving, body: BlindQuestion) -> Candidates:
    """Documents that have one of each word's tokens: to be opened in the page and compared."""
    scope = await searched_persons(services, principal, body.person, body.team)
    question = _question(scope, body.agent, body.stream, body.since_ms, body.until_ms, body.order)
    detail = {"words": str(len(body.tokens)), "tokens": str(sum(map(len, body.tokens)))}
    await services.audit(principal, "search_unlocked", "tokens", persons=",".join(body.person), **detail)
    prefix = services.settings.elasticsearch.index_prefix
    found = await find_candidates(services.elasticsearch, prefix, question, body.tokens, body.limit)
    shown = [one for one in found if principal.may_see(one.user)]
    return Candidates(candidates=[_candidate(one) for one in shown], more=len(found) == body.limit)


@router.post("/envelopes")
async def read_places(principal: Searcher, services: Serving, body: Places) -> SealedSegments:
    """The envelopes of candidates, to be opened and compared in the page."""
    persons = await persons_of(services, principal, list({place.agent_id for place in body.places}))
    agents = ",".join(sorted({str(place.agent_id) for place in body.places}))
    detail = {"segments": str(len(body.places)), "persons": ",".join(persons)}
    await services.audit(principal, "fetch", agents, purpose=body.purpose.strip(), **detail)
    ids = [EnvelopeId(one.agent_id.bytes, bytes.fromhex(one.epoch), one.sequence) for one in body.places]
    async with services.database() as connection:
        found = await find_segments(connection, services.settings.archive.dir, ids)
    return SealedSegments(segments=_sealed(found))


def _question(  # noqa: PLR0917 - the parts of a scope
    scope: Collection[str] | None,
    agents: Sequence[UUID],
    streams: Sequence[str],
    since_ms: int | None,
    until_ms: int | None,
    order: Literal["newest", "oldest"] = "newest",
) -> Question:
    return Question(
        "",
        agents=[str(agent) for agent in agents],
        streams=streams,
        since_ms=since_ms,
        until_ms=until_ms,
        order=order,
        persons=scope,
    )


def _sealed(found: Mapping[EnvelopeId, Sequence[bytes]]) -> list[Sealed]:
    return [
        Sealed(
            agent_id=agent_text(place.agent_id),
            epoch=place.epoch_id.hex(),
            sequence=place.sequence,
            envelopes=[base64.b64encode(part).decode() for part in parts],
        )
        for place, parts in found.items()
    ]


def _candidate(one: Candidate) -> CandidateRow:
    return CandidateRow(
        id=one.document_id,
        index=one.index,
        time_ms=to_ms(one.time),
        until_ms=to_ms(one.until),
        agent_id=one.agent_id,
        epoch=one.epoch_id.hex(),
        sequence=one.sequence,
        person=one.user,
        computer=one.computer,
        stream=one.stream,
        kind=one.kind,
    )
