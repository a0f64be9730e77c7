"""Exports: a clip that the page makes, or a text that the server writes, each under a reference that the audit knows.

Never hands out a reference whose entry is not stored, nor a text of what is end to end.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, Problem, not_found
from gateway.api.recordings.scope import STORED, check_wish
from gateway.api.services import Serving
from gateway.api.times import from_ms, to_ms
from gateway.recordings.exporting import Export, write_text
from gateway.unlock.session import MIN_REASON
from infra.lifecycle import wall_clock_ms
from sinks.envelopes import MAX_TIME_MS

if TYPE_CHECKING:
    from gateway.api.services import Services

router = APIRouter(prefix="/api/v1/exports", tags=["exports"])

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without what is mistaken for something else."""

TEXT_S = 3600
"""So long the text of an export can be fetched by its reference."""

_TEXT_STREAMS = ("email", "keystrokes", "activity", "screen")

Reference = Annotated[str, Path(pattern=r"^X-[0-9A-Z]{4}-[0-9A-Z]{4}$")]
Exporter = Annotated[Principal, needs(Permission.RECORDINGS)]
SignedIn = Annotated[Principal, needs(None)]
TimeMs = Annotated[int, Field(ge=0, le=MAX_TIME_MS)]

_TOO_LATE: dict[str, Any] = {"model": Problem, "description": "the hour is over"}

_COLUMNS = "reference, account, actor, person, agents, streams, since_at, until_at, kind, purpose, issued_at"
_ADD = "INSERT INTO export VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING issued_at"
_ONE = f"SELECT {_COLUMNS} FROM export WHERE reference = $1"  # noqa: S608 - a constant
_LIST = f"SELECT {_COLUMNS} FROM export WHERE $1::uuid IS NULL OR account = $1 ORDER BY issued_at DESC LIMIT $2"  # noqa: S608


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class TextWish(_Frozen):
    """What is taken out."""

    person: Annotated[str, Field(min_length=1, max_length=256, pattern=STORED)]
    agents: Annotated[list[UUID], Field(min_length=1, max_length=64)]
    streams: Annotated[list[str], Field(min_length=1, max_length=8)]
    since_ms: TimeMs
    until_ms: TimeMs
    purpose: Annotated[str, Field(max_length=1000, pattern=STORED)]

    @field_validator("purpose")
    @classmethod
    def _is_said(cls, purpose: str) -> str:
        said = " ".join(purpose.split())
        if len(said) < MIN_REASON:
            raise ValueError(f"say why, in at least {MIN_REASON} characters: it is kept")
        return said


class ExportWish(TextWish):
    """What is taken out, and how."""

    kind: Literal["clip", "text"]


class Issued(_Frozen):
    """An export's reference; it stands in the clip or the text."""

    reference: str
    issued_at_ms: int
    text_url: str | None


class ExportRow(_Frozen):
    """Who took what, when and why."""

    reference: str
    person: str
    agents: list[str]
    streams: list[str]
    since_ms: int
    until_ms: int
    kind: str
    purpose: str
    actor: str
    issued_at_ms: int


class Exports(_Frozen):
    """Exports, the newest first."""

    exports: list[ExportRow]


_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}}, "description": "the text, with the reference in its head"}
}


@router.post("", status_code=201)
async def issue(principal: Exporter, services: Serving, body: ExportWish) -> Issued:
    """Have an export in the audit, and get its reference for the clip or text."""
    export = await _issue(services, principal, body, body.kind)
    url = f"/api/v1/exports/{export.reference}/text" if body.kind == "text" else None
    return Issued(reference=export.reference, issued_at_ms=export.issued_at_ms, text_url=url)


@router.post("/text", response_class=StreamingResponse, responses=_TEXT)
async def export_text(principal: Exporter, services: Serving, body: TextWish) -> StreamingResponse:
    """Export what can be read, at once: mails, terminals, titles of windows, text on screens."""
    return _stream(services, await _issue(services, principal, body, "text"))


