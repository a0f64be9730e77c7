"""Who sent a request: by the session's cookie, or by a bearer token.

Never lets another site act with a person's cookie, and never trusts what it knows for longer than a few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.accounts.lives import file_account, still_lives
from gateway.accounts.sealing import hash_of
from gateway.accounts.sessions import COOKIE, Session, find_session, touch_session
from gateway.accounts.tokens import find_token
from gateway.api.access import Permission, Principal, Role
from gateway.api.errors import ApiError
from gateway.api.pages import request_is_same_origin
from gateway.peer import address_of
from gateway.throttle import Throttle
from gateway.unlock.tokens import PREFIX as FILE_PREFIX
from gateway.unlock.tokens import ApiTokens

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.api.services import Services

KNOWN_S = 2.0
"""How long an answer of the database is believed."""

MAX_KNOWN = 1000
BACKGROUND = "x-sealstream-background"
"""A request with this header was not a person's doing: it does not keep a session from ending by idleness."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FILE_PERMISSIONS = frozenset({Permission.UNLOCK_SERVER, Permission.ENVELOPES})


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks; `session` where it is one."""

    principal: Principal
    session: Session | None


class Identities:
    """Knows who asks, for the whole application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: OrderedDict[bytes, tuple[float, Who, bool]] = OrderedDict()
        self._throttle = Throttle("tokens", services.marks)
        self._files = ApiTokens(services.settings.unlock.tokens_file)

    async def identify(self, request: Request) -> Principal:
        """The principal; raises `ApiError` 401."""
        return (await self.who(request)).principal

    async def who(self, request: Request) -> Who:
        """The principal and their session; raises `ApiError` 401."""
        address = address_of(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme:
            return await self._by_token(scheme, token.strip(), address)
        secret = request.cookies.get(COOKIE, "")
        if not secret:
            raise _nobody()
        if request.method not in _SAFE and not request_is_same_origin(request):
            raise ApiError(403, "cross_site", "another site sent this request: it was not done")
        return await self._by_session(secret, address, busy=BACKGROUND not in request.headers)

    async def lives(self, principal: Principal) -> bool:
        """Whether what is long, such as a live view, may go on: its session or account may have ended meanwhile."""
        async with self._services.database() as connection:
            return await still_lives(
                connection, principal.account_id, principal.session_id, principal.name, principal.role.value
            )

    def forget(self) -> None:
        """What was known may have changed."""
        self._known.clear()

    async def _by_session(self, secret: str, address: str, *, busy: bool) -> Who:
        key = hash_of(secret) + address.encode()
        known = self._recall(key, busy=busy)
        if known is not None:
            return known
        async with self._services.database() as connection:
            session = await find_session(connection, secret, self._services.settings.accounts)
            if session is None:
                raise _nobody()
            if busy:
                await touch_session(connection, session.id)
        principal = session.account.principal(session.persons, address=address, session_id=session.id)
        return self._keep(key, Who(principal, session), busy=busy)

    async def _by_token(self, scheme: str, token: str, address: str) -> Who:
        if not await self._throttle.allows(address):
            raise ApiError(429, "too_many_attempts", "too many wrong tokens: try again in a minute", retry_after_s=60)
        who = await self._look_up(token, address) if scheme.lower() == "bearer" and token else None
        if who is None:
            await self._throttle.fail(address)
            raise ApiError(
                401, "unauthorised", "show a token that is valid: `sealstream api token NAME` makes one, or the console"
            )
        return who

    async def _look_up(self, token: str, address: str) -> Who | None:
        key = hash_of(token) + address.encode()
        known = self._recall(key)
        if known is not None:
            return known
        if token.startswith(FILE_PREFIX):
            person = await asyncio.to_thread(self._files.person, token)
            return Who(file_principal(person, address), None) if person else None
        async with self._services.database() as connection:
            found = await find_token(connection, token)
        if found is None:
            return None
        principal = found.account.principal(found.persons, address=address, scopes=found.scopes)
        return self._keep(key, Who(principal, None))

    def _recall(self, key: bytes, *, busy: bool = False) -> Who | None:
        """What is known; of a person's own doing only when it was theirs before, so that it is written down."""
        until, who, was_busy = self._known.get(key, (0.0, None, False))
        return who if time.monotonic() < until and busy <= was_busy else None

    def _keep(self, key: bytes, who: Who, *, busy: bool = False) -> Who:
        self._known[key] = (time.monotonic() + KNOWN_S, who, busy)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return who


def file_principal(person: str, address: str) -> Principal:
    """Who has a token of the file `unlock.tokens_file`: unlocks and fetches envelopes, of everybody, as ever."""
    return Principal(
        account_id=file_account(person),
        name=person,
        role=Role.OFFICER,
        permissions=_FILE_PERMISSIONS,
        persons=None,
        way="token",
        address=address,
    )


def _nobody() -> ApiError:
    return ApiError(401, "unauthorised", "sign in first")
