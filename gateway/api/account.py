"""One's own account: password, codes, recovery codes, sessions.

Never changes anything of a session that has not shown its password lately, and never by a token.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts import totp
from gateway.accounts.changes import own_session
from gateway.accounts.passwords import check_strength
from gateway.accounts.sessions import end_session, end_sessions, freshen_session, list_sessions
from gateway.accounts.store import change_account, read_account
from gateway.api.access import Principal, needs
from gateway.api.errors import ApiError
from gateway.api.services import Serving
from gateway.api.session import caller_of

router = APIRouter(prefix="/api/v1/account", tags=["account"])

SignedIn = Annotated[Principal, needs(None)]
CHANGE = "account_change"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class SessionRow(_Model):
    """A session that goes on."""

    id: UUID
    started_at_ms: int
    seen_at_ms: int
    expires_at_ms: int
    address: str
    browser: str
    way: str
    current: bool = False
    """Whether it is the one that asks."""


class Sessions(_Model):
    """The sessions of an account."""

    sessions: list[SessionRow]


class Security(_Model):
    """How the account is protected."""

    password: bool
    """Whether it has one; an account of the organisation's provider has none."""
    totp: bool
    recovery_codes_left: int


class PasswordWish(_Model):
    """The password as it is, and as it is to be."""

    current: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class TotpOffer(_Model):
    """A secret for an authenticator; it counts once a code of it was sent."""

    secret: str
    uri: str
    picture: str
    """The QR code: an SVG as `data:` address."""


class TotpProof(_Model):
    """A code of the authenticator."""

    code: str = Field(max_length=16)


class RecoveryCodes(_Model):
    """Shown this once; each works once, in place of a code."""

    recovery_codes: list[str]


@router.get("/security")
async def show_security(principal: SignedIn, services: Serving) -> Security:
    """How one's own account is protected."""
    async with services.database() as connection:
        account = await read_account(connection, principal.account_id)
        left = await totp.recovery_codes_left(connection, account.id)
    return Security(
        password=account.password_hash is not None, totp=account.totp_secret is not None, recovery_codes_left=left
    )


@router.post("/password", status_code=204)
async def change_password(wish: PasswordWish, principal: SignedIn, services: Serving, request: Request) -> None:
    """Change one's own password; every other session ends."""
    session = await own_session(services, request, fresh=False)
    account = session.account
    if account.password_hash is None:
        raise ApiError(409, "no_password", "this account signs in by your organisation: it has no password here")
    check_strength(wish.new, name=account.name)
    await services.desk.sign_in.check_password(account, wish.current, caller_of(request))
    if wish.current == wish.new:
        raise ApiError(400, "weak_password", "that is the password you have: choose another")
    kept = await services.desk.passwords.hash(wish.new)
    await services.audit(principal, CHANGE, account.name, change="password")
    async with services.database() as connection, connection.transaction():
        await change_account(connection, account.id, password_hash=kept, must_change_password=False)
        await end_sessions(connection, account.id, but=session.id)
        await freshen_session(connection, session.id)
    services.desk.identities.forget()


@router.post("/totp")
async def offer_totp(_principal: SignedIn, services: Serving, request: Request) -> TotpOffer:
    """Begin to ask for codes at sign-in: a secret for the authenticator."""
    session = await own_session(services, request, fresh=True)
    secret = totp.make_totp_secret()
    sealed = await services.desk.key.seal(totp.LABEL, secret.encode())
    async with services.database() as connection, connection.transaction():
        await change_account(connection, session.account.id, totp_pending=sealed)
    uri = totp.provisioning_uri(secret, session.account.name)
    return TotpOffer(secret=secret, uri=uri, picture=totp.picture_of(uri))


@router.put("/totp")
async def confirm_totp(proof: TotpProof, principal: SignedIn, services: Serving, request: Request) -> RecoveryCodes:
    """Confirm the secret by a code of it: from now on sign-in asks for one."""
    session = await own_session(services, request, fresh=True)
    async with services.database() as connection:
        sealed = await connection.fetchval("SELECT totp_pending FROM account WHERE account_id = $1", session.account.id)
    if sealed is None:
        raise ApiError(409, "out_of_turn", "ask for a secret first")
    secret = (await services.desk.key.open(totp.LABEL, sealed)).decode()
    step = totp.matching_step(secret, proof.code)
    if step is None:
        raise ApiError(400, "wrong_code", "that code is not right: is the clock of the device right?")
    codes = totp.make_recovery_codes()
    await services.audit(principal, CHANGE, session.account.name, change="codes on")
    async with services.database() as connection, connection.transaction():
        await change_account(connection, session.account.id, totp_secret=sealed, totp_pending=None, totp_last_step=step)
        await totp.keep_recovery_codes(connection, session.account.id, codes)
        await end_sessions(connection, session.account.id, but=session.id)
    services.desk.identities.forget()
    return RecoveryCodes(recovery_codes=codes)


@router.delete("/totp", status_code=204)
async def remove_totp(principal: SignedIn, services: Serving, request: Request) -> None:
    """Sign in without codes from now on."""
    session = await own_session(services, request, fresh=True)
    await services.audit(principal, CHANGE, session.account.name, change="codes off")
    async with services.database() as connection, connection.transaction():
        await change_account(connection, session.account.id, totp_secret=None, totp_pending=None)
        await totp.keep_recovery_codes(connection, session.account.id, [])
    services.desk.identities.forget()


@router.post("/recovery-codes")
async def renew_recovery_codes(principal: SignedIn, services: Serving, request: Request) -> RecoveryCodes:
    """Ten new recovery codes; the earlier ones are void."""
    session = await own_session(services, request, fresh=True)
    if session.account.totp_secret is None:
        raise ApiError(409, "out_of_turn", "this account does not ask for codes")
    codes = totp.make_recovery_codes()
    await services.audit(principal, CHANGE, session.account.name, change="recovery codes")
    async with services.database() as connection, connection.transaction():
        await totp.keep_recovery_codes(connection, session.account.id, codes)
    return RecoveryCodes(recovery_codes=codes)


@router.get("/sessions")
async def show_sessions(principal: SignedIn, services: Serving) -> Sessions:
    """One's own sessions, the last used first."""
    async with services.database() as connection:
        rows = await list_sessions(connection, principal.account_id, services.settings.accounts)
    return Sessions(sessions=[SessionRow(**row, current=row["id"] == principal.session_id) for row in rows])


@router.delete("/sessions/{session_id}", status_code=204)
async def end_one(session_id: UUID, principal: SignedIn, services: Serving, request: Request) -> None:
    """End one of one's own sessions."""
    await own_session(services, request, fresh=False)
    async with services.database() as connection, connection.transaction():
        if not await end_session(connection, principal.account_id, session_id):
            raise ApiError(404, "not_found", "there is no such session of yours")
        await services.audit(principal, "sign_out", principal.name, session=str(session_id))
    services.desk.identities.forget()


@router.delete("/sessions", status_code=204)
async def end_others(principal: SignedIn, services: Serving, request: Request) -> None:
    """End all of one's own sessions but this one."""
    session = await own_session(services, request, fresh=False)
    await services.audit(principal, "sign_out", principal.name, session="all others")
    async with services.database() as connection:
        await end_sessions(connection, principal.account_id, but=session.id)
    services.desk.identities.forget()
