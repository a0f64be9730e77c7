"""A worker that is wished drained: it lets its partitions go, and waits to be wished back.

Never holds a partition while it stands by, and never starts Faust twice in one process: it becomes a new one in place.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import structlog

from infra.health import HealthServer
from infra.kafka import producer
from infra.lifecycle import Reporter
from infra.metrics import Metrics
from infra.monitoring.serving import serving_of
from infra.nodes.following import NodeFollower, drained_before

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.nodes.wishes import Wish
    from infra.settings import Settings

log = structlog.get_logger(__name__)


class Standby:
    """What a working worker knows of wishes: `drained` once it is to let go."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self.drained = False
        self._reporter = reporter
        self._follower = NodeFollower(settings, reporter.node_id, reporter.incarnation, self._obey, load_of_process)

    async def follow(self) -> None:
        """Follow wishes until cancelled."""
        await self._follower.follow()

    async def _obey(self, wish: Wish) -> None:
        """End in order, as by a signal: what is under way is finished and committed, and others take the partitions."""
        await self._reporter.draining(f"wished by {wish.by_account}" + (f": {wish.reason}" if wish.reason else ""))
        self.drained = True
        os.kill(os.getpid(), signal.SIGTERM)


def is_drained(settings: Settings, name: str) -> bool:
    """Whether the worker is to stand by."""
    return drained_before(settings, f"{settings.node.id}/{name}")


async def stand_by(settings: Settings, name: str) -> bool:
    """Be there, take nothing, and return when it is wished back (true) or a signal comes (false)."""
    ended, wished = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    sending = producer(settings)
    await sending.start()
    try:
        health = HealthServer(settings.data, name, {}, Metrics(()), serving=serving_of(settings))
        async with Reporter(settings, name, sending) as reporter, health:
            await reporter.draining("drained: takes nothing until it is wished back")
            log.info("worker_stands_by", worker=name)

            async def back(wish: Wish) -> None:
                if not wish.drained:
                    wished.set()

            follower = NodeFollower(settings, reporter.node_id, reporter.incarnation, back, load_of_process)
            tasks = [asyncio.create_task(one) for one in (follower.follow(), ended.wait(), wished.wait())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await sending.stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return wished.is_set()


def begin_anew() -> NoReturn:
    """Become a new process of the same command, in the place of this one: whoever started it notices nothing."""
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606  # the same command line, no shell in it


def load_of_process() -> Mapping[str, float]:
    """How much the process takes: seconds of processor so far, and its largest memory in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": round(used.ru_utime + used.ru_stime, 1), "peak_bytes": float(used.ru_maxrss * 1024)}
