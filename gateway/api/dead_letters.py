"""Dead letters: which records could not be processed and why; try them again, or give them up.

Never shows what a record holds to who may not see recordings: for them there is its place and its header.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.ops.picture import Frozen
from infra.reading import describe_value, find_topic
from schemas.errors import ConfigError, MalformedError
from schemas.topics import ENVELOPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.api.services import Services
    from sinks.letters import Letter

router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])

MAX_AT_ONCE = 200
PREVIEW_BYTES = 256


class LetterRow(Frozen):
    """One dead letter. `settled` says what became of it, and by whom; empty while it is open."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    time_ms: int
    stages: list[str]
    reason: str
    detail: str
    bytes: int
    settled: str


class Counted(Frozen):
    """A value of a filter, and how many letters it has."""

    value: str
    count: int


class LetterList(Frozen):
    """The newest first; the counts are of all with that state."""

    letters: list[LetterRow]
    total: int
    reasons: list[Counted]
    topics: list[Counted]
    stages: list[Counted]


class LetterDetail(LetterRow):
    """One letter with what its record's clear part says; `content` only for who may see recordings."""

    headers: dict[str, str]
    fetched: bool
    """Whether Kafka still has the record."""
    described: dict[str, Any]
    content: str | None
    """The beginning of the record in hex, for who may see content."""
    malformed: str


class Choice(BaseModel):
    """Which letters, and why; the reason goes into the audit."""

    ids: Annotated[list[Annotated[str, Field(max_length=300)]], Field(min_length=1, max_length=MAX_AT_ONCE)]
    purpose: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


class Settled(Frozen):
    """What became of them; those that are gone are kept by Kafka no longer."""

    settled: int
    gone: list[str]


@router.get("")
async def show(  # noqa: PLR0917 - filters
    principal: Annotated[Principal, needs(Permission.PROCESSORS)],  # noqa: ARG001
    services: Serving,
    state: Literal["open", "settled", "all"] = "open",
    reason: Annotated[str, Query(max_length=200)] = "",
    topic: Annotated[str, Query(max_length=200)] = "",
    stage: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> LetterList:
    """Dead letters, the newest first."""
    letters = [one for one in (await services.letters.read()).all() if state in ("all", _state(one))]
    chosen = [
        one
        for one in letters
        if reason in ("", one.reason) and topic in ("", one.topic) and (not stage or stage in one.stages)
    ]
    return LetterList(
        letters=[LetterRow(**_row(services, one)) for one in reversed(chosen[-limit:])],
        total=len(chosen),
        reasons=_counted(one.reason for one in letters),
        topics=_counted(one.topic for one in letters),
        stages=_counted(stage for one in letters for stage in one.stages),
    )


@router.get("/{letter_id}")
async def show_one(
    letter_id: str, principal: Annotated[Principal, needs(Permission.PROCESSORS)], services: Serving
) -> LetterDetail:
    """One dead letter: where it stood, why it is dead, what its record's clear part says."""
    letter = await services.letters.find(letter_id)
    value = await services.letters.fetch(letter)
    described, malformed = _describe(letter, value)
    content = None
    if value is not None and _may_see_content(services, principal, letter):
        await services.audit(principal, "view", f"dead letter {letter.id}", topic=letter.topic)
        content = value[:PREVIEW_BYTES].hex()
    return LetterDetail(
        **_row(services, letter),
        headers={name: data.decode("utf-8", "replace") for name, data in letter.headers.items()},
        fetched=value is not None,
        described=described,
        content=content,
        malformed=malformed,
    )


@router.post("/retry")
async def retry(
    choice: Choice, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Settled:
    """Publish the records to their topics again, for everyone who reads these; what fails again is a letter again."""
    letters = await _find_open(services, choice.ids)
    gone = await services.letters.retry(principal, letters, choice.purpose)
    return Settled(settled=len(letters) - len(gone), gone=gone)


@router.post("/discard")
async def discard(
    choice: Choice, principal: Annotated[Principal, needs(Permission.MANAGE_PROCESSORS)], services: Serving
) -> Settled:
    """Give letters up: they are no longer listed as open. This wants a purpose, which the audit keeps."""
    if not choice.purpose.strip():
        raise ApiError(400, "no_reason", "say why these are given up: it goes into the audit")
    letters = await _find_open(services, choice.ids)
    await services.letters.discard(principal, letters, choice.purpose.strip())
    return Settled(settled=len(letters), gone=[])


async def _find_open(services: Services, ids: list[str]) -> list[Letter]:
    """The letters; raises `ApiError` for one that is not there, or settled already."""
    found = {one.id: one for one in (await services.letters.read()).all()}
    for letter_id in ids:
        if letter_id not in found:
            raise ApiError(404, "not_found", f"there is no dead letter {letter_id}")
        if found[letter_id].settled:
            raise ApiError(409, "settled", f"{letter_id} is settled already: {found[letter_id].settled}")
    return [found[letter_id] for letter_id in dict.fromkeys(ids)]


def _may_see_content(services: Services, principal: Principal, letter: Letter) -> bool:
    """Who may see recordings of everybody, or of the agent's person."""
    if not principal.may(Permission.RECORDINGS):
        return False
    agents = services.lifecycle.agents if services.lifecycle else {}
    agent = agents.get((letter.key or b"").decode("utf-8", "replace"))
    return principal.persons is None or (agent is not None and bool(agent.user) and principal.may_see(agent.user))


def _describe(letter: Letter, value: bytes | None) -> tuple[dict[str, Any], str]:
    """An envelope's clear header, and what is wrong with it; nothing of other records, which are content."""
    if value is None or letter.topic not in {topic.name for topic in ENVELOPES}:
        return {}, ""
    try:
        return dict(describe_value(find_topic(letter.topic), value)["envelope"]), ""
    except (MalformedError, ConfigError) as error:
        return {}, str(error)


def _row(services: Services, letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": (letter.key or b"").decode("utf-8", "replace"),
        "time_ms": letter.time_ms,
        "stages": list(letter.stages),
        "reason": letter.reason,
        "detail": letter.detail if letter.detail.isprintable() else ascii(letter.detail),
        "bytes": services.letters.size_of(letter),
        "settled": letter.settled,
    }


def _state(letter: Letter) -> str:
    return "settled" if letter.settled else "open"


def _counted(values: Iterable[str]) -> list[Counted]:
    return [Counted(value=value, count=count) for value, count in Counter(values).most_common()]
