"""Unlocks in the browser: the page says that one began, grew and ended, for which KEKs and why; the audit has it.

Never takes a key, a passphrase or anything that was opened: key ids, a purpose and times are all that comes here. Never
writes down of an unlock what others than its person tell, or what they tell when it is over.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.services import Serving
from gateway.unlock.naming import key_ids
from infra.keys.table import fetch_rows

router = APIRouter(prefix="/api/v1/unlock/browser", tags=["unlock"])

MOST_KEYS = 8
MOST_MINUTES = 60
MOST_NAMES = 64

Viewer = Annotated[Principal, needs(Permission.RECORDINGS)]
KeyId = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Begun(BaseModel):
    """An unlock that is about to open something."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    purpose: str = Field(min_length=3, max_length=1000, description="Why; stays in the audit.")
    keys: tuple[KeyId, ...] = Field(min_length=1, max_length=MOST_KEYS, description="Ids of the KEKs, in hexadecimal.")
    minutes: int = Field(ge=1, le=MOST_MINUTES, description="When the page locks itself.")


class Added(BaseModel):
    """Keys that an unlock is about to open more with; when it ends stays as it was told."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    purpose: str = Field(min_length=3, max_length=1000, description="That of the unlock.")
    keys: tuple[KeyId, ...] = Field(min_length=1, max_length=MOST_KEYS, description="Ids of the KEKs that are added.")


class KeyName(BaseModel):
    """What a KEK is called here; empty when it is not registered."""

    key_id: KeyId
    name: str


class Named(BaseModel):
    """The name that the audit has for it."""

    id: UUID


class Ended(BaseModel):
    """How it ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Literal["locked", "time_out", "signed_out", "closed"]
    opened: int = Field(0, ge=0, description="Envelopes that were opened.")


@router.post("", status_code=201)
async def begin(principal: Viewer, services: Serving, begun: Begun) -> Named:
    """Write down that an unlock begins in this person's browser; when this fails, the page opens nothing."""
    return Named(id=await services.browser_unlocks.begin(principal, begun.purpose, begun.keys, begun.minutes))


@router.post("/{unlock}/keys", status_code=204)
async def add_keys(principal: Viewer, services: Serving, unlock: UUID, added: Added) -> None:
    """Write down that more KEKs are used in an unlock of this person that goes on; else the page opens nothing."""
    await services.browser_unlocks.add_keys(principal, unlock, added.purpose, added.keys)


@router.get("/keys")
async def name_keys(
    _principal: Viewer, services: Serving, key_id: Annotated[list[KeyId], Query(max_length=MOST_NAMES)]
) -> list[KeyName]:
    """The names of KEKs by their ids, so that a person knows which key file is needed."""
    async with services.database() as connection:
        rows = await fetch_rows(connection)
    known = await asyncio.to_thread(key_ids, services.settings, rows)
    names = {identity.hex(): row.name for identity, row in known.items()}
    return [KeyName(key_id=one, name=names.get(one, "")) for one in dict.fromkeys(key_id)]


@router.post("/{unlock}/end", status_code=204)
async def end(principal: Viewer, services: Serving, unlock: UUID, ended: Ended) -> None:
    """Write down that an unlock of this person is over: the keys are gone from the page."""
    await services.browser_unlocks.end(principal, unlock, ended.reason, ended.opened)
