"""Retention as a duty of the process that writes the archive: once a day, from a set hour on.

Never runs in two processes at once, and never ends for a store that is away: it tries again a quarter of an hour later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from schemas.errors import SealstreamError
from sinks.postgresql.connection import store_errors
from sinks.retention.run import apply, opened
from sinks.retention.survey import last_run, oldest_of_all

if TYPE_CHECKING:
    from infra.settings import Settings
    from sinks.retention.metrics import RetentionMeter
    from sinks.retention.run import Apart, Tally

log = structlog.get_logger(__name__)

_LOOK_S = 300.0
_RETRY_S = 900.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """What it is now."""
    return datetime.now(UTC)


def is_due(last: datetime, now: datetime, hour: int) -> bool:
    """Whether that hour of a day (UTC) has come since `last`."""
    newest = now.astimezone(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
    return last < (newest if newest <= now else newest - timedelta(days=1))


class RetentionDuty:
    """One process's. `apart` is its archive's; `actor` is told in the audit."""

    def __init__(
        self, settings: Settings, apart: Apart, meter: RetentionMeter, actor: str, clock: Clock = utc_now
    ) -> None:
        self._settings, self._apart, self._meter, self._actor, self._clock = settings, apart, meter, actor, clock
        self._since = clock()

    async def keep(self, opened: asyncio.Event) -> None:
        """Apply it daily once the archive is ours, until cancelled; returns where everything is kept for ever."""
        if not self._settings.retention.is_set:
            return
        await opened.wait()
        pause_s, told = 0.0, False
        while True:
            await asyncio.sleep(pause_s)
            pause_s = _LOOK_S
            try:
                if await self.due():
                    pause_s = _RETRY_S if (await self.run()).faults else _LOOK_S
                elif not told:
                    await self._tell()
                told = True
            except SealstreamError as error:
                log.warning("retention_waits", reason=str(error))
                pause_s = _RETRY_S

    async def due(self) -> bool:
        """Whether no run has succeeded since the hour of the day that is set; the first comes when that hour does."""
        last = await self._last()
        self._meter.waits_since(last.timestamp())
        return is_due(last, self._clock(), self._settings.retention.hour)

    async def run(self) -> Tally:
        """Apply it now, and show what came of it."""
        tally = await apply(self._settings, actor=self._actor, now=self._clock(), apart=self._apart)
        self._meter.ran(tally)
        log.info("retention_applied", outcome=tally.outcome, **tally.told())
        await self._tell()
        return tally

    async def _last(self) -> datetime:
        async with opened(self._settings) as connection:
            with store_errors():
                last = await last_run(connection, done=True)
        return last.started_at if last else self._since

    async def _tell(self) -> None:
        async with opened(self._settings) as connection:
            with store_errors():
                self._meter.show(await oldest_of_all(self._settings, connection))
