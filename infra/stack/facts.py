"""A node's supervisor tells of its machine in the lifecycle topic: joined, ready, draining, left, and heartbeats.

Never holds up the node's start or stop: Kafka that is away is waited for beside them, and given up at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka.errors import KafkaError

from infra.kafka import producer
from infra.lifecycle import Reporter
from infra.nodes.following import NodeFollower
from infra.nodes.load import ProcessLoad
from infra.stack.roles import KAFKA, stores_of
from schemas.lifecycle import NodeEvent

if TYPE_CHECKING:
    from infra.nodes.wishes import Wish
    from infra.settings import Settings

log = structlog.get_logger()

ROLE = "node"
RETRY_S = 2.0
FAREWELL_S = 2.0
LET_GO_S = 1.0
_LOOK_S = 0.5


@asynccontextmanager
async def telling(
    settings: Settings,
    stop: asyncio.Event,
    ready: Callable[[], bool],
    *,
    make_producer: Callable[[Settings], Any] = producer,
) -> AsyncIterator[None]:
    """Tell of the node while this lasts. `ready` says whether all its components have been ready.

    With `stop` it drains. It has left when this ends, or at once when the broker is among what is stopped.
    """
    facts = NodeFacts(settings, make_producer)
    task = asyncio.create_task(facts.tell(stop, ready), name="facts")
    reason = ""
    try:
        yield
    except Exception as error:
        reason = type(error).__name__
        raise
    finally:
        await facts.leave(task, reason)


class NodeFacts:
    """One life of one node's supervisor."""

    def __init__(self, settings: Settings, make_producer: Callable[[Settings], Any] = producer) -> None:
        self._settings = settings
        self._make_producer = make_producer
        self._kafka_is_here = KAFKA in stores_of(settings)
        self._producer: Any = None
        self._reporter: Reporter | None = None
        self.told: list[NodeEvent] = []

    async def tell(self, stop: asyncio.Event, ready: Callable[[], bool]) -> None:
        """Join as soon as Kafka takes it, be ready once the node is, and drain with `stop`."""
        reporter = await self._join()
        follower = NodeFollower(self._settings, reporter.node_id, reporter.incarnation, _ignore, ProcessLoad())
        following = asyncio.create_task(follower.follow(), name="report")
        try:
            while not ready() and not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _LOOK_S)
            if not stop.is_set():
                await self._until_taken(NodeEvent.READY, reporter.ready)
            await stop.wait()
        finally:
            following.cancel()
        await self._until_taken(NodeEvent.DRAINING, lambda: reporter.draining("asked to stop"))
        if self._kafka_is_here:
            await self._until_taken(NodeEvent.LEFT, reporter.left)

    async def leave(self, task: asyncio.Task[None], reason: str) -> None:
        """Say what is still to be said, if Kafka takes it in time, and let go."""
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(FAREWELL_S):
                if NodeEvent.JOINED in self.told and not reason:
                    await asyncio.wait({task})
                if self._reporter is not None and NodeEvent.LEFT not in self.told:
                    await self._reporter.left(reason)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._producer is not None:
            with contextlib.suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(self._producer.stop(), LET_GO_S)

    async def _join(self) -> Reporter:
        while True:
            self._producer = self._make_producer(self._settings)
            try:
                await self._producer.start()
            except KafkaError as error:
                log.debug("facts_wait_for_kafka", error=type(error).__name__)
                await self._producer.stop()
                await asyncio.sleep(RETRY_S)
                continue
            node = self._settings.node
            detail = describe_machine(self._settings)
            reporter = Reporter(self._settings, ROLE, self._producer, address=node.address, detail=detail)
            await self._until_taken(NodeEvent.JOINED, reporter.joined)
            self._reporter = reporter
            return reporter

    async def _until_taken(self, event: NodeEvent, say: Callable[[], Any]) -> None:
        """Say it until Kafka has it."""
        while True:
            try:
                await say()
            except KafkaError as error:
                log.warning("fact_not_told", event_name=event.value, error=type(error).__name__)
                await asyncio.sleep(RETRY_S)
            else:
                self.told.append(event)
                return


def describe_machine(settings: Settings) -> dict[str, str]:
    """What a node tells of itself when it joins."""
    return {
        "roles": " ".join(settings.node.roles),
        "version": version("sealstream"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory_mib": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20),
        "host": platform.node(),
        "kernel": f"{platform.system()} {platform.release()}",
    }


async def _ignore(_wish: Wish) -> None:
    """Nobody drains a supervisor: the processes that it runs are drained."""