@router.get("")
async def list_exports(
    principal: SignedIn,
    services: Serving,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Exports:
    """One's own exports, with the permission `audit` everybody's."""
    _require(principal)
    account = None if principal.may(Permission.AUDIT) else principal.account_id
    async with services.database() as connection:
        rows = await connection.fetch(_LIST, account, limit)
    return Exports(exports=[_row(row) for row in rows])


@router.get("/{reference}")
async def show_export(
    principal: Annotated[Principal, needs(None)], services: Serving, reference: Reference
) -> ExportRow:
    """Who took what under that reference, when and why."""
    _require(principal)
    row = await _find(services, reference)
    if not (principal.may(Permission.AUDIT) or principal.may_see(row["person"])):
        raise not_found("export")
    return _row(row)


@router.get("/{reference}/text", response_class=StreamingResponse, responses={**_TEXT, 410: _TOO_LATE})
async def read_export(principal: Exporter, services: Serving, reference: Reference) -> StreamingResponse:
    """The text of an export, for the account that it was issued to, within the hour."""
    row = await _find(services, reference)
    if row["account"] != principal.account_id or row["kind"] != "text" or not principal.may_see(row["person"]):
        raise not_found("export")
    export = _export(row)
    if wall_clock_ms() - export.issued_at_ms > TEXT_S * 1000:
        raise ApiError(410, "too_late", "the hour in which this text could be fetched is over: export it again")
    await check_wish(services, principal, row["agents"], export.streams, (export.since_ms, export.until_ms))
    await services.audit(principal, "export", reference, outcome="fetched", persons=export.person)
    return _stream(services, export)


def _require(principal: Principal) -> None:
    if not (principal.may(Permission.AUDIT) or principal.may(Permission.RECORDINGS)):
        raise ApiError(403, "forbidden", "this needs the permission `recordings` or `audit`")


async def _issue(services: Services, principal: Principal, body: TextWish, kind: str) -> Export:
    wish, persons = await check_wish(services, principal, body.agents, body.streams, (body.since_ms, body.until_ms))
    if persons != [body.person]:
        raise ApiError(400, "bad_scope", "the agents are not all of that person")
    if kind == "text" and not any(stream in _TEXT_STREAMS for stream in body.streams):
        raise ApiError(400, "bad_scope", f"there is text in {', '.join(_TEXT_STREAMS)} alone")
    reference = new_reference()
    await services.audit(
        principal,
        "export",
        f"{reference} {','.join(map(str, body.agents))} {','.join(body.streams)}",
        purpose=body.purpose,
        persons=body.person,
        kind=kind,
        since_ms=str(wish.since_ms),
        until_ms=str(wish.until_ms),
    )
    values = (reference, principal.account_id, principal.actor, body.person, body.agents, body.streams)
    async with services.database() as connection:
        issued_at = await connection.fetchval(
            _ADD, *values, from_ms(wish.since_ms), from_ms(wish.until_ms), kind, body.purpose
        )
    if issued_at is None:
        raise ApiError(503, "unavailable", "that reference was given out already: ask again", retry_after_s=1)
    return Export(
        reference,
        principal.actor,
        body.person,
        wish.agents,
        tuple(body.streams),
        wish.since_ms,
        wish.until_ms,
        body.purpose,
        to_ms(issued_at),
    )


def new_reference() -> str:
    """A reference that nobody guesses and everybody can read out: 40 random bits."""
    letters = [secrets.choice(ALPHABET) for _ in range(8)]
    return f"X-{''.join(letters[:4])}-{''.join(letters[4:])}"


def _stream(services: Services, export: Export) -> StreamingResponse:
    async def text() -> AsyncIterator[bytes]:
        async for piece in write_text(services, export):
            yield piece

    headers = {
        "Content-Disposition": f'attachment; filename="{export.reference}.txt"',
        "X-Export-Reference": export.reference,
    }
    return StreamingResponse(text(), media_type="text/plain; charset=utf-8", headers=headers)


async def _find(services: Services, reference: str) -> Mapping[str, Any]:
    async with services.database() as connection:
        row: Mapping[str, Any] | None = await connection.fetchrow(_ONE, reference)
    if row is None:
        raise not_found("export")
    return row


def _export(row: Mapping[str, Any]) -> Export:
    return Export(
        row["reference"],
        row["actor"],
        row["person"],
        tuple(agent.bytes for agent in row["agents"]),
        tuple(row["streams"]),
        to_ms(row["since_at"]),
        to_ms(row["until_at"]),
        row["purpose"],
        to_ms(row["issued_at"]),
    )


def _row(row: Mapping[str, Any]) -> ExportRow:
    return ExportRow(
        reference=row["reference"],
        person=row["person"],
        agents=[str(agent) for agent in row["agents"]],
        streams=list(row["streams"]),
        since_ms=to_ms(row["since_at"]),
        until_ms=to_ms(row["until_at"]),
        kind=row["kind"],
        purpose=row["purpose"],
        actor=row["actor"],
        issued_at_ms=to_ms(row["issued_at"]),
    )
