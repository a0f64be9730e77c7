"""Unlocking over HTTPS: the routes that a console or `sealstream unlock --server` uses, as docs/unlock.md says.

Never has a passphrase or plaintext in this process: what passes is sealed between the viewer and the opener process.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.throttle import Throttle
from gateway.unlock.finding import find, read
from gateway.unlock.refusal import NOTHING_FOUND, TOO_MANY_ATTEMPTS, UNAVAILABLE, RefusedError, refusal_of
from gateway.unlock.request import read_object, requested_scope, text_of
from gateway.unlock.scope import Scope
from gateway.unlock.session import MIN_REASON, UnlockSession
from gateway.unlock.tokens import ApiTokens
from infra.audit import audit_trail
from schemas.errors import SealstreamError

if TYPE_CHECKING:
    from starlette.requests import Request

    from infra.settings import Settings

log = structlog.get_logger(__name__)

UNLOCK_PATH = "/api/v1/unlock"
ENVELOPES_PATH = "/api/v1/envelopes"

_STATUS = {
    "unauthorised": 401,
    "out_of_turn": 409,
    "too_many_sessions": 429,
    NOTHING_FOUND: 404,
    TOO_MANY_ATTEMPTS: 429,
    UNAVAILABLE: 503,
    "bad_request": 400,
    "bad_scope": 400,
    "bad_key": 400,
    "no_reason": 400,
    "failed": 500,
}
"""Of each reason; every other one is 403."""

Handler = Callable[["Request", str], Awaitable[Response]]


@dataclass(slots=True, eq=False)
class _Held:
    session: UnlockSession
    person: str
    ends: asyncio.TimerHandle | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


class UnlockApi:
    """The routes and the unlocks that are under way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = ApiTokens(settings.unlock.tokens_file)
        self._throttle = Throttle()
        self._held: dict[str, _Held] = {}
        self._beginning = 0
        self._tasks: set[asyncio.Task[None]] = set()
        one = UNLOCK_PATH + "/{session}"
        self.routes = [
            Route(UNLOCK_PATH, self._for_persons(self.begin), methods=["POST"]),
            Route(one + "/passphrase", self._for_persons(self.open), methods=["POST"]),
            Route(one + "/segments", self._for_persons(self.release)),
            Route(one, self._for_persons(self.end), methods=["DELETE"]),
            Route(ENVELOPES_PATH, self._for_persons(self.show_envelopes)),
        ]

    async def begin(self, request: Request, person: str) -> Response:
        """`POST /api/v1/unlock`: audit the wish, find what is in scope; the opener's public key."""
        body = await read_object(request)
        scope = Scope.from_json(body)
        if len(self._held) + self._beginning >= self._settings.unlock.sessions:
            raise RefusedError("too_many_sessions", "other unlocks are under way: try again in a minute", 60)
        session = UnlockSession(
            self._settings,
            scope,
            person=person,
            reason=text_of(body, "reason"),
            keys=[str(name) for name in body.get("keys") or ()],
            via=f"https {_address(request)}",
        )
        self._beginning += 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(session)
                survey = await session.survey()
                stack.pop_all()
        finally:
            self._beginning -= 1
        held = self._held[session.id.hex()] = _Held(session, person)
        session_s = self._settings.unlock.session_s
        held.ends = asyncio.get_running_loop().call_later(session_s, self._close_soon, held)
        answer = {
            "session": session.id.hex(),
            "public_key": base64.b64encode(survey.public_key).decode(),
            "envelopes": survey.envelopes,
            "keys": survey.keys,
            "trying": survey.trying,
            "expires_s": session_s,
        }
        return JSONResponse(answer, 201)

    async def open(self, request: Request, person: str) -> Response:
        """`POST …/passphrase`: the viewer's public key and sealed passphrase; which KEKs it opened."""
        held = self._find(request, person)
        body = await read_object(request)
        async with held.busy:
            try:
                names = await held.session.open(_bytes_of(body, "public_key"), _bytes_of(body, "sealed"))
            except RefusedError:
                await self._close(held)
                raise
        return JSONResponse({"keys": names})

    async def release(self, request: Request, person: str) -> Response:
        """`GET …/segments`: the sealed messages, each after its length in 4 bytes; then the session is over."""
        held = self._find(request, person)
        if held.busy.locked():
            raise RefusedError("out_of_turn", "this unlock is busy")
        messages = held.session.release()
        first = await anext(messages)

        async def body() -> AsyncIterator[bytes]:
            try:
                async with held.busy:
                    yield _with_length(first)
                    async for message in messages:
                        yield _with_length(message)
            finally:
                self._close_soon(held)

        return StreamingResponse(body(), media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    async def end(self, request: Request, person: str) -> Response:
        """`DELETE …`: end it; when this returns, its memory is gone."""
        await self._close(self._find(request, person))
        return Response(status_code=204)

    async def show_envelopes(self, request: Request, person: str) -> Response:
        """`GET /api/v1/envelopes`: sealed envelopes as they came, for unlocking in the browser (R6.7)."""
        scope, reason = requested_scope(request), request.query_params.get("reason", "").strip()
        if len(reason) < MIN_REASON:
            raise RefusedError("no_reason", "say why: `reason` is kept")
        async with audit_trail(self._settings) as write:
            detail = {
                "since_ms": str(scope.since_ms),
                "until_ms": str(scope.until_ms),
                "via": f"https {_address(request)}",
            }
            await write("fetch", str(scope), actor=person, purpose=reason, detail=detail)
        found = await find(self._settings, scope)
        envelopes = (envelope.value for envelope in read(found, scope))
        return StreamingResponse(_batches(envelopes), media_type="application/octet-stream")

    async def close(self) -> None:
        """End every unlock."""
        for held in list(self._held.values()):
            await self._close(held)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _for_persons(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Only who shows a token gets to `handler`; what is refused is answered as JSON."""

        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request, await self._person(request))
            except SealstreamError as error:
                refusal = refusal_of(error)
                log.warning("unlock_refused", reason=refusal.reason, address=_address(request))
                body = {"error": refusal.reason, "message": str(refusal)}
                headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
                return JSONResponse(body, _STATUS.get(refusal.reason, 403), headers=headers)

        return endpoint

    async def _person(self, request: Request) -> str:
        address, now_s = _address(request), time.monotonic()
        if not self._throttle.allows(address, now_s):
            raise RefusedError(TOO_MANY_ATTEMPTS, "too many wrong tokens: try again in a minute", 60)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        person = await asyncio.to_thread(self._tokens.person, token.strip()) if scheme.lower() == "bearer" else ""
        if not person:
            self._throttle.fail(address, now_s)
            raise RefusedError("unauthorised", "show a token that is valid: `sealstream api token NAME` makes one")
        return f"{person}@api"

    def _find(self, request: Request, person: str) -> _Held:
        held = self._held.get(request.path_params["session"])
        if held is None or held.person != person:
            raise RefusedError(NOTHING_FOUND, "there is no such unlock of yours: it ended, or never began")
        return held

    def _close_soon(self, held: _Held) -> None:
        task = asyncio.get_running_loop().create_task(self._close(held))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self, held: _Held) -> None:
        if self._held.pop(held.session.id.hex(), None) is None:
            return
        if held.ends:
            held.ends.cancel()
        try:
            await held.session.__aexit__(None, None, None)
        except SealstreamError as error:
            log.error("unlock_end_not_audited", reason=str(error))  # noqa: TRY400 - the message is all there is to say


async def _batches(envelopes: Iterator[bytes], least: int = 256 * 1024) -> AsyncIterator[bytes]:
    """Envelopes after their lengths, read beside the event loop."""

    def some() -> bytes:
        batch = bytearray()
        for envelope in envelopes:
            batch += _with_length(envelope)
            if len(batch) >= least:
                break
        return bytes(batch)

    while batch := await asyncio.to_thread(some):
        yield batch


def _with_length(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def _bytes_of(body: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(text_of(body, name), validate=True)
    except binascii.Error:
        raise RefusedError("bad_request", f"{name} is not base64") from None


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
