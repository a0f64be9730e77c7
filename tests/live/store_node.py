"""A store of one node of several, run in a test by the component that a node runs, and hurt as machines are."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from infra.settings import Settings
from infra.stack.child import Child
from infra.stack.component import Component, NotReadyError

READY_WITHIN_S = 180.0


class StoreNode:
    """Starts, asks, kills and stops one component."""

    def __init__(self, settings: Settings, component: Component) -> None:
        self.settings, self.component = settings, component
        self._child: Child | None = None

    async def start(self) -> None:
        """Return when it serves."""
        await self.launch()
        await self.until_ready()

    async def launch(self) -> None:
        """Return as soon as its process runs."""
        await self.component.prepare()
        self._child = await Child.start(
            self.component.command,
            data=self.settings.data.root,
            log=self.settings.data.log(self.component.name),
            environment={**os.environ, **self.component.environment},
            account=self.component.account,
        )
        self._child.release()

    async def until_ready(self) -> None:
        """Return when its probe is content."""
        assert self._child is not None
        deadline, waits = time.monotonic() + READY_WITHIN_S, ""
        while time.monotonic() < deadline:
            try:
                await self.component.probe(self._child.mark.pid)
            except (NotReadyError, OSError, TimeoutError) as error:
                waits = str(error) or type(error).__name__
                await asyncio.sleep(0.2)
                continue
            return
        log = self.settings.data.log(self.component.name).read_text("utf-8", "replace")[-2000:]
        raise AssertionError(f"{self.component.name} of {self.settings.node.id} is not ready: {waits}\n{log}")

    async def kill(self) -> None:
        """As a machine that loses its power: no goodbye to anybody. Nothing where it does not run."""
        child, self._child = self._child, None
        if child is None:
            return
        os.kill(child.mark.pid, signal.SIGKILL)
        await child.wait()
