"""A database of a test's own, and an application on it without a gateway.

Never touches the database of the stack that lends the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, Mock, patch
from uuid import uuid4

import asyncpg
import httpx2 as httpx

from gateway.api import app
from gateway.api.services import Services
from infra.migrate import migrate
from infra.settings import PostgresqlSettings, Settings, postgresql_dsn

Api = tuple[Services, httpx.AsyncClient, list[dict[str, Any]]]
"""What the application shares, a client of it, and what it wrote into the audit."""


@asynccontextmanager
async def own_database(backing: Settings) -> AsyncIterator[Settings]:
    """Settings with an empty, migrated database."""
    name = f"test_{uuid4().hex[:12]}"
    address = postgresql_dsn(backing)
    admin = await asyncpg.connect(address)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = address.rsplit("/", 1)[0] + f"/{name}"
    try:
        connection = await asyncpg.connect(dsn)
        await migrate(connection)
        await connection.close()
        yield backing.model_copy(update={"postgresql": PostgresqlSettings(dsn=dsn, password_file=None)})
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@asynccontextmanager
async def serving(
    settings: Settings, *parts: str
) -> AsyncIterator[tuple[Services, httpx.AsyncClient, list[dict[str, Any]]]]:
    """The application of those parts."""
    audited: list[dict[str, Any]] = []

    async def note(action: str, target: str, outcome: str, **detail: Any) -> bool:
        audited.append({"action": action, "target": target, "outcome": outcome, **detail})
        return True

    services = Services(settings, Mock(audit_durably=AsyncMock(side_effect=note)), Mock())
    with patch.object(app, "PARTS", parts):
        transport = httpx.ASGITransport(app=app.create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="https://console.example") as client:
        try:
            yield services, client, audited
        finally:
            await services.close()
