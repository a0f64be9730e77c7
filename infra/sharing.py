"""What the nodes of an installation share through PostgreSQL, followed for as long as a process serves by it.

Never ends by itself: a database that is away is waited out, and the files of this node hold. Of the processes of a node
one follows, over one connection; when it ends, another does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import asyncpg
import structlog

from infra.alone import hold_alone
from infra.keys.table import connected
from infra.pki.follow import RegisterFollower
from infra.site_follow import SiteFollower
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.keys.table import Connection
    from infra.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL_S = 2.0
"""How soon a node knows what another did."""


class Follower(Protocol):
    """What is shared of one kind."""

    async def exchange(self, connection: Connection) -> None:
        """One round; raises `UnavailableError` or `ConfigError`."""


async def follow_shared(settings: Settings) -> None:
    """Follow the register and the shared files, until cancelled."""
    while True:
        try:
            async with hold_alone(settings.data.run / ".shared.lock", look_s=INTERVAL_S):
                await _Following(settings).run()
        except UnavailableError:
            continue  # another process of this node follows


class _Following:
    """The rounds of one process, and what it last said about each kind."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._followers: dict[str, Follower] = {
            "register": RegisterFollower(settings),
            "site_files": SiteFollower(settings),
        }
        self._faults: dict[str, str] = {}

    async def run(self) -> None:
        while True:
            try:
                async with connected(self._settings) as connection:
                    while True:
                        await self._exchange(connection)
                        await asyncio.sleep(INTERVAL_S)
            except (UnavailableError, OSError) as error:
                self._note("database", str(error))
            await asyncio.sleep(INTERVAL_S)

    async def _exchange(self, connection: Connection) -> None:
        for kind, follower in self._followers.items():
            try:
                await follower.exchange(connection)
            except (ConfigError, asyncpg.PostgresError) as error:
                if connection.is_closed():
                    raise UnavailableError("the connection was lost") from error
                self._note(kind, str(error))
            else:
                self._note(kind, "")
        self._note("database", "")

    def _note(self, kind: str, fault: str) -> None:
        """Say what is not followed, once, and when it is again."""
        before = self._faults.get(kind, "")
        if fault and fault != before:
            log.warning("sharing_stopped", kind=kind, reason=fault)
        elif before and not fault:
            log.info("sharing_goes_on", kind=kind)
        self._faults[kind] = fault
