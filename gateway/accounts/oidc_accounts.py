"""Which account somebody is who signed in at the organisation's provider: found, tied the first time, or made.

Never gives a role that the settings do not give, and never ties an account that has a password of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.accounts.account import Account
from gateway.accounts.store import NAME, change_account, find_account, find_by_subject, make_account, read_account
from gateway.api.access import Role
from gateway.api.errors import ApiError

if TYPE_CHECKING:
    from gateway.accounts.desk import Desk
    from gateway.accounts.oidc import Identity
    from infra.settings import OidcSettings


async def account_of(desk: Desk, identity: Identity, address: str) -> Account:
    """The account; raises `ApiError` 401 and 403."""
    services = desk.services
    settings = services.settings.oidc
    role = role_of(settings, identity)
    async with services.database() as connection:
        account = await find_by_subject(connection, identity.subject)
        named = await find_account(connection, identity.name) if account is None else None
    if account is None and named is not None:
        account = await _tie(desk, named, identity, address)
    if account is None:
        account = await _make(desk, identity, role, address)
    if account.disabled:
        raise ApiError(401, "no_account", "this account is disabled: ask an administrator")
    if role is not None and role is not account.role:
        await desk.audit_plainly(
            "account_change",
            account.name,
            actor="oidc",
            change="role by claim",
            role=f"{account.role} → {role}",
            address=address,
        )
        async with services.database() as connection, connection.transaction():
            await change_account(connection, account.id, role=role.value)
            account = await read_account(connection, account.id)
        desk.identities.forget()
    return account


def role_of(settings: OidcSettings, identity: Identity) -> Role | None:
    """The role that the claim gives, none where roles are given in the console; raises `ApiError` 403."""
    if not settings.role_claim:
        return None
    for group, role in settings.roles.items():
        if group in identity.groups:
            return Role(role)
    raise ApiError(403, "no_role", "your organisation's provider gives you no role here: ask an administrator")


async def _tie(desk: Desk, account: Account, identity: Identity, address: str) -> Account:
    """From now on that account is this person's. One with a password, or of another person, is not."""
    if account.password_hash is not None or account.oidc_subject is not None:
        raise ApiError(403, "no_account", "there is an account of that name which signs in otherwise")
    await desk.audit_plainly(
        "account_change", account.name, actor="oidc", change="tied", subject=identity.subject, address=address
    )
    async with desk.services.database() as connection, connection.transaction():
        await change_account(connection, account.id, oidc_subject=identity.subject)
        return await read_account(connection, account.id)


async def _make(desk: Desk, identity: Identity, role: Role | None, address: str) -> Account:
    settings = desk.services.settings.oidc
    if not settings.auto_create or role is None or not NAME.match(identity.name):
        raise ApiError(403, "no_account", "you have no account here yet: ask an administrator")
    await desk.audit_plainly(
        "account_change",
        identity.name,
        actor="oidc",
        change="make",
        role=role.value,
        subject=identity.subject,
        address=address,
    )
    async with desk.services.database() as connection, connection.transaction():
        account_id = await make_account(
            connection,
            identity.name,
            role,
            display_name=identity.display_name,
            oidc_subject=identity.subject,
            person=identity.name if role is Role.SUBJECT else None,
        )
        return await read_account(connection, account_id)
