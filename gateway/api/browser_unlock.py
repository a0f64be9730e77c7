"""Unlocks in the browser: the page says that one began and ended, for which KEKs and why, so that the audit has it.

Never takes a key, a passphrase or anything that was opened: key ids, a purpose and times are all that comes here.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.services import Serving

router = APIRouter(prefix="/api/v1/unlock/browser", tags=["unlock"])

ACTION = "unlock_browser"
MOST_KEYS = 8
MOST_MINUTES = 60

Viewer = Annotated[Principal, needs(Permission.RECORDINGS)]
KeyId = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Begun(BaseModel):
    """An unlock that is about to open something."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    purpose: str = Field(min_length=3, max_length=1000, description="Why; stays in the audit.")
    keys: tuple[KeyId, ...] = Field(min_length=1, max_length=MOST_KEYS, description="Ids of the KEKs, in hexadecimal.")
    minutes: int = Field(ge=1, le=MOST_MINUTES, description="When the page locks itself.")


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
    unlock = uuid4()
    await services.audit(
        principal,
        ACTION,
        f"unlock {unlock}",
        purpose=begun.purpose,
        outcome="granted",
        keys=", ".join(begun.keys),
        minutes=str(begun.minutes),
    )
    return Named(id=unlock)


@router.post("/{unlock}/end", status_code=204)
async def end(principal: Viewer, services: Serving, unlock: UUID, ended: Ended) -> None:
    """Write down that it is over: the keys are gone from the page."""
    await services.audit(
        principal, ACTION, f"unlock {unlock}", outcome="ended", reason=ended.reason, opened=str(ended.opened)
    )
