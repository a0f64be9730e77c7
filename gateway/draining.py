"""A gateway that is wished drained sends its agents away and takes none, and goes on serving the console.

Never loses what is under way: it is acknowledged before agents are sent away, and they spool what comes after.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from infra.lifecycle import until_told
from infra.nodes.following import NodeFollower

if TYPE_CHECKING:
    from gateway.agents import AgentPort
    from gateway.health import Health
    from infra.lifecycle import Reporter
    from infra.nodes.wishes import Wish
    from infra.settings import Settings

log = structlog.get_logger()

SAYS = "this gateway is drained"

Tell = Callable[[], Awaitable[None]]
"""Tells other processes what is true of this one now; raises nothing."""


class Draining:
    """Follows the wishes of one gateway. `reopen` opens the agent port again, `tell` lets others know of it at once.

    `more` is told with its load.
    """

    def __init__(
        self,
        settings: Settings,
        reporter: Reporter,
        agents: AgentPort,
        health: Health,
        reopen: Callable[[], None],
        *,
        tell: Tell,
        more: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._reporter = reporter
        self._agents = agents
        self._health = health
        self._reopen = reopen
        self._tell = tell
        self._more = more
        self._reported = asyncio.Event()
        self._follower = NodeFollower(settings, reporter.node_id, reporter.incarnation, self._obey, self._load)
        self._cpu = (time.monotonic(), time.process_time())
        health.drained = self._follower.drained

    @property
    def drained(self) -> bool:
        """Whether it serves no agents, as was wished."""
        return self._health.drained

    async def report(self) -> None:
        """Say that the process is there, and that it serves, if it does."""
        await until_told(self._reporter.joined)
        if self.drained:
            await until_told(lambda: self._reporter.draining("drained when it ended"))
        else:
            await until_told(self._reporter.ready)
        self._reported.set()

    async def follow(self) -> None:
        """Follow wishes until cancelled."""
        await self._reported.wait()
        await self._follower.follow()

    async def _obey(self, wish: Wish) -> None:
        if wish.drained:
            await self._reporter.draining(_says(wish))
            self._health.drained = True
            await self._tell()  # before they ask where to go
            await self._agents.drain(SAYS)
        else:
            self._reopen()
            self._health.drained = False
            await self._reporter.ready()
            await self._tell()

    def _load(self) -> dict[str, float]:
        """Agents, and the share of one processor that the process used since it was last asked."""
        before, self._cpu = self._cpu, (time.monotonic(), time.process_time())
        elapsed_s, used_s = (now - then for now, then in zip(self._cpu, before, strict=True))
        return {
            "agents": float(self._agents.connections),
            "cpu": round(used_s / elapsed_s, 3) if elapsed_s > 0 else 0.0,
            "machine": round(os.getloadavg()[0], 2),
            **self._more(),
        }


def _says(wish: Wish) -> str:
    return f"wished by {wish.by_account}" + (f": {wish.reason}" if wish.reason else "")
