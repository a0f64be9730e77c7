"""One sampler for all who look: each part of the picture is read at its own pace, while somebody looks.

Never lets one store that is away hold up the others: each part keeps what it knew last, and says what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from gateway.facts import now_ms
from gateway.ops.board import Board
from gateway.ops.picture import Overview
from gateway.ops.stores import (
    find_missing_keks,
    read_archive,
    read_disk,
    read_elasticsearch,
    read_tables,
)
from infra.lag import LagReader
from schemas.errors import SealstreamError

if TYPE_CHECKING:
    from gateway.api.services import Services

log = structlog.get_logger(__name__)

TICK_S = 2.0
LINGER_S = 30.0
"""How long it goes on measuring after the last one has looked: a page that is loaded anew finds its rates."""

FIRST_S = 6.0
"""How long who wants parts whole waits for them at most."""

PART_S = 15.0
"""How long one reading of a part may take."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the picture. `store` names what is asked, as people say it."""

    name: str
    store: str
    every_s: float
    read: Callable[[], Awaitable[None]]


class Sampler:
    """Measures while somebody is `looking`; `close` it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.board = Board(services)
        self._lag = LagReader(services.settings)
        self._parts = (
            Part("readers", "Kafka", 2 * TICK_S, self._read_kafka),
            Part("tables", "PostgreSQL", 10.0, self._read_tables),
            Part("arrivals", "PostgreSQL", 10.0, self._read_arrivals),
            Part("archive", "PostgreSQL", 30.0, self._read_archive),
            Part("elasticsearch", "Elasticsearch", 30.0, self._read_elasticsearch),
            Part("disk", "The data directory", 30.0, self._read_disk),
        )
        self._viewers = 0
        self._running: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._read = {part.name: asyncio.Event() for part in self._parts}
        """Of each part whether it was read, or could not be, since somebody looks."""
        self._ticked = asyncio.Event()
        self.closed = False
        self.number = 0
        """Counts the pictures."""

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Sampler]:
        """Somebody looks: everything is measured meanwhile. What was known before is there at once, with its age."""
        self._viewers += 1
        self._start()
        try:
            yield self
        finally:
            self._viewers -= 1
            if not self._viewers and not self.closed:
                self._ending = asyncio.get_running_loop().call_later(LINGER_S, self._end)

    async def until_read(self, *parts: str) -> None:
        """Return when these parts, or all, were read since somebody looks, or could not be; after `FIRST_S` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                for name in parts or self._read:
                    await self._read[name].wait()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next picture; whether there is one within the time."""
        ticked = self._ticked
        try:
            await asyncio.wait_for(ticked.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def picture(self) -> Overview:
        """The picture as it is now."""
        return self.board.picture(now_ms())

    async def read_again(self) -> None:
        """Read the tables now: somebody has just changed something."""
        with contextlib.suppress(SealstreamError, TimeoutError, OSError):
            await self._read_tables()

    async def read_extents(self, topic: str) -> dict[int, tuple[int, int]]:
        """First and end offset of each partition; raises `UnavailableError`."""
        reader = LagReader(self._services.settings)
        try:
            return await reader.read_extents(topic)
        finally:
            await reader.close()

    def stop(self) -> None:
        """Let who looks go: the server stops."""
        self.closed = True
        self._tick()

    async def close(self) -> None:
        """Measure no more."""
        self.stop()
        if self._ending:
            self._ending.cancel()
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _start(self) -> None:
        if self._ending:
            self._ending.cancel()
            self._ending = None
        if self._running is None or self._running.done():
            for read in self._read.values():
                read.clear()
            self.board.begin(self._read)
            self._running = asyncio.create_task(self._run(), name="overview")

    def _end(self) -> None:
        if not self._viewers and self._running:
            self._running.cancel()

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._keep(part)) for part in self._parts]
        try:
            while True:
                self.board.look()
                self._tick()
                await asyncio.sleep(TICK_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._lag.close()

    async def _keep(self, part: Part) -> None:
        while True:
            try:
                async with asyncio.timeout(PART_S):
                    await part.read()
            except TimeoutError:
                self._fail(part, f"no answer within {PART_S:.0f} s")
            except SealstreamError as error:
                self._fail(part, str(error))
            except Exception as error:  # noqa: BLE001 - whatever a store's client raises, the other parts are shown
                log.warning("overview_part_failed", store=part.store, error=type(error).__name__, reason=str(error))
                self._fail(part, f"it says {type(error).__name__}")
            else:
                self.board.answers(part.name, now_ms())
            if not self._read[part.name].is_set():
                self._read[part.name].set()
                self._tick()  # who looks sees each part as it comes
            await asyncio.sleep(part.every_s)

    def _fail(self, part: Part, fault: str) -> None:
        self.board.fails(part.name, part.store, fault.removeprefix(f"{part.store} "), now_ms())

    def _tick(self) -> None:
        self.number += 1
        self._ticked.set()
        self._ticked = asyncio.Event()

    async def _read_kafka(self) -> None:
        groups = await self._lag.read()
        ends = await self._lag.read_ends(self.board.topics)
        self.board.take_kafka(time.monotonic(), groups, ends)

    async def _read_tables(self) -> None:
        async with self._services.database() as connection:
            tables = await read_tables(connection)
        missing = await find_missing_keks(self._services.settings, tables)
        dead = await self._services.letters.count_open()
        self.board.take_tables(tables, missing, dead)

    async def _read_arrivals(self) -> None:
        async with self._services.database() as connection:
            await self.board.arrivals.read(connection, now_ms())

    async def _read_archive(self) -> None:
        async with self._services.database() as connection:
            self.board.take_storage(await read_archive(connection))

    async def _read_elasticsearch(self) -> None:
        prefix = self._services.settings.elasticsearch.index_prefix
        self.board.take_storage(await read_elasticsearch(self._services.elasticsearch, prefix))

    async def _read_disk(self) -> None:
        self.board.take_storage(await read_disk(self._services.settings))
