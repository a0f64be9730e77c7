"""The recorded person's own page: what is recorded of them and why, who looked at it, and their own sums.

Never tells of anybody else, and never leaves out who looked.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts import recorded
from gateway.accounts.trail import NOT_LOOKS, Wanted, read_trail
from gateway.api.access import Permission, Principal, needs
from gateway.api.services import Serving
from gateway.policy import read_policy

router = APIRouter(prefix="/api/v1/own", tags=["own"])

Owner = Annotated[Principal, needs(Permission.OWN)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Computer(_Model):
    """Where they are recorded."""

    computer: str
    connected: bool
    first_seen_ms: int
    last_seen_ms: int


class StreamKept(_Model):
    """What there is of a stream."""

    stream: str
    since_ms: int
    last_ms: int


class StreamWords(_Model):
    """What the policy has recorded."""

    stream: str
    words: str
    end_to_end: bool
    """Sealed so that only holders of a passphrase can open it, and not the server."""


class Day(_Model):
    """A day's sums, UTC."""

    day: str
    active_ms: int
    idle_ms: int


class ApplicationSum(_Model):
    """Time in front of an application, in the last two weeks."""

    application: str
    active_ms: int


class Own(_Model):
    """What is recorded of whoever asks."""

    person: str
    """The user name; empty: this account is not tied to a recorded person."""
    organisation: str
    purpose: str
    contact: str
    policy: list[StreamWords]
    limits: list[str]
    kept: str
    """For how long, in words."""
    computers: list[Computer]
    streams: list[StreamKept]
    days: list[Day]
    applications: list[ApplicationSum]


class Look(_Model):
    """Somebody looked, or tried to."""

    id: str
    time_ms: int
    actor: str
    own: bool
    """Whether it was the person themselves."""
    action: str
    outcome: str
    purpose: str
    """Why, in their words."""
    streams: list[str]
    since_ms: int | None
    until_ms: int | None
    """The time of the recording that they looked at."""


class Looks(_Model):
    """A page of looks, the newest first."""

    looks: list[Look]
    after: str | None


@router.get("")
async def show(principal: Owner, services: Serving) -> Own:
    """What is recorded of oneself, why, and how long it is kept."""
    policy = await asyncio.to_thread(read_policy, services.settings.gateway.policy_file)
    person, found = principal.person, _nothing()
    if person:
        async with services.database() as connection:
            found = {
                "computers": await recorded.read_computers(connection, person),
                "streams": await recorded.read_streams(connection, person),
                **await recorded.read_totals(connection, person),
            }
    return Own(
        person=person,
        organisation=str(policy.get("organisation", "")),
        purpose=str(policy.get("purpose", "")),
        contact=str(policy.get("contact", "")),
        policy=[StreamWords(**words) for words in recorded.policy_words(policy)],
        limits=recorded.policy_limits(policy),
        kept=recorded.kept_words(services.settings.retention),
        computers=[Computer(**row) for row in found["computers"]],
        streams=[StreamKept(**row) for row in found["streams"]],
        days=[Day(**row) for row in found["days"]],
        applications=[ApplicationSum(**row) for row in found["applications"]],
    )


@router.get("/looks")
async def show_looks(
    principal: Owner,
    services: Serving,
    after: Annotated[str, Field(max_length=128)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Looks:
    """Who looked at what was recorded of oneself, when and why."""
    if not principal.person:
        return Looks(looks=[], after=None)
    wanted = Wanted(person=principal.person, without=sorted(NOT_LOOKS), after=after)
    async with services.database() as connection:
        entries, following = await read_trail(connection, wanted, limit)
    return Looks(looks=[_look(entry, principal) for entry in entries], after=following)


def _look(entry: dict[str, Any], principal: Principal) -> Look:
    """As the person sees it: nothing of the others that one search may have concerned, nor the words searched for."""
    _, _, streams = entry["target"].partition(" ")
    detail = entry["detail"]
    return Look(
        id=entry["id"],
        time_ms=entry["time_ms"],
        actor=entry["actor"].rpartition("@")[0] or entry["actor"],
        own=entry["actor"] in (f"{principal.name}@console", f"{principal.name}@api"),
        action=entry["action"],
        outcome=entry["outcome"],
        purpose=entry["purpose"],
        streams=[stream for stream in streams.split(",") if stream in recorded.STREAMS],
        since_ms=_time(detail.get("since_ms")),
        until_ms=_time(detail.get("until_ms")),
    )


def _time(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _nothing() -> dict[str, list[dict[str, Any]]]:
    return {"computers": [], "streams": [], "days": [], "applications": []}
