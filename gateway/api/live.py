"""Live viewing: who can be watched or heard now, and tickets for the websockets that show it.

Never gives a ticket that was not audited, nor one for somebody whom the account may not see.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, not_found
from gateway.api.services import Services, Serving
from gateway.facts import now_ms
from gateway.live.port import PATH
from gateway.live.tickets import LIFE_MS, Ticket
from infra.hosts import authority
from schemas.live import load_viewer_key

if TYPE_CHECKING:
    from gateway.live.desk import LiveDesk
    from gateway.live.room import Present
    from gateway.presence.view import Whereabouts

router = APIRouter(prefix="/api/v1/live", tags=["live"])

What = Literal["screen", "audio"]

_PERMISSIONS: dict[str, Permission] = {"screen": Permission.WATCH, "audio": Permission.LISTEN}
_ACTIONS = {"screen": "watch", "audio": "listen"}
MOST = 2000
"""So many agents are listed."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class LiveAgent(_Model):
    """An agent that is connected now."""

    agent: UUID
    user: str
    computer: str
    screen: bool
    """Whether its screen can be watched."""
    audio: bool
    """Whether it can be heard."""
    end_to_end: bool
    """Its screen is sealed to officers' KEKs alone: who watches unlocks one in the browser first."""
    viewers: int
    """People who watch its screen now through this server; unknown, and 0, on another."""
    server: str
    """The gateway that has it."""


class LiveAgents(_Model):
    """Who can be watched or heard now."""

    agents: list[LiveAgent]
    screen_refusal: str
    """Why no screen can be watched; empty when some can."""
    audio_refusal: str
    """Why nobody can be heard; empty when somebody can."""


class LiveWish(_Model):
    """Whom to watch or hear, and why."""

    agent: UUID
    what: What
    purpose: str = Field(min_length=1, max_length=1000, pattern=r"\S")
    """It is kept in the audit, where the recorded person can see it."""
    viewer_key: str = Field(default="", max_length=1024)
    """For a screen: base64 of a SubjectPublicKeyInfo, RSA of 2048 bits, whose private half stays in the viewer's page.
    Screens that are sealed end to end are never sealed to it."""


class LiveAnswer(_Model):
    """Where to see it."""

    url: str
    """A websocket; send `{"ticket": TICKET}` first."""
    ticket: str
    """Good once, for half a minute."""
    end_to_end: bool
    cipher: str
    """How sound comes from the agent to the server; empty for a screen."""


class _Place(_Model):
    """Where an agent is connected."""

    agent: UUID
    user: str
    computer: str
    gateway: str
    host: str
    """Of the websocket; empty: the one that was asked."""
    port: int
    live: frozenset[str]
    end_to_end: bool
    """As its gateway tells; the one that was asked knows it by its own policy, too."""


@router.get("")
async def list_agents(principal: Annotated[Principal, needs(Permission.WATCH)], services: Serving) -> LiveAgents:
    """Agents that are connected now and that you may see: here, and on other servers."""
    desk = _desk(services)
    places = [place for place in await _list(services, desk) if principal.may_see(place.user)][:MOST]
    refusals = {what: desk.hub.allows(what) for what in _PERMISSIONS}
    agents = [
        LiveAgent(
            agent=place.agent,
            user=place.user,
            computer=place.computer,
            screen="screen" in place.live and not refusals["screen"],
            audio="audio" in place.live and not refusals["audio"] and principal.may(Permission.LISTEN),
            end_to_end=place.end_to_end or desk.hub.end_to_end(str(place.agent)),
            viewers=desk.hub.viewers(str(place.agent), "screen"),
            server=place.gateway,
        )
        for place in places
    ]
    return LiveAgents(agents=agents, screen_refusal=refusals["screen"], audio_refusal=refusals["audio"])


@router.post("", responses={409: {"description": "it cannot be watched or heard now"}})
async def give_ticket(
    wish: LiveWish, principal: Annotated[Principal, needs(None)], services: Serving, request: Request
) -> LiveAnswer:
    """A ticket to watch a screen, or to hear an agent. The audit has that it was given, and when the view ended."""
    permission = _PERMISSIONS[wish.what]
    if not principal.may(permission):
        raise ApiError(403, "forbidden", f"this needs the permission `{permission}`, which you do not have")
    desk = _desk(services)
    place = await _find(services, desk, wish.agent)
    if place is None or not principal.may_see(place.user):
        raise not_found("agent")
    if refusal := desk.hub.allows(wish.what):
        raise ApiError(409, "not_allowed", refusal)
    if wish.what not in place.live:
        raise ApiError(409, "not_there", f"this agent does not record {wish.what}: its settings name no such source")
    if wish.viewer_key:
        load_viewer_key(wish.viewer_key)
    ticket = Ticket(
        id=secrets.token_urlsafe(16),
        agent_id=str(place.agent),
        what=wish.what,
        gateway=place.gateway,
        user=place.user,
        viewer_key=wish.viewer_key if wish.what == "screen" else "",
        account_id=str(principal.account_id),
        account=principal.name,
        actor=principal.actor,
        session_id=str(principal.session_id or ""),
        purpose=wish.purpose,
        origin=request.headers.get("origin", ""),
        until_ms=now_ms() + LIFE_MS,
    )
    if not desk.tickets.loaded:
        await asyncio.to_thread(desk.tickets.load)
    await services.audit(
        principal,
        _ACTIONS[wish.what],
        str(place.agent),
        purpose=wish.purpose,
        persons=place.user,
        computer=place.computer,
        part="begin",
    )
    sealed = wish.what == "screen" and (place.end_to_end or desk.hub.end_to_end(str(place.agent)))
    cipher = services.settings.live.audio_cipher if wish.what == "audio" else ""
    host = place.host or request.url.hostname or "localhost"
    url = f"wss://{authority(host, place.port)}{PATH}"
    return LiveAnswer(url=url, ticket=desk.tickets.issue(ticket), end_to_end=sealed, cipher=cipher)


async def _list(services: Services, desk: LiveDesk) -> list[_Place]:
    """Agents that are connected: to this process, which knows best, and to other gateways."""
    places = {present.agent_id: _here(services, present) for present in desk.hub.present()}
    for where in await services.presence.agents() if services.presence else ():
        places.setdefault(where.agent_id, _there(where))
    return sorted(places.values(), key=lambda place: (place.user, place.computer))


async def _find(services: Services, desk: LiveDesk, agent: UUID) -> _Place | None:
    """One of them."""
    if present := desk.hub.find(str(agent)):
        return _here(services, present)
    where = await services.presence.find(str(agent)) if services.presence else None
    return _there(where) if where else None


def _here(services: Services, present: Present) -> _Place:
    return _Place(
        agent=UUID(present.agent_id),
        user=present.user,
        computer=present.computer,
        gateway=services.facts.reporter,
        host="",
        port=services.settings.live_port,
        live=present.live,
        end_to_end=False,
    )


def _there(where: Whereabouts) -> _Place:
    host, _, port = where.live_address.rpartition(":")
    return _Place(
        agent=UUID(where.agent_id),
        user=where.user,
        computer=where.computer,
        gateway=where.gateway,
        host=host.strip("[]"),
        port=int(port),
        live=where.live,
        end_to_end=where.end_to_end,
    )


def _desk(services: Services) -> LiveDesk:
    if services.live is None:
        raise ApiError(503, "unavailable", "this server shows nothing live")
    return services.live
