"""Who end-to-end streams are sealed to: assignments and groups, and the key sets that officers signed of them.

Never signs: an officer does, on a machine of theirs (`sealstream keys distribute`). Until then nothing changes.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.keys.models import Done, KeyName, Model, Reason, known_keks
from gateway.api.services import Serving
from gateway.api.times import to_ms
from infra.keys.assignment import Assignment, Scope
from infra.keys.registry import Purpose, find
from infra.keys.roster import change_group, drop_assignment, fetch_agents, fetch_groups, put_assignment
from infra.keys.signer import pinned_signers
from infra.keys.table import fetch_rows
from schemas.errors import ConfigError, MalformedError
from schemas.identity import agent_bytes, agent_text
from schemas.keyset import SignedKeySet, parse_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.settings import Settings
    from schemas.keyset import KeySet

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

NEXT = "An officer signs it: `sealstream keys distribute`. Until then nothing changes."
_HISTORY = 20

Seer = Annotated[Principal, needs(Permission.KEYS)]
Keeper = Annotated[Principal, needs(Permission.MANAGE_KEYS)]


Members = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=500)]


class StreamTold(Model):
    """To whom one stream is sealed."""

    stream: str
    keks: list[str]
    bound: bool
    """Sealed end to end whatever the policy of the server says."""
    blind_index: bool


class AgentNamed(Model):
    """An agent by its id, with its computer where that is known."""

    id: str
    computer: str


class SetTold(Model):
    """One key set as it was signed."""

    agents: list[AgentNamed]
    """For whom; empty: for agents that no set names."""
    streams: list[StreamTold]
    key_ids: dict[str, str]
    problem: str
    """Why agents refuse it; empty when its signature is by a signer whom this node's agents pin."""


class VersionTold(Model):
    """A version that was signed."""

    version: int
    sets: int
    signer: str
    """Name of the signer, or the beginning of a fingerprint that is not among the pinned ones."""
    made_at_ms: int


class SetsAnswer(Model):
    """What is in force, what was before, and what is known of its adoption."""

    newest: list[SetTold]
    versions: list[VersionTold]
    groups: dict[str, list[str]]
    adopted: str
    """What is known of who adopted it, in words."""
    sign: str
    """What an officer runs to sign what is assigned now."""


class AssignmentWish(Model):
    """Seal a stream of those in scope to a KEK, or take that back."""

    kek: KeyName
    scope: Literal["default", "group", "endpoint", "agent"]
    subject: Annotated[str, Field(max_length=200)] = ""
    streams: Annotated[list[Literal["screen", "keystrokes", "email"]], Field(min_length=1, max_length=3)]
    break_glass: bool = False
    always: bool = False
    blind_index: bool = True
    remove: bool = False
    reason: Reason = ""


class GroupWish(Model):
    """Change the members of a group: ids of agents, or names of computers."""

    name: Annotated[str, Field(pattern=r"^[^\s/][^/]{0,99}$")]
    add: Members = ()
    remove: Members = ()
    reason: Reason = ""


@router.get("/sets")
async def show_sets(_principal: Seer, services: Serving) -> SetsAnswer:
    """The signed key sets: the newest in full, the versions before it, and the groups that assignments speak of."""
    async with services.database() as connection:
        rows = await connection.fetch(
            "SELECT version, min(made_at) AS made_at, count(*) AS sets, (array_agg(signed))[1] AS signed "
            "FROM key_set GROUP BY version ORDER BY version DESC LIMIT $1",
            _HISTORY,
        )
        newest = await connection.fetch(
            "SELECT signed FROM key_set WHERE version = (SELECT max(version) FROM key_set) ORDER BY ordinal"
        )
        groups = await fetch_groups(connection)
        computers = await fetch_agents(connection)
    signers = await asyncio.to_thread(_signers, services.settings)
    return SetsAnswer(
        newest=[_set_told(json.loads(row["signed"]), signers, computers) for row in newest],
        versions=[
            VersionTold(
                version=row["version"],
                sets=row["sets"],
                signer=_signer_name(json.loads(row["signed"]), signers),
                made_at_ms=to_ms(row["made_at"]),
            )
            for row in rows
        ],
        groups={name: sorted(members) for name, members in groups.items()},
        adopted="Agents take the newest set when they are connected, and do not tell the server which one they have. "
        "On an endpoint, sealstream agent status does.",
        sign="sealstream keys distribute --signer /media/stick/NAME.pem",
    )


