"""One run: everything that is too old goes, store by store, in small steps, each of which can be the last.

Never leaves a step that a later run would not take up again: each looks at what there is, not at what was done.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from infra.audit import audit_trail
from infra.migrate import migrate
from infra.settings import postgresql_dsn
from schemas.errors import ConfigError, SealstreamError, UnavailableError
from schemas.kinds import StreamKind
from sinks.archive.layout import Layout, hold_lock
from sinks.elasticsearch import client as elasticsearch
from sinks.postgresql.connection import Connection, connect, store_errors
from sinks.retention import documents, rows, shelves
from sinks.retention.holds import read_kept, step
from sinks.retention.periods import Periods

if TYPE_CHECKING:
    from infra.settings import Settings

log = structlog.get_logger(__name__)
Value = TypeVar("Value")

RUN_LOCK = 0x5EA1_0026
"""Key of the advisory lock that one run in the whole installation has."""

ARCHIVE, POSTGRESQL, ELASTICSEARCH = "archive", "postgresql", "elasticsearch"


class Apart(Protocol):
    """`ArchiveSink.apart`, where the process that writes the archive erases."""

    async def __call__(self, kind: StreamKind, day: str, work: Callable[[], Value]) -> Value:
        """Do `work` between two writes."""


@dataclass(slots=True)
class Tally:
    """What went, or would go: counts by store and kind, of the archive epochs; and what stays or failed."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: int = 0
    bytes: int = 0
    held: int = 0
    """Days of streams whose files stay, since somebody in them is on hold."""
    faults: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """As the audit and the table of runs have it."""
        return "failed" if self.faults else "done"

    def add(self, store: str, found: dict[str, int]) -> None:
        """So many more of each kind."""
        self.counts.update({(store, kind): count for kind, count in found.items()})

    def add_shelf(self, kind: StreamKind, news: shelves.ShelfNews) -> None:
        """What became of a stream's day."""
        self.counts[ARCHIVE, kind.label] += news.epochs
        self.files += news.files
        self.bytes += news.size
        self.held += bool(news.held)

    def told(self) -> dict[str, str]:
        """For the audit and for the table of runs."""
        numbers = {f"{store} {kind}": str(count) for (store, kind), count in sorted(self.counts.items()) if count}
        faults = {"faults": "; ".join(self.faults)} if self.faults else {}
        return {**numbers, "files": str(self.files), "bytes": str(self.bytes), "held_days": str(self.held), **faults}


async def apply(
    settings: Settings,
    *,
    actor: str,
    now: datetime,
    apart: Apart | None = None,
    only: frozenset[bytes] | None = None,
) -> Tally:
    """Erase everything that is too old at `now`, of `only` these agents if given; what failed is in the tally.

    Raises `UnavailableError` when another run is under way, or the audit or PostgreSQL is away: then nothing is erased.
    """
    require_archive(settings)
    periods, tally = Periods.of(settings.retention, now), Tally()
    days = {f"days {kind}": str(count) for kind, count in periods.days.items() if count}
    async with opened(settings) as connection, audit_trail(settings) as write:
        with store_errors():
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", RUN_LOCK):
                raise UnavailableError("another run of retention is under way")
            run = await connection.fetchval(
                "INSERT INTO retention_run (actor, started_at) VALUES ($1, $2) RETURNING run_id", actor, now
            )
        await write("retention", "everything", actor=actor, outcome="asked", detail=days)
        runner = Runner(settings, connection, periods, now, tally, apart, only)
        for name, erase in ((ARCHIVE, runner.archive), (POSTGRESQL, runner.rows), (ELASTICSEARCH, runner.documents)):
            await _attempt(tally, name, erase)
        await write("retention", "everything", actor=actor, outcome=tally.outcome, detail={**days, **tally.told()})
        await _conclude(connection, run, tally)
    return tally


async def _attempt(tally: Tally, name: str, erase: Callable[[], Awaitable[None]]) -> None:
    """A store that is away keeps the others from nothing."""
    try:
        with store_errors():
            await erase()
    except (SealstreamError, OSError) as error:
        log.warning("retention_failed", store=name, reason=str(error))
        tally.faults.append(f"{name}: {error}")


async def _conclude(connection: Connection, run: int, tally: Tally) -> None:
    with store_errors():
        await connection.execute(
            "UPDATE retention_run SET ended_at = now(), outcome = $2, detail = $3 WHERE run_id = $1",
            run,
            tally.outcome,
            json.dumps(tally.told()),
        )


