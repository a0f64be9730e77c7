"""Accounts, for administrators: who signs in, with which role, and whom they may see.

Never shows a password or a hash, and never lets somebody change their own role or scope.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts import store
from gateway.accounts.account import Account
from gateway.accounts.changes import TOLD, differences, own_session
from gateway.accounts.limits import forgive_name
from gateway.accounts.links import make_password_link, password_link
from gateway.accounts.sessions import end_sessions, list_sessions
from gateway.accounts.tokens import list_tokens, revoke_token
from gateway.accounts.totp import keep_recovery_codes
from gateway.api.access import Permission, Principal, Role, needs
from gateway.api.account import CHANGE, SessionRow, Sessions
from gateway.api.errors import ApiError
from gateway.api.services import Services, Serving
from gateway.api.tokens import TokenRow, Tokens
from schemas.errors import MalformedError

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"])

Managing = Annotated[Principal, needs(Permission.ACCOUNTS)]
TeamName = Annotated[str, Field(min_length=1, max_length=64)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class AccountRow(_Model):
    """An account."""

    id: UUID
    name: str
    display_name: str
    role: Role
    person: str
    """User name under which its owner is recorded; empty if they are not."""
    all_teams: bool
    teams: list[str]
    unlock_on_server: bool
    disabled: bool
    password: bool
    """Whether it has one."""
    oidc: bool
    """Whether it signs in by the organisation's provider."""
    totp: bool


class Accounts(_Model):
    """All accounts, by name."""

    accounts: list[AccountRow]


class AccountWish(_Model):
    """What an account may do."""

    display_name: str = Field(default="", max_length=128)
    role: Role
    person: str = Field(default="", max_length=256)
    all_teams: bool = False
    teams: list[TeamName] = Field(default=[], max_length=500)
    unlock_on_server: bool = False
    disabled: bool = False


class NewAccount(AccountWish):
    """An account that is to be made."""

    name: str = Field(min_length=1, max_length=64)


class LinkMade(_Model):
    """A link by which the account's owner sets a password; shown this once."""

    link: str


class AccountMade(LinkMade):
    """The account with its link."""

    account: AccountRow


@router.get("")
async def show(_principal: Managing, services: Serving) -> Accounts:
    """All accounts."""
    async with services.database() as connection:
        return Accounts(accounts=[row_of(one) for one in await store.list_accounts(connection)])


@router.post("", status_code=201, responses={409: {"description": "there is one of that name"}})
async def make(wish: NewAccount, principal: Managing, services: Serving, request: Request) -> AccountMade:
    """Make an account; its owner sets a password by the link."""
    await own_session(services, request, fresh=True)
    _check(wish)
    name = wish.name.strip().lower()
    told = {key: text for key, text in differences(dict.fromkeys(TOLD), wish.model_dump()).items() if text}
    async with services.database() as connection, connection.transaction():
        account_id = await store.make_account(connection, name, wish.role, wish.teams, **_columns(wish))
        secret = await make_password_link(connection, account_id, services.settings.accounts.link_s)
        account = await store.read_account(connection, account_id)
        await services.audit(principal, CHANGE, name, change="make", **told)
    return AccountMade(account=row_of(account), link=password_link(services.settings, secret))


@router.get("/{account_id}")
async def show_one(account_id: UUID, _principal: Managing, services: Serving) -> AccountRow:
    """An account."""
    async with services.database() as connection:
        return row_of(await store.read_account(connection, account_id))


@router.put("/{account_id}", responses={409: {"description": "one's own, or the last administrator"}})
async def change(
    account_id: UUID, wish: AccountWish, principal: Managing, services: Serving, request: Request
) -> AccountRow:
    """Change what an account may do; one that is disabled is signed out everywhere."""
    await own_session(services, request, fresh=True)
    _check(wish)
    async with services.database() as connection:
        before = await store.read_account(connection, account_id)
    changed = differences(row_of(before).model_dump(), wish.model_dump())
    if account_id == principal.account_id and set(changed) - {"display_name", "person"}:
        raise ApiError(409, "own_account", "another administrator must change your own role and scope")
    async with services.database() as connection, connection.transaction():
        await store.change_account(connection, account_id, role=wish.role.value, **_columns(wish))
        await store.set_teams(connection, account_id, wish.teams)
        if wish.disabled:
            await end_sessions(connection, account_id)
        else:
            await forgive_name(connection, before.name)
        after = await store.read_account(connection, account_id)
        if changed:
            await services.audit(principal, CHANGE, before.name, change="change", **changed)
    services.desk.identities.forget()
    return row_of(after)