@router.post("/assignments")
async def assign(wish: AssignmentWish, principal: Keeper, services: Serving) -> Done:
    """Assign a KEK, or take an assignment back. In force once an officer has signed it."""
    subject = _subject(wish)
    scope = f"{wish.scope} {subject}".rstrip()
    async with services.database() as connection, connection.transaction():
        with known_keks():
            row = find(await fetch_rows(connection), wish.kek)
        if row.purpose is not Purpose.END_TO_END:
            raise ApiError(
                400, "wrong_purpose", f"{row.name} is a KEK of the server: end-to-end streams are not sealed to it"
            )
        changed = 0
        for stream in wish.streams:
            one = Assignment(
                row.public, Scope(wish.scope), subject, stream, wish.break_glass, wish.always, wish.blind_index
            )
            if wish.remove:
                changed += await drop_assignment(connection, one)
            else:
                await put_assignment(connection, one)
                changed += 1
        if not changed:
            raise ApiError(404, "not_found", f"{row.name} is not assigned to {scope}")
        action = "unassign_kek" if wish.remove else "assign_kek"
        detail = {"stream": ", ".join(wish.streams), "scope": scope}
        await services.audit(principal, action, f"kek {row.name}", purpose=wish.reason, **detail)
    done = "is not assigned any more to" if wish.remove else "is assigned to"
    return Done(says=f"{row.name} {done} {', '.join(wish.streams)} of {scope}.", next=NEXT)


@router.post("/groups")
async def change_members(wish: GroupWish, principal: Keeper, services: Serving) -> Done:
    """Add members to a group of endpoints, and take others out. In force once an officer has signed it."""
    async with services.database() as connection:
        detail = {"added": ", ".join(wish.add), "removed": ", ".join(wish.remove)}
        await services.audit(principal, "change_group", f"group {wish.name}", purpose=wish.reason, **detail)
        await change_group(connection, wish.name, list(wish.add), list(wish.remove))
    return Done(says=f"The group {wish.name} was changed.", next=NEXT)


def _subject(wish: AssignmentWish) -> str:
    subject = wish.subject.strip()
    if wish.scope == "default":
        return ""
    if not subject:
        raise ApiError(422, "bad_request", f"for which {wish.scope}? Name it in `subject`")
    if wish.scope == "agent":
        try:
            return agent_text(agent_bytes(subject))
        except ValueError:
            raise ApiError(422, "bad_request", f"{subject!r} is not an agent's id (a UUID)") from None
    return subject.lower() if wish.scope == "endpoint" else subject


def _signers(settings: Settings) -> dict[str, bytes]:
    try:
        return pinned_signers(settings.keys.dir)
    except ConfigError:
        return {}


def _signer_name(signed: Any, signers: Mapping[str, bytes]) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from schemas.keyset import signer_fingerprint

    try:
        key = Ed25519PublicKey.from_public_bytes(SignedKeySet.from_json(signed).signer)
    except MalformedError:
        return "not usable"
    fingerprint = signer_fingerprint(key)
    return next((name for name, pinned in signers.items() if pinned == fingerprint), fingerprint.hex()[:16])


def _set_told(signed: Any, signers: Mapping[str, bytes], computers: Mapping[str, str]) -> SetTold:
    problem = ""
    try:
        one = SignedKeySet.from_json(signed)
        try:
            key_set: KeySet = one.open(set(signers.values()))
        except MalformedError as error:
            problem, key_set = str(error), parse_payload(one.payload)
    except MalformedError as error:
        return SetTold(agents=[], streams=[], key_ids={}, problem=str(error))
    return SetTold(
        agents=[AgentNamed(id=agent, computer=computers.get(agent, "")) for agent in key_set.agents],
        streams=[
            StreamTold(
                stream=label,
                keks=key_set.names(label),
                bound=stream.end_to_end,
                blind_index=stream.blind_index,
            )
            for label, stream in sorted(key_set.streams.items())
        ],
        key_ids={key.name: key_id.hex() for key_id, key in key_set.keys.items()},
        problem=problem,
    )
