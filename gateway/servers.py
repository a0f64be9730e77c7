"""Keeps the metric of stores that several nodes keep true: of each, how many servers are there, and how many away.

Only asks. Never needed for what is acknowledged, and never shows a figure that nobody could tell now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from infra.metrics import Rows
from infra.servers import COUNTED, are_several
from schemas.errors import SealstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from infra.metrics import Metrics
    from infra.servers import Count
    from infra.settings import Settings

log = structlog.get_logger()

EVERY_S = 30.0


def server_tasks(settings: Settings, metrics: Metrics) -> dict[str, Coroutine[Any, Any, None]]:
    """What counts them, by name: in the process with the console, of which each master has one; else nothing."""
    if "console" not in settings.gateway.parts or not are_several(settings):
        return {}
    return {"servers": ServerMeter(settings, metrics).follow()}


class ServerMeter:
    """Of a process on a master, which has what Sentinels, etcd and PostgreSQL want of who asks them."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._rows = Rows[tuple[str, str]](metrics.gauge("gateway_store_servers"), lambda row: row)

    async def follow(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask now, all stores at once."""
        shown: dict[tuple[str, str], float] = {}
        for counts in await asyncio.gather(*(self._ask(count) for count in COUNTED)):
            for store, count in counts.items():
                shown |= {(store, "there"): count.there, (store, "away"): count.away}
        self._rows.show(shown)

    async def _ask(self, count: Callable[[Settings], Awaitable[Mapping[str, Count]]]) -> Mapping[str, Count]:
        try:
            return await count(self._settings)
        except SealstreamError as error:
            log.warning("servers_not_counted", fault=str(error))
            return {}