@router.delete("/{account_id}", status_code=204)
async def delete(account_id: UUID, principal: Managing, services: Serving, request: Request) -> None:
    """Take an account away; what it did stays in the audit."""
    account = await _other(services, request, principal, account_id)
    async with services.database() as connection, connection.transaction():
        await store.delete_account(connection, account_id)
        await services.audit(principal, CHANGE, account.name, change="delete")
    services.desk.identities.forget()


@router.post("/{account_id}/link")
async def make_link(account_id: UUID, principal: Managing, services: Serving, request: Request) -> LinkMade:
    """A link by which the account's owner sets a new password; earlier ones are void."""
    account = await _other(services, request, principal, account_id)
    await services.audit(principal, CHANGE, account.name, change="link")
    async with services.database() as connection, connection.transaction():
        secret = await make_password_link(connection, account_id, services.settings.accounts.link_s)
        await forgive_name(connection, account.name)
    return LinkMade(link=password_link(services.settings, secret))


@router.delete("/{account_id}/totp", status_code=204)
async def reset_totp(account_id: UUID, principal: Managing, services: Serving, request: Request) -> None:
    """Take an account's codes away, for who lost their device; its sessions end."""
    account = await _other(services, request, principal, account_id)
    await services.audit(principal, CHANGE, account.name, change="codes reset")
    async with services.database() as connection, connection.transaction():
        await store.change_account(connection, account_id, totp_secret=None, totp_pending=None)
        await keep_recovery_codes(connection, account_id, [])
        await end_sessions(connection, account_id)
    services.desk.identities.forget()


@router.get("/{account_id}/sessions")
async def show_sessions(account_id: UUID, _principal: Managing, services: Serving) -> Sessions:
    """The sessions of an account."""
    async with services.database() as connection:
        await store.read_account(connection, account_id)
        rows = await list_sessions(connection, account_id, services.settings.accounts)
    return Sessions(sessions=[SessionRow(**row) for row in rows])


@router.delete("/{account_id}/sessions", status_code=204)
async def sign_out_everywhere(account_id: UUID, principal: Managing, services: Serving, request: Request) -> None:
    """End all sessions of an account."""
    account = await _other(services, request, principal, account_id)
    await services.audit(principal, "sign_out", account.name, session="all")
    async with services.database() as connection:
        await end_sessions(connection, account_id)
    services.desk.identities.forget()


@router.get("/{account_id}/tokens")
async def show_tokens(account_id: UUID, _principal: Managing, services: Serving) -> Tokens:
    """The tokens of an account."""
    async with services.database() as connection:
        await store.read_account(connection, account_id)
        return Tokens(tokens=[TokenRow(**row) for row in await list_tokens(connection, account_id)])


@router.delete("/{account_id}/tokens/{token_id}", status_code=204)
async def revoke(account_id: UUID, token_id: UUID, principal: Managing, services: Serving, request: Request) -> None:
    """End a token of an account."""
    await own_session(services, request, fresh=True)
    async with services.database() as connection:
        account = await store.read_account(connection, account_id)
    async with services.database() as connection, connection.transaction():
        name = await revoke_token(connection, token_id, account_id)
        if name is None:
            raise ApiError(404, "not_found", "there is no such token of that account")
        await services.audit(principal, "token_revoke", name, account=account.name)
    services.desk.identities.forget()


async def _other(services: Services, request: Request, principal: Principal, account_id: UUID) -> Account:
    """The account, which is not the asking one's; raises `ApiError`."""
    await own_session(services, request, fresh=True)
    if account_id == principal.account_id:
        raise ApiError(409, "own_account", "change your own account on its own page, or ask another administrator")
    async with services.database() as connection:
        return await store.read_account(connection, account_id)


def _check(wish: AccountWish) -> None:
    if wish.role is Role.SUBJECT and not wish.person.strip():
        raise MalformedError("a subject is a recorded person: say under which user name", "bad_request")


def _columns(wish: AccountWish) -> dict[str, object]:
    return {
        "display_name": wish.display_name.strip(),
        "person": wish.person.strip() or None,
        "all_teams": wish.all_teams,
        "unlock_on_server": wish.unlock_on_server,
        "disabled": wish.disabled,
    }


def row_of(account: Account) -> AccountRow:
    """As administrators see it."""
    return AccountRow(
        id=account.id,
        name=account.name,
        display_name=account.display_name,
        role=account.role,
        person=account.person,
        all_teams=account.all_teams,
        teams=list(account.teams),
        unlock_on_server=account.unlock_on_server,
        disabled=account.disabled,
        password=account.password_hash is not None,
        oidc=account.oidc_subject is not None,
        totp=account.totp_secret is not None,
    )
