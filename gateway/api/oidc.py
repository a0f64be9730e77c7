"""Signing in by the organisation's provider: the browser is sent there, and comes back with an answer.

Never sends the browser anywhere but to the provider and back to the console, and never takes an answer twice.
"""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict

from gateway.accounts.oidc import STATE_S
from gateway.accounts.oidc_accounts import account_of
from gateway.accounts.sign_in import spend
from gateway.api.errors import ApiError, as_api_error
from gateway.api.services import Services, Serving
from gateway.api.session import caller_of, set_cookie
from schemas.errors import SealstreamError

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api/v1/oidc", tags=["session", "open"])

COOKIE = "__Host-sealstream-oidc"
_MAX = 4096
Text = Annotated[str, Query(max_length=_MAX)]


class ProviderTold(BaseModel):
    """Whether the sign-in page has a button for it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    enabled: bool
    title: str
    """Words for the button."""


@router.get("")
async def show(services: Serving) -> ProviderTold:
    """Whether people can sign in by their organisation's provider."""
    return ProviderTold(enabled=services.desk.provider.enabled, title=services.settings.oidc.title)


@router.get("/begin", status_code=302, response_class=RedirectResponse)
async def begin(services: Serving, *, again: bool = False) -> RedirectResponse:
    """Send the browser to the provider; `again`: so that it asks for the password anew."""
    _need_provider(services)
    begun = await services.desk.provider.begin(again=again)
    response = RedirectResponse(begun.address, 302)
    response.set_cookie(
        COOKIE, begun.cookie, max_age=int(STATE_S), path="/", secure=True, httponly=True, samesite="lax"
    )
    return response


@router.get("/callback", status_code=303, response_class=RedirectResponse)
async def finish(  # noqa: PLR0917  # FastAPI calls it by names
    services: Serving, request: Request, code: Text = "", state: Text = "", iss: Text = "", error: Text = ""
) -> RedirectResponse:
    """Where the provider sends the browser back to; it goes on to the console, signed in or with the reason why not."""
    _need_provider(services)
    answer = {"code": code, "state": state, "iss": iss, "error": error}
    try:
        secret = await _sign_in(services, request, {name: text for name, text in answer.items() if text})
    except SealstreamError as fault:
        told = as_api_error(fault)
        log.warning("oidc_refused", word=told.word, reason=str(told))
        services.desk.audit_later(
            "sign_in", "by the provider", outcome="refused", why=told.word, address=caller_of(request).address
        )
        response = RedirectResponse(f"/?refused={told.word}", 303)
    else:
        response = RedirectResponse("/", 303)
        set_cookie(services, response, secret)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


async def _sign_in(services: Services, request: Request, answer: dict[str, str]) -> str:
    cookie = request.cookies.get(COOKIE, "")
    identity = await services.desk.provider.finish(cookie, answer)
    async with services.database() as connection:
        if not await spend(connection, cookie, STATE_S):
            raise ApiError(401, "expired", "that answer was used before")
    caller = caller_of(request)
    account = await account_of(services.desk, identity, caller.address)
    return await services.desk.sign_in.begin(account, caller, "oidc", [])


def _need_provider(services: Services) -> None:
    if not services.desk.provider.enabled:
        raise ApiError(404, "not_found", "there is no provider here: see the settings of `oidc`")
