"""One-time links: the first administrator makes their account, and people set a password that nobody else knows.

Never tells of a link that was used or has expired, and never takes a secret in an address.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.links import look_at_link, use_link
from gateway.accounts.passwords import check_strength
from gateway.accounts.sessions import end_sessions
from gateway.accounts.store import change_account, make_account, read_account
from gateway.api.access import Role
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.api.session import SessionAnswer, begun, caller_of, check_origin
from schemas.errors import MalformedError

router = APIRouter(prefix="/api/v1/links", tags=["session", "open"])


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class LinkSecret(_Model):
    """What stands after the `#` of a link."""

    secret: str = Field(min_length=20, max_length=128)


class LinkTold(_Model):
    """What a link is for."""

    purpose: Literal["first", "password"]
    name: str
    """The account's, empty for the first administrator's link."""


class LinkWish(LinkSecret):
    """The account's password; for the first administrator also its name."""

    password: str = Field(max_length=1024)
    name: str = Field(default="", max_length=64)
    display_name: str = Field(default="", max_length=128)


@router.post("/look")
async def look(wish: LinkSecret, services: Serving, request: Request) -> LinkTold:
    """What a link is for, without using it."""
    check_origin(request)
    await services.desk.slow_down(request)
    async with services.database() as connection:
        link = await services.desk.counted(request, look_at_link(connection, wish.secret))
    return LinkTold(purpose="password" if link.account_id else "first", name=link.name or "")


@router.post("/use")
async def use(wish: LinkWish, services: Serving, request: Request, response: Response) -> SessionAnswer:
    """Use a link: the password is set, and its owner signed in; or, with a second factor, sent to sign in."""
    check_origin(request)
    await services.desk.slow_down(request)
    async with services.database() as connection:
        link = await services.desk.counted(request, look_at_link(connection, wish.secret))
    name = link.name or wish.name.strip().lower()
    if not name:
        raise MalformedError("choose a name for your account", "bad_request")
    check_strength(wish.password, name=name)
    kept = await services.desk.passwords.hash(wish.password)
    change = "password by link" if link.account_id else "first administrator"
    async with services.database() as connection, connection.transaction():
        account_id = await use_link(connection, wish.secret)
        if account_id is None:
            account_id = await make_account(
                connection,
                name,
                Role.ADMINISTRATOR,
                display_name=wish.display_name.strip(),
                all_teams=True,
                password_hash=kept,
            )
        else:
            await change_account(connection, account_id, password_hash=kept, must_change_password=False)
            await end_sessions(connection, account_id)
        account = await read_account(connection, account_id)
        told = {"change": change, "address": caller_of(request).address}
        await services.desk.audit_plainly("account_change", name, actor=name, **told)
    services.desk.identities.forget()
    if account.disabled or account.totp_secret is not None:
        raise ApiError(401, "sign_in", "the password is set: sign in with it")
    secret = await services.desk.sign_in.begin(account, caller_of(request), "link", [])
    return await begun(services, secret, request, response)