async def foresee(settings: Settings, *, now: datetime, only: frozenset[bytes] | None = None) -> Tally:
    """What `apply` would erase; changes nothing, and needs no audit."""
    require_archive(settings)
    periods, tally = Periods.of(settings.retention, now), Tally()
    async with opened(settings) as connection:
        with store_errors():
            kept = await read_kept(connection, only)
            for table in rows.TABLES:
                tally.add(POSTGRESQL, await rows.count_old(connection, table, periods, kept))
        layout = Layout(settings.archive.dir)
        for kind, day in await asyncio.to_thread(lambda: list(shelves.old_shelves(layout, periods))):
            tally.add_shelf(kind, await asyncio.to_thread(shelves.look_at_shelf, layout, kind, day, kept))
    client = elasticsearch.connect(settings.elasticsearch)
    try:
        prefix = settings.elasticsearch.index_prefix
        await documents.refresh(client, prefix)
        tally.add(ELASTICSEARCH, await documents.count_old(client, prefix, periods, kept))
    finally:
        await client.close()
    return tally


def require_archive(settings: Settings) -> None:
    """Raises `ConfigError` on a node that has no archive and is none that would have one."""
    if not settings.archive.dir.is_dir() and "master" not in settings.node.roles:
        raise ConfigError(f"there is no archive at {settings.archive.dir}: this is done on a master, which has it")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Connection]:
    """A connection to the database, migrated."""
    connection = await connect(postgresql_dsn(settings))
    try:
        with store_errors():
            await migrate(connection)
        yield connection
    finally:
        connection.terminate()


class Runner:
    """The steps of one run, store by store; each begins by reading the holds."""

    def __init__(  # noqa: PLR0917  # made in one place
        self,
        settings: Settings,
        connection: Connection,
        periods: Periods,
        now: datetime,
        tally: Tally,
        apart: Apart | None = None,
        only: frozenset[bytes] | None = None,
    ) -> None:
        self._settings, self._connection, self._periods, self._tally = settings, connection, periods, tally
        self._layout, self._now_ms, self._only = Layout(settings.archive.dir), int(now.timestamp() * 1000), only
        self._apart = apart

    async def archive(self) -> None:
        """Headers, the index's rows, then files, stream by stream and day by day; at last what is left of headers."""
        if self._apart is not None:
            await self._shelves(self._apart, owned=True)
            return
        try:
            with hold_lock(self._layout.lock, wait=False):
                await self._shelves(_beside, owned=True)
        except BlockingIOError:  # a sink writes the archive: what it has open goes another time
            await self._shelves(_beside, owned=False)

    async def _shelves(self, apart: Apart, *, owned: bool) -> None:
        found = await asyncio.to_thread(lambda: set(shelves.old_shelves(self._layout, self._periods)))
        indexed = set(await rows.old_indexed(self._connection, self._periods))
        for kind, day in sorted(found | indexed, key=lambda place: (place[1], place[0])):
            await self._shelf(apart, kind, day, owned=owned)
        for day in await asyncio.to_thread(lambda: list(shelves.old_key_days(self._layout, self._periods))):
            async with step(self._connection, self._only) as kept:
                count = await asyncio.to_thread(shelves.erase_key_day, self._layout, day, kept, self._now_ms)
                self._tally.counts[ARCHIVE, "other"] += count

    async def _shelf(self, apart: Apart, kind: StreamKind, day: str, *, owned: bool) -> None:
        layout = self._layout
        async with step(self._connection, self._only) as kept:
            await apart(kind, day, shelves.ShelfNews)  # what a sink has open is sealed by it
            # A thousand agents' keys take their time: not where the sink would wait for it.
            news = await asyncio.to_thread(shelves.erase_headers, layout, kind, day, kept, self._now_ms)
            self._tally.add_shelf(kind, news)
            await rows.unindex_runs(self._connection, kind, day, kept)
            if news.held:
                await apart(kind, day, shelves.ShelfNews)  # the sink forgets what it knew of the keys
                return
            gone = await apart(kind, day, lambda: shelves.remove_shelf(layout, kind, day, owned=owned))
            self._tally.add_shelf(kind, gone)
            if not layout.files(kind, day):
                await rows.unindex_files(self._connection, kind, day)

    async def rows(self) -> None:
        """Table by table, a few thousand rows at once."""
        for table in rows.TABLES:
            while True:
                async with step(self._connection, self._only) as kept:
                    gone = await rows.delete_some(self._connection, table, self._periods, kept)
                if not gone:
                    break
                self._tally.add(POSTGRESQL, gone)

    async def documents(self) -> None:
        """Months that are too old whole, then stream by stream."""
        client, prefix = elasticsearch.connect(self._settings.elasticsearch), self._settings.elasticsearch.index_prefix
        try:
            await documents.refresh(client, prefix)
            async with step(self._connection, self._only) as kept:
                self._tally.add(ELASTICSEARCH, await documents.drop_months(client, prefix, self._periods, kept))
            for kind, before in self._periods.before(documents.KINDS).items():
                while True:
                    async with step(self._connection, self._only) as kept:
                        gone = await documents.delete_some(client, prefix, kind, before, kept)
                    if not gone:
                        break
                    self._tally.add(ELASTICSEARCH, {kind: gone})
        finally:
            await client.close()


async def _beside(kind: StreamKind, day: str, work: Callable[[], Value]) -> Value:  # noqa: ARG001  # as `Apart`
    """Where no sink of this process has the archive."""
    return await asyncio.to_thread(work)
