"""Whether a sink is to fill its store: until a signal ends the process, and not while it is wished drained.

Never stops anything by itself: who fills waits for `until_off`, and ends in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from infra.nodes.following import NodeFollower

if TYPE_CHECKING:
    from infra.lifecycle import Reporter
    from infra.nodes.wishes import Wish
    from infra.settings import Settings


class Duty:
    """One sink's. `load` is told every few seconds with the version."""

    def __init__(self, settings: Settings, reporter: Reporter, load: Callable[[], Mapping[str, float]]) -> None:
        self._follower = NodeFollower(settings, reporter.node_id, reporter.incarnation, self._obey, load)
        self.stopped = False
        self.drained = self._follower.drained
        """At the start: what was wished when the process before ended."""
        self.why = "drained when it ended" if self.drained else ""
        self._news = asyncio.Event()

    async def follow(self) -> None:
        """Follow wishes until cancelled; a database that is away changes nothing."""
        await self._follower.follow()

    def stop(self) -> None:
        """The process is to end."""
        self.stopped, self.why = True, "asked to stop"
        self._wake()

    async def until_off(self) -> str:
        """Return why, once it is to fill no more."""
        while not (self.stopped or self.drained):
            await self._news.wait()
        return self.why

    async def until_on(self) -> bool:
        """Whether it is to fill again; false once the process is to end."""
        while self.drained and not self.stopped:
            await self._news.wait()
        return not self.stopped

    async def _obey(self, wish: Wish) -> None:
        self.drained = wish.drained
        self.why = f"wished by {wish.by_account}" + (f": {wish.reason}" if wish.reason else "")
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
