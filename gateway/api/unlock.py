"""Unlocking over HTTPS: the routes that a console or `sealstream unlock --server` uses, as docs/unlock.md says.

Never has a passphrase or plaintext in this process: what passes is sealed between the viewer and the opener process.
An unlock is in the memory of one gateway; the others pass requests for it on to that one.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict

from gateway.api.access import Permission, Principal, needs
from gateway.api.documents import OPEN
from gateway.api.services import Services, Serving
from gateway.peer import address_of
from gateway.recordings.places import agents_of
from gateway.unlock.finding import find, read
from gateway.unlock.held import Unlock, batches
from gateway.unlock.refusal import NOTHING_FOUND, RefusedError
from gateway.unlock.request import read_object, text_of
from gateway.unlock.scope import Scope
from gateway.unlock.session import MIN_REASON, UnlockSession

router = APIRouter(prefix="/api/v1", tags=["unlock"])

Unlocking = Annotated[Principal, needs(Permission.UNLOCK_SERVER)]
Viewing = Annotated[Principal, needs(Permission.ENVELOPES)]
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "messages, each after its length in 4 bytes, big endian",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class UnlockWish(_Model):
    """What is to be opened, and why."""

    agents: list[str]
    streams: list[str]
    since_ms: int
    until_ms: int
    reason: str
    """Why; it is kept in the audit."""
    keys: list[str] = []
    """Names of KEKs; those that it is sealed to when none is given."""


class UnlockBegun(_Model):
    """The opener's public key, and what is in scope."""

    session: str
    public_key: str
    envelopes: int
    keys: list[dict[str, Any]]
    trying: list[dict[str, Any]]
    expires_s: float


class SealedPassphrase(_Model):
    """The viewer's public key, and the passphrase sealed for the opener, both in base64."""

    public_key: str
    sealed: str


class UnlockOpened(_Model):
    """The KEKs that opened."""

    keys: list[str]
    closed: list[str] = []
    """KEKs of what is in scope that another passphrase may open, in the same unlock."""


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    """A body that the route reads itself, so that refusals are those of docs/unlock.md."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


@router.post("/unlock", status_code=201, openapi_extra=_body_of(UnlockWish))
async def begin(principal: Unlocking, services: Serving, request: Request) -> UnlockBegun:
    """Ask to open end-to-end data on the server: audit the wish, find what is in scope; the opener's public key."""
    body = await read_object(request)
    scope = Scope.from_json(body)
    persons = await _persons_of(services, principal, scope)
    session = UnlockSession(
        services.settings,
        scope,
        person=principal.actor,
        reason=text_of(body, "reason"),
        keys=[str(name) for name in body.get("keys") or ()],
        via=f"https {principal.address}",
        persons=persons,
    )
    survey = await services.unlocks.begin(session, principal.actor)
    await services.passing.note(session.id.hex(), principal)
    return UnlockBegun(
        session=session.id.hex(),
        public_key=base64.b64encode(survey.public_key).decode(),
        envelopes=survey.envelopes,
        keys=survey.keys,
        trying=list(survey.trying),
        expires_s=services.unlocks.session_s,
    )


@router.post("/unlock/{session}/passphrase", openapi_extra=_body_of(SealedPassphrase))
async def open_keys(session: str, principal: Unlocking, services: Serving, request: Request) -> UnlockOpened:
    """Give a sealed passphrase; the KEKs that it opened. One that opens none ends an unlock with nothing open."""
    found = await _find(services, session, principal)
    body = await read_object(request)
    viewer, sealed = (_bytes_of(text_of(body, name), name) for name in ("public_key", "sealed"))
    opened = await found.open(viewer, sealed)
    return UnlockOpened(keys=opened.keys, closed=opened.closed)


@router.get("/unlock/{session}/segments", response_class=StreamingResponse, responses=_BYTES)
async def release(session: str, principal: Unlocking, services: Serving) -> StreamingResponse:
    """The sealed messages; then the unlock is over."""
    found = await _find(services, session, principal)
    return StreamingResponse(await found.release(), media_type="application/octet-stream")


@router.delete("/unlock/{session}", status_code=204)
async def end(session: str, principal: Unlocking, services: Serving) -> None:
    """End an unlock; when this is answered, its memory is gone."""
    found = await _find(services, session, principal)
    await found.end()


@router.post("/unlock/passed", tags=[OPEN], include_in_schema=False, response_model=None)
async def take_passed(services: Serving, request: Request) -> Response:
    """A request that came to another gateway, which has checked who asks; it is answered here, or nowhere."""
    passed = await services.passing.take(text_of(await read_object(request), "passed"), address_of(request))
    held = services.unlocks.find(passed.session, passed.actor)
    match passed.part:
        case "open":
            viewer, sealed = _bytes_of(passed.public_key, "public_key"), _bytes_of(passed.sealed, "sealed")
            return JSONResponse(asdict(await held.open(viewer, sealed)))
        case "release":
            return StreamingResponse(await held.release(), media_type="application/octet-stream")
        case "end":
            await held.end()
            return Response(status_code=204)


@router.get("/envelopes", response_class=StreamingResponse, responses=_BYTES)
async def show_envelopes(  # noqa: PLR0917  # FastAPI calls it by names
    principal: Viewing,
    services: Serving,
    agent: Annotated[list[str], Query(max_length=64)],
    stream: Annotated[list[str], Query(max_length=8)],
    since_ms: int,
    until_ms: int,
    reason: Annotated[str, Query(max_length=1000)] = "",
) -> StreamingResponse:
    """Sealed envelopes as they came, for unlocking in the browser (R6.7)."""
    scope = Scope.from_json({"agents": agent, "streams": stream, "since_ms": since_ms, "until_ms": until_ms})
    if len(reason.strip()) < MIN_REASON:
        raise RefusedError("no_reason", "say why: `reason` is kept")
    persons = await _persons_of(services, principal, scope)
    await services.audit(
        principal,
        "fetch",
        str(scope),
        purpose=reason.strip(),
        since_ms=str(scope.since_ms),
        until_ms=str(scope.until_ms),
        persons=",".join(persons),
    )
    found = await find(services.settings, scope)
    envelopes = (envelope.value for envelope in read(found, scope))
    return StreamingResponse(batches(envelopes), media_type="application/octet-stream")


async def _find(services: Services, session: str, principal: Principal) -> Unlock:
    """That person's unlock, here or at another gateway; raises `RefusedError`."""
    try:
        return services.unlocks.find(session, principal.actor)
    except RefusedError:
        distant = await services.passing.find(session, principal)
        if distant is None:
            raise
        return distant


async def _persons_of(services: Services, principal: Principal, scope: Scope) -> list[str]:
    """Whose recordings these are; raises `RefusedError` unless the account may see them all."""
    agents = [UUID(bytes=agent) for agent in scope.agents]
    async with services.database() as connection:
        known = await agents_of(connection, agents)
    unseen = any(agent not in known or not principal.may_see(known[agent]) for agent in agents)
    if principal.persons is not None and unseen:
        raise RefusedError(NOTHING_FOUND, "there is nothing in scope")
    return sorted(set(known.values()))


def _bytes_of(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise RefusedError("bad_request", f"{name} is not base64") from None
