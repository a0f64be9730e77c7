"""The API over a database of its own, with people who sign in as they really do.

Never touches the accounts of the stack that lends the database server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import httpx2 as httpx

from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from infra.metrics import Metrics
from infra.settings import AccountSettings, NodeSettings, Settings, postgresql_dsn
from schemas.records import Record, decode_record
from tests.api.stores import own_database

BASE = "https://node"
LIMITS = AccountSettings(attempts=3, address_attempts=8)
"""Low, so that tests reach them."""


@dataclass
class Desk:
    """The application, somebody's client of it, and what it wrote into the audit."""

    settings: Settings
    services: Services
    client: httpx.AsyncClient
    publisher: MemoryPublisher
    transport: httpx.ASGITransport

    def another_client(self) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """Of somebody else, with cookies of its own."""
        return httpx.AsyncClient(transport=self.transport, base_url=BASE, timeout=60)

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The answer to a question."""
        return _answer(await self.client.get(f"/api/v1{path}", params=query), status)

    async def post(self, path: str, status: int = 200, /, **body: Any) -> Any:
        """The answer to a change."""
        return _answer(await self.client.post(f"/api/v1{path}", json=body), status)

    async def put(self, path: str, status: int = 200, /, **body: Any) -> Any:
        """The answer to a change."""
        return _answer(await self.client.put(f"/api/v1{path}", json=body), status)

    async def delete(self, path: str, status: int = 204) -> Any:
        """The answer to taking something away."""
        return _answer(await self.client.delete(f"/api/v1{path}"), status)

    async def try_to_sign_in(self, name: str, password: str) -> httpx.Response:
        """Whatever comes of it, in a client of its own."""
        async with self.another_client() as client:
            return await client.post("/api/v1/session", json={"name": name, "password": password})

    async def sql(self, query: str, *values: Any) -> list[Any]:
        """Rows of the database."""
        connection = await asyncpg.connect(postgresql_dsn(self.settings))
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    def facts_fail(self) -> None:
        """Kafka does not take the audit from now on."""
        self.services.facts.audit_durably = AsyncMock(return_value=False)  # type: ignore[method-assign]

    @property
    def entries(self) -> list[Record]:
        """What is in the audit."""
        return [decode_record(one.value, "audit_entry") for one in self.publisher.records if one.topic == "audit"]

    @property
    def audited(self) -> list[tuple[str, str, str]]:
        """Action, target and outcome of each entry."""
        return [(one["action"], one["target"], one["outcome"]) for one in self.entries]


def _answer(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    return response.json() if response.content else None


@asynccontextmanager
async def open_desk(backing: Settings, root: Path, **groups: Any) -> AsyncIterator[Desk]:
    """The application while the context lasts; `groups` are groups of settings."""
    async with own_database(backing) as lent:
        stores = {name: getattr(lent, name) for name in ("kafka", "postgresql", "elasticsearch", "redis")}
        settings = Settings(**{**stores, "accounts": LIMITS, "node": NodeSettings(data_dir=root), **groups})
        assert settings.gateway.policy_file.is_relative_to(root), "files are the test's own, never the lender's"
        publisher = MemoryPublisher()
        services = Services(settings, Facts(publisher, reporter="node-1/gateway", incarnation="0"), Metrics(TABLE))
        transport = httpx.ASGITransport(app=create_app(services))
        try:
            async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client:
                yield Desk(settings, services, client, publisher, transport)
        finally:
            await services.close()
