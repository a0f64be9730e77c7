"""The console's API over a database and a data directory of its own, on the stores of a running stack.

Never touches what the stack itself has: keys, tables and archive are the test's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2 as httpx

from gateway.api.access import Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from infra.datadir import DataDir
from infra.metrics import Metrics
from infra.migrate import migrate
from infra.settings import Settings, load_settings, postgresql_dsn
from schemas.records import decode_record
from tests.api.accounts import as_principal, principal_of

PASSPHRASE = "the passphrase of the server"


@dataclass
class Ground:
    """The application, a client of it, and what it wrote into the audit."""

    settings: Settings
    services: Services
    client: httpx.AsyncClient
    publisher: MemoryPublisher

    def become(self, role: Role) -> None:
        """Whoever asks from now on has that role."""
        as_principal(self.services, principal_of(role))

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The answer to a question."""
        answer = await self.client.get(f"/api/v1{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200, /, **body: Any) -> Any:
        """The answer to a change."""
        answer = await self.client.post(f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    @property
    def audited(self) -> list[tuple[str, str, str]]:
        """Action, target and outcome of each entry."""
        entries = [decode_record(one.value, "audit_entry") for one in self.publisher.records if one.topic == "audit"]
        return [(one["action"], one["target"], one["outcome"]) for one in entries]

    @property
    def dsn(self) -> str:
        """Of its database."""
        return postgresql_dsn(self.settings)


@asynccontextmanager
async def open_ground(backing: Settings, root: Path, role: Role = Role.ADMINISTRATOR) -> AsyncIterator[Ground]:
    """The application while the context lasts; its database is gone afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgresql_dsn(backing))
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        settings = _write_settings(backing, root, name)
        connection = await asyncpg.connect(postgresql_dsn(settings))
        await migrate(connection)
        await connection.close()
        publisher, metrics = MemoryPublisher(), Metrics(TABLE)
        services = Services(settings, Facts(publisher, reporter="node-1/gateway", incarnation="0"), metrics)
        as_principal(services, principal_of(role))
        transport = httpx.ASGITransport(app=create_app(services))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="https://node", timeout=60) as client:
                yield Ground(settings, services, client, publisher)
        finally:
            await services.close()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def _write_settings(backing: Settings, root: Path, database: str) -> Settings:
    """A data directory whose settings name the stores of `backing` and that database."""
    (root / "keys").mkdir(parents=True)
    (root / "secrets").mkdir(mode=0o700)
    (root / "secrets" / "kek.passphrase").write_text(PASSPHRASE + "\n")
    (root / "policy.json").write_text(json.dumps({"streams": {}}))
    dsn = backing.postgresql.dsn.rsplit("/", 1)[0] + f"/{database}"
    rows = {
        "kafka": {"bootstrap": backing.kafka.bootstrap},
        "postgresql": {"dsn": dsn, "password_file": str(backing.postgresql.password_file)},
        "elasticsearch": {"url": backing.elasticsearch.url, "ca_file": str(backing.elasticsearch.ca_file)},
    }
    text = "".join(
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for table, values in rows.items()
    )
    (root / "sealstream.toml").write_text(text)
    return load_settings(DataDir(root).config)
