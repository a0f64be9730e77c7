"""A store of one node of several, run in a test by the component that a node runs, and hurt as machines are."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from infra.settings import NodeSettings, Settings
from infra.stack.child import Child
from infra.stack.component import Component, NotReadyError
from tests.running_stack import open_directory

log = structlog.get_logger()

READY_WITHIN_S = 180.0
SETTLED_S = 120.0


@pytest.fixture(name="root")
def store_root() -> Iterator[Path]:
    """A directory of the test's own that the stores' account may enter."""
    place = open_directory()
    yield place
    shutil.rmtree(place, ignore_errors=True)


def tell(what: str, began: float) -> None:
    """The figures that docs/ha.md has; nothing is asserted by them."""
    log.info(what, seconds=round(time.monotonic() - began, 1))


async def until(what: str, fact: Any, within_s: float = SETTLED_S) -> Any:
    """What `fact` returns once that is something; bounded."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := await fact():
            return found
        await asyncio.sleep(0.3)
    raise AssertionError(f"not within {within_s:.0f} s: {what}")


def node_settings(root: Path, number: int, **tables: Any) -> Settings:
    """The settings of one node of the test, which shares its CA with the others."""
    place = root / f"node-{number}"
    place.mkdir(mode=0o755, exist_ok=True)
    if not (place / "pki").exists():
        shutil.copytree(root / "pki", place / "pki")
    return Settings(node=NodeSettings(data_dir=place, id=f"node-{number}"), **tables)


class StoreNode:
    """Starts, asks, kills and stops one component."""

    def __init__(self, settings: Settings, component: Component) -> None:
        self.settings, self.component = settings, component
        self._child: Child | None = None

    async def start(self, within_s: float = READY_WITHIN_S) -> None:
        """Return when it serves."""
        await self.launch()
        await self.until_ready(within_s)

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

    async def until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Return when its probe is content."""
        assert self._child is not None
        deadline, waits = time.monotonic() + within_s, ""
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
