"""What the parts of the API share: settings, PostgreSQL, Elasticsearch, the audit, and who asks.

Never opens a store before somebody needs it, and never does what cannot be audited.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import asyncpg
from fastapi import Depends, Request

from gateway.accounts.desk import Desk
from gateway.api.errors import ApiError
from gateway.jobs import Jobs
from gateway.marks import Marks
from gateway.ops.letters import DeadLetters
from gateway.ops.sampler import Sampler
from gateway.protection import Protection
from gateway.recordings.shelf import Recordings
from gateway.unlock.browser import BrowserUnlocks
from gateway.unlock.held import HeldUnlocks
from gateway.unlock.passing import UnlockPassing
from infra.postgresql import connect
from infra.replays.runner import Replays
from infra.settings import postgresql_dsn
from sinks.elasticsearch.client import connect as connect_elasticsearch
from sinks.postgresql.connection import store_errors

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

    from gateway.api.access import Identify, Principal
    from gateway.facts import Facts
    from gateway.lifecycle import LifecycleLog
    from gateway.live.desk import LiveDesk
    from gateway.presence.view import PresenceView
    from infra.metrics import Metrics
    from infra.settings import Settings
    from sinks.postgresql.connection import Connection

_POOL_SIZE = 8
_ACQUIRE_S = 10.0
_QUERY_S = 30.0
_UNUSABLE = frozenset({"22000", "22003", "22021", "22P05"})
"""What PostgreSQL cannot hold, such as a zero character in a text: the fault of who sent it."""


class Services:
    """One of them for the whole application."""

    def __init__(self, settings: Settings, facts: Facts, metrics: Metrics, marks: Marks | None = None) -> None:
        self.settings = settings
        self.facts = facts
        self.metrics = metrics
        self.marks = marks or Marks()
        self.desk = Desk(self)
        self.identify: Identify = self.desk.identities.identify
        self.recordings = Recordings(settings)
        self.unlocks = HeldUnlocks(settings)
        self.browser_unlocks = BrowserUnlocks(self)
        self.passing = UnlockPassing(self)
        self.approved: Container[str] = ()
        """Addresses of nodes of ours; set by the process that follows them."""
        self.jobs = Jobs(self)
        self.protection = Protection(settings)
        self.overview = Sampler(self)
        self.letters = DeadLetters(self)
        self.replays = Replays(settings, self.database)
        self.live: LiveDesk | None = None
        """Live viewing; set by the process that has agents."""
        self.presence: PresenceView | None = None
        """All gateways and agents; set by the process that follows them."""
        self.lifecycle: LifecycleLog | None = None
        """What happens to nodes and agents; set by the process that follows it."""
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._elasticsearch: AsyncElasticsearch | None = None

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Connection]:
        """A connection of the pool; raises `UnavailableError` when PostgreSQL is away."""
        with store_errors():
            pool = await self._open_pool()
            async with pool.acquire(timeout=_ACQUIRE_S) as connection:
                try:
                    yield connection  # type: ignore[misc]  # a proxy that is a connection in all but type
                except asyncpg.DataError as error:
                    if error.sqlstate not in _UNUSABLE:
                        raise
                    raise ApiError(400, "bad_request", "a text or a number in it cannot be used") from error

    @property
    def elasticsearch(self) -> AsyncElasticsearch:
        """One client, kept: its connections stay open."""
        if self._elasticsearch is None:
            self._elasticsearch = connect_elasticsearch(self.settings.elasticsearch)
        return self._elasticsearch

    async def audit(
        self,
        principal: Principal,
        action: str,
        target: str,
        *,
        purpose: str = "",
        outcome: str = "done",
        **detail: str,
    ) -> None:
        """Return when all in-sync replicas have the entry; raises `ApiError` 503, and then nothing must be done."""
        told = {**detail, "via": f"{principal.way} {principal.address}".strip()}
        stored = await self.facts.audit_durably(
            action, target, outcome, actor=principal.actor, purpose=purpose, **{k: v for k, v in told.items() if v}
        )
        if not stored:
            raise ApiError(
                503, "unavailable", "the audit cannot be written now: try again in a moment", retry_after_s=5
            )

    async def close(self) -> None:
        """Close what was opened."""
        self.desk.close()
        await self.unlocks.close()
        await self.recordings.close()
        await self.jobs.close()
        await self.overview.close()
        await self.letters.close()
        if self._pool is not None:
            self._pool.terminate()
        if self._elasticsearch is not None:
            await self._elasticsearch.close()

    async def _open_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(  # type: ignore[call-overload]  # its stub wants each option
                    postgresql_dsn(self.settings),
                    connect=connect,
                    min_size=0,
                    max_size=_POOL_SIZE,
                    command_timeout=_QUERY_S,
                    timeout=_ACQUIRE_S,
                    max_inactive_connection_lifetime=60.0,
                )
            return self._pool


def services_of(request: Request) -> Services:
    """The application's services."""
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(services_of)]
"""The services, as an argument of a route."""
