"""The session: who is signed in and what they may; signing in and out.

Never sets a cookie that scripts can read, and never takes a sign-in that another site sent.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.identity import Who
from gateway.accounts.sessions import COOKIE, end_session, find_session, freshen_session
from gateway.accounts.sign_in import Caller
from gateway.api.access import Principal, Role, needs
from gateway.api.errors import ApiError
from gateway.api.pages import request_is_same_origin
from gateway.api.services import Services, Serving
from gateway.api.times import to_ms
from gateway.peer import address_of

router = APIRouter(prefix="/api/v1/session", tags=["session"])

SignedIn = Annotated[Principal, needs(None)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class AccountTold(_Model):
    """Whose session it is."""

    id: UUID
    name: str
    display_name: str
    role: Role
    person: str
    """The user name under which they are recorded themselves, empty if they are not."""


class SessionTold(_Model):
    """Until when it goes on."""

    id: UUID
    expires_at_ms: int
    fresh_until_ms: int
    """Until then, accounts can be changed without showing the password again."""


class SessionAnswer(_Model):
    """Who is signed in."""

    account: AccountTold
    permissions: list[str]
    all_teams: bool
    teams: list[str]
    session: SessionTold | None
    """None for a token."""
    unlock_on_server: bool
    must_change_password: bool
    totp: bool
    """Whether the account asks for codes."""


class Challenge(_Model):
    """The password was right; a code is wanted: `POST /api/v1/session/totp`."""

    needs: str = "totp"
    challenge: str


class SignInWish(_Model):
    """A name and a password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1024)


class CodeWish(_Model):
    """The answer to a challenge."""

    challenge: str = Field(max_length=1024)
    code: str = Field(max_length=64)
    """Six digits, or a recovery code."""


class ProofWish(_Model):
    """The password again, and a code where the account asks for them."""

    password: str = Field(max_length=1024)
    code: str = Field(default="", max_length=64)


@router.get("")
async def show(principal: SignedIn, services: Serving, request: Request) -> SessionAnswer:
    """Who is signed in, and what they may do."""
    return await answer_of(services, await services.desk.identities.who(request), principal)


@router.post("", tags=["open"], responses={429: {"description": "too many attempts"}})
async def sign_in(
    wish: SignInWish, services: Serving, request: Request, response: Response
) -> SessionAnswer | Challenge:
    """Sign in; the cookie is in the answer, or a challenge where the account asks for codes."""
    check_origin(request)
    secret, challenge = await services.desk.sign_in.by_password(wish.name, wish.password, caller_of(request))
    if challenge:
        return Challenge(challenge=challenge)
    return await begun(services, secret, request, response)


@router.post("/totp", tags=["open"])
async def answer_challenge(wish: CodeWish, services: Serving, request: Request, response: Response) -> SessionAnswer:
    """The second step of signing in: a code, or a recovery code."""
    check_origin(request)
    secret = await services.desk.sign_in.by_code(wish.challenge, wish.code, caller_of(request))
    return await begun(services, secret, request, response)


@router.post("/fresh", status_code=204)
async def prove(wish: ProofWish, principal: SignedIn, services: Serving, request: Request) -> None:
    """Show the password again, so that accounts can be changed for a while."""
    who = await services.desk.identities.who(request)
    if who.session is None or principal.session_id is None:
        raise ApiError(403, "forbidden", "a token cannot do this: sign in")
    await services.desk.sign_in.prove(who.session.account, wish.password, wish.code, caller_of(request))
    async with services.database() as connection:
        await freshen_session(connection, principal.session_id)
    services.desk.identities.forget()


@router.delete("", status_code=204)
async def sign_out(principal: SignedIn, services: Serving, response: Response) -> None:
    """Sign out: the session is over everywhere."""
    if principal.session_id is None:
        raise ApiError(403, "forbidden", "a token has no session: revoke it instead")
    await services.audit(principal, "sign_out", principal.name)
    async with services.database() as connection:
        await end_session(connection, principal.account_id, principal.session_id)
    services.desk.identities.forget()
    clear_cookie(response)


def check_origin(request: Request) -> None:
    """Raises `ApiError` for a request that another site sent."""
    if not request_is_same_origin(request):
        raise ApiError(403, "cross_site", "another site sent this request: it was not done")


def caller_of(request: Request) -> Caller:
    """The other side, as sessions and the audit name it."""
    return Caller(address_of(request), request.headers.get("user-agent", ""))


def set_cookie(services: Services, response: Response, secret: str) -> None:
    """Put the session's cookie into an answer."""
    age = int(services.settings.accounts.session_s)
    response.set_cookie(COOKIE, secret, max_age=age, path="/", secure=True, httponly=True, samesite="strict")


def clear_cookie(response: Response) -> None:
    """Take the session's cookie away."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")


async def begun(services: Services, secret: str, request: Request, response: Response) -> SessionAnswer:
    """The answer to whoever has just signed in."""
    async with services.database() as connection:
        session = await find_session(connection, secret, services.settings.accounts)
    if session is None:
        raise ApiError(401, "unauthorised", "this account cannot sign in")
    set_cookie(services, response, secret)
    principal = session.account.principal(session.persons, address=address_of(request), session_id=session.id)
    return await answer_of(services, Who(principal, session), principal)


async def answer_of(services: Services, who: Who, principal: Principal) -> SessionAnswer:
    """What pages need to know of who is signed in."""
    account = who.session.account if who.session else None
    fresh_s = services.settings.accounts.fresh_s
    return SessionAnswer(
        account=AccountTold(
            id=principal.account_id,
            name=principal.name,
            display_name=account.display_name if account else "",
            role=principal.role,
            person=principal.person,
        ),
        permissions=sorted(principal.permissions),
        all_teams=principal.persons is None,
        teams=list(account.teams) if account else [],
        session=SessionTold(
            id=who.session.id,
            expires_at_ms=to_ms(who.session.expires_at),
            fresh_until_ms=to_ms(who.session.fresh_at) + int(fresh_s * 1000),
        )
        if who.session
        else None,
        unlock_on_server="unlock_server" in principal.permissions,
        must_change_password=bool(account and account.must_change_password),
        totp=bool(account and account.totp_secret),
    )
