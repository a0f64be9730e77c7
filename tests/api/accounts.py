"""Accounts for tests: principals without a database, and real accounts with a client that is signed in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID, uuid5

import asyncpg
import httpx2 as httpx

from gateway.accounts.passwords import HASHER
from gateway.accounts.store import make_account
from gateway.api.access import PERMISSIONS, Permission, Principal, Role
from gateway.api.services import Services
from infra.settings import Settings, postgresql_dsn

PASSWORD = "wandering-heron-41"
_HASH = HASHER.hash(PASSWORD)
_SPACE = UUID("00000000-0000-4000-8000-00000000acc0")


def principal_of(
    role: Role,
    *,
    name: str = "",
    persons: Collection[str] | None = (),
    person: str = "",
    permissions: Collection[Permission] | None = None,
) -> Principal:
    """A principal of that role, who may see `persons` (`None`: everybody)."""
    named = name or role.value
    return Principal(
        account_id=uuid5(_SPACE, named),
        name=named,
        role=role,
        permissions=PERMISSIONS[role] if permissions is None else frozenset(permissions),
        persons=None if persons is None else frozenset(persons),
        person=person,
        session_id=uuid5(_SPACE, f"session {named}"),
        address="127.0.0.1",
    )


def as_principal(services: Services, principal: Principal) -> None:
    """Every request comes from that principal, without a database."""
    services.identify = AsyncMock(return_value=principal)


async def add_account(settings: Settings, name: str, role: Role, teams: Collection[str] = (), **values: Any) -> UUID:
    """A real account with the password `PASSWORD`; the database is migrated."""
    connection = await asyncpg.connect(postgresql_dsn(settings))
    try:
        return await make_account(connection, name, role, list(teams), **{"password_hash": _HASH, **values})
    finally:
        await connection.close()


async def sign_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> dict[str, Any]:
    """Sign the client in; what the session tells."""
    answer = await client.post("/api/v1/session", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def make_signed_in(
    settings: Settings, client: httpx.AsyncClient, name: str, role: Role, **values: Any
) -> dict[str, Any]:
    """A real account, and the client signed in with it."""
    await add_account(settings, name, role, **values)
    return await sign_in(client, name)
