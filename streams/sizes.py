"""Rules about the size of what is recorded: envelopes are counted where PostgreSQL has them, not read once more.

Never remembers a window: each look counts it from its beginning, so that a restart changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from infra.keys.table import connected
from infra.lifecycle import wall_clock_ms
from infra.rules.book import Edition, RuleBook
from infra.rules.evaluate import MIB, Check, Match, Windows, evaluate
from infra.rules.observation import Observation
from infra.rules.store import fetch_envelopes
from infra.settings import Settings
from schemas.errors import UnavailableError
from streams.alerts import LATE_MS
from streams.delivery import Delivery
from streams.outgoing import alert

log = structlog.get_logger(__name__)

LOOK_S = 30.0
MAX_ROWS = 1_000_000
_REMEMBERED = 100_000

ReadSizes = Callable[[int, int, float], Awaitable[list[Observation]]]
"""Sizes captured from a time to another (ms) of people with more than so many bytes; raises `UnavailableError`."""


def sizes_of(settings: Settings) -> ReadSizes:
    """Reads them from the deployment's database."""

    async def read(since_ms: int, until_ms: int, more_than: float) -> list[Observation]:
        since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (since_ms, until_ms))
        async with connected(settings) as connection:
            return await fetch_envelopes(connection, since, until, more_than=more_than, limit=MAX_ROWS)

    return read


class SizeWatch:
    """Looks every half minute, while `holds` says that it is this worker's turn."""

    def __init__(
        self,
        book: RuleBook,
        read: ReadSizes,
        delivery: Delivery,
        holds: Callable[[], bool],
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._book = book
        self._read = read
        self._delivery = delivery
        self._holds = holds
        self._clock_ms = clock_ms
        self._told: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Until cancelled."""
        away = False
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._holds():
                continue
            try:
                await self.look()
                away = False
            except UnavailableError as error:
                if not away:
                    log.warning("sizes_not_read", reason=str(error))
                away = True

    async def look(self) -> None:
        """Count the open windows, and those that ended within the last hour; raises `UnavailableError`."""
        edition = self._book.edition
        checks = [check for check in edition.checks if check.subject == "envelopes"]
        if not checks:
            return
        fresh = [match for match in await self._matches(edition, checks) if match.alert_id not in self._told]
        await self._delivery.deliver([alert(match.record) for match in fresh])
        for match in fresh:
            self._told[match.alert_id] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    async def _matches(self, edition: Edition, checks: list[Check]) -> list[Match]:
        now_ms = self._clock_ms()
        late_ms = now_ms - LATE_MS
        since_ms = min(late_ms - late_ms % check.window_ms for check in checks)
        volumes = [check.rule.conditions.volume for check in checks]
        least = min(volume.more_than for volume in volumes if volume is not None) * MIB
        sizes = await self._read(since_ms, now_ms + LATE_MS, least)
        if len(sizes) >= MAX_ROWS:
            log.warning("sizes_cut", rows=len(sizes))
        windows = Windows()
        matches: list[Match] = []
        for number, seen in enumerate(sizes):
            matches += evaluate(checks, edition.world, windows, seen)
            if number % 1000 == 999:
                await asyncio.sleep(0)  # others have their turn too
        return matches
