"""Requests for an unlock that another gateway has: passed on to it over TLS, so that its person need not know of it.

Never has a passphrase or plaintext: what passes is sealed between the viewer and the opener process. Never passes on
what was passed on, and never takes what a master of this installation did not seal for this gateway, a moment ago.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import httpx2 as httpx
import structlog

from gateway.accounts.sealing import NotOursError
from gateway.api.errors import ApiError
from gateway.unlock.process import OpenedKeys
from gateway.unlock.refusal import RefusedError
from infra.hosts import authority
from infra.tls import client_context

if TYPE_CHECKING:
    from gateway.api.access import Principal
    from gateway.api.services import Services

log = structlog.get_logger(__name__)

Part = Literal["open", "release", "end"]

PATH = "/api/v1/unlock/passed"
LIFE_S = 30.0
"""So long what was passed on is good; the masters' clocks must agree so far."""

CONNECT_S = 3.0
ANSWER_S = 60.0
_LABEL = "an unlock's request, passed on"


@dataclass(frozen=True, slots=True)
class Place:
    """Which gateway has an unlock. `address` is `host:port` of its HTTPS port among nodes, empty where it told none."""

    gateway: str
    address: str = ""

    @classmethod
    def of_mark(cls, text: str) -> Place:
        """From what `UnlockPassing.note` left."""
        gateway, _, address = text.partition(" ")
        return cls(gateway, address)


@dataclass(frozen=True, slots=True)
class Passed:
    """A request, as one gateway asserts it to another: it has checked who asks, and that they may.

    `public_key` and `sealed` are the viewer's, in base64, where a passphrase is given.
    """

    to: str
    sender: str
    part: Part
    session: str
    actor: str
    public_key: str = ""
    sealed: str = ""


class UnlockPassing:
    """One of them for the application."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def note(self, session: str, principal: Principal) -> None:
        """Let the other gateways know that this one has it, and where they reach it."""
        services = self._services
        own = authority(services.settings.node.address, services.settings.gateway.https_port)
        life_ms = int(services.unlocks.session_s * 1000)
        await services.marks.note(_mark(session, principal.actor), f"{services.facts.reporter} {own}", life_ms)

    async def find(self, session: str, principal: Principal) -> Distant | None:
        """That person's unlock at another gateway, as far as is known."""
        place = Place.of_mark(await self._services.marks.noted(_mark(session, principal.actor)))
        if place.gateway in ("", self._services.facts.reporter):
            return None
        return Distant(self, place, session, principal.actor)

    async def take(self, text: str, address: str) -> Passed:
        """What another gateway passed on to this one; raises `RefusedError` for anything else."""
        fault = "" if address in self._services.approved else "not an approved node"
        try:
            told = Passed(**_known(await self._services.desk.key.open_object(_LABEL, text)))
            fault = fault or self._misfit(told)
        except (NotOursError, TypeError) as error:
            fault = fault or str(error)
        if fault:
            log.warning("unlock_passing_refused", address=address, reason=fault)
            raise RefusedError("not_passed", "this was not passed on by a master of this installation")
        return told

    def _misfit(self, told: Passed) -> str:
        if told.to != self._services.facts.reporter:
            return "for another gateway"
        return "" if told.part in get_args(Part) else "of another release"

    @asynccontextmanager
    async def ask(
        self, place: Place, part: Part, session: str, actor: str, **texts: str
    ) -> AsyncIterator[httpx.Response]:
        """That gateway's answer; raises what it refused, and `RefusedError` when it cannot be asked."""
        told = Passed(place.gateway, self._services.facts.reporter, part, session, actor, **texts)
        if not place.address:
            raise self._elsewhere(place, "send all its requests there")
        sealed = await self._services.desk.key.seal_object(_LABEL, asdict(told), LIFE_S)
        try:
            context = await asyncio.to_thread(self._context)
            async with (
                httpx.AsyncClient(
                    verify=context, timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S), trust_env=False
                ) as client,
                client.stream("POST", f"https://{place.address}{PATH}", json={"passed": sealed}) as answer,
            ):
                if answer.status_code >= 300:
                    raise self._refusal(place, answer.status_code, await answer.aread(), answer.headers)
                yield answer
        except (httpx.HTTPError, OSError) as error:
            log.warning("unlock_passing_failed", gateway=place.gateway, reason=type(error).__name__)
            raise self._elsewhere(place, "it does not answer this one now: begin another unlock") from error

    def _refusal(self, place: Place, status: int, body: bytes, headers: httpx.Headers) -> ApiError | RefusedError:
        """What that gateway said to the person, or that it does not listen to this one."""
        try:
            told = _object(body)
            word, message = str(told["error"]), str(told["message"])
        except (ValueError, LookupError):
            return self._elsewhere(place, f"it answers {status} to this one: begin another unlock")
        if word == "not_passed" or (status, word) == (404, "not_found"):  # the latter of a release before this one
            return self._elsewhere(place, "it takes no requests from this one: see docs/unlock.md")
        retry = headers.get("retry-after", "")
        return ApiError(status, word, message, retry_after_s=int(retry) if retry.isdecimal() else 0)

    def _elsewhere(self, place: Place, advice: str) -> RefusedError:
        own = self._services.facts.reporter
        told = f"this unlock is at the server {place.gateway}, and this is {own}: {advice}"
        return RefusedError("elsewhere", told)

    def _context(self) -> ssl.SSLContext:
        gateway = self._services.settings.gateway
        return client_context(gateway.https_tls_profile or gateway.tls_profile, gateway.ca_file, listener="https")


@dataclass(frozen=True, slots=True)
class Distant:
    """An `Unlock` that another gateway has."""

    passing: UnlockPassing
    place: Place
    session: str
    actor: str

    async def open(self, viewer: bytes, sealed: bytes) -> OpenedKeys:
        """As `Unlock` says, there."""
        texts = {"public_key": _text(viewer), "sealed": _text(sealed)}
        async with self._asked("open", **texts) as answer:
            told = _object(await answer.aread())
            return OpenedKeys(told["keys"], told.get("closed", []))

    async def release(self) -> AsyncIterator[bytes]:
        """As `Unlock` says, there. Where it breaks off, the summary at the end is missing."""
        async with AsyncExitStack() as stack:
            answer = await stack.enter_async_context(self._asked("release"))
            opened = stack.pop_all()

        async def body() -> AsyncIterator[bytes]:
            async with opened:
                try:
                    async for piece in answer.aiter_raw():
                        yield piece
                except httpx.HTTPError as error:
                    log.warning("unlock_passing_cut", gateway=self.place.gateway, reason=type(error).__name__)

        return body()

    async def end(self) -> None:
        """As `Unlock` says, there."""
        async with self._asked("end"):
            pass

    def _asked(self, part: Part, **texts: str) -> AbstractAsyncContextManager[httpx.Response]:
        return self.passing.ask(self.place, part, self.session, self.actor, **texts)


def _mark(session: str, actor: str) -> str:
    return f"unlock\0{actor}\0{session}"


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in Passed.__slots__ if name in values}


def _object(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
