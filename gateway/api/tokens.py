"""API tokens of one's own account: for programs, with scopes.

Never shows a token again, and never makes one by a token.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.changes import own_session
from gateway.accounts.tokens import MAX_DAYS, list_tokens, make_token, revoke_token
from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])

SignedIn = Annotated[Principal, needs(None)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class TokenRow(_Model):
    """A token that is valid."""

    id: UUID
    account: str
    name: str
    scopes: list[str]
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None


class Tokens(_Model):
    """Tokens, by name."""

    tokens: list[TokenRow]


class TokenWish(_Model):
    """A token that is to be made."""

    name: str = Field(min_length=1, max_length=64)
    scopes: list[Permission] = Field(min_length=1, max_length=len(Permission))
    """Never more than the account's own permissions."""
    days: int = Field(default=30, ge=1, le=MAX_DAYS)


class TokenMade(_Model):
    """The token, shown this once."""

    id: UUID
    token: str


@router.get("")
async def show(principal: SignedIn, services: Serving) -> Tokens:
    """One's own tokens."""
    async with services.database() as connection:
        rows = await list_tokens(connection, principal.account_id)
    return Tokens(tokens=[TokenRow(**row) for row in rows])


@router.post("", status_code=201, responses={409: {"description": "there is one of that name"}})
async def make(wish: TokenWish, principal: SignedIn, services: Serving, request: Request) -> TokenMade:
    """Make a token of one's own account."""
    session = await own_session(services, request, fresh=True)
    scopes = sorted(wish.scopes)
    told = {"account": principal.name, "scopes": ",".join(scopes), "days": str(wish.days)}
    async with services.database() as connection, connection.transaction():
        token_id, token = await make_token(connection, session.account, wish.name, scopes, wish.days)
        await services.audit(principal, "token_make", wish.name, **told)
    return TokenMade(id=token_id, token=token)


@router.delete("/{token_id}", status_code=204)
async def revoke(token_id: UUID, principal: SignedIn, services: Serving) -> None:
    """End one of one's own tokens; a token may end itself."""
    async with services.database() as connection, connection.transaction():
        name = await revoke_token(connection, token_id, principal.account_id)
        if name is None:
            raise ApiError(404, "not_found", "there is no such token of yours")
        await services.audit(principal, "token_revoke", name, account=principal.name)
    services.desk.identities.forget()
