"""The service `sealstream.miner.v1.Miner`, method by method.

Never decides who may call: `streams.miner.admission` stands before it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from infra.keys.table import connected
from infra.lifecycle import wall_clock_ms
from infra.ocr.engine import describe_engine
from infra.rules.store import fetch_rules
from schemas.errors import UnavailableError
from schemas.replays import REPLAYABLE
from streams.mine import MINED
from streams.miner.caller import caller_of
from streams.miner.contract import messages
from streams.miner.draining import DrainDesk, as_worker
from streams.miner.machine import read_machine
from streams.miner.replays import ReplayDesk

if TYPE_CHECKING:
    from infra.settings import Settings
    from streams.miner.standing import Observer, Standing


class MinerService:
    """What `add_MinerServicer_to_server` takes."""

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer
        self._replays = ReplayDesk(settings)
        self._draining = DrainDesk(settings, observer)
        self._version = version("sealstream")
        self._started_ms = wall_clock_ms()

    async def Status(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - as the contract calls it
        """What the node does now."""
        standing = await self._observer.look()
        return messages.StatusReply(
            node=self._settings.node.id,
            version=self._version,
            started_ms=self._started_ms,
            drained=standing.drained,
            partitions=standing.held,
            workers=[as_worker(one) for one in standing.workers],
            lag=[as_lag(one.lag, here=one.here) for one in standing.rows],
            load=as_load(standing),
            faults=standing.faults,
        )

    async def Capabilities(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - likewise
        """What the node can do."""
        engine = await asyncio.to_thread(describe_engine)
        streams = self._settings.streams
        return messages.CapabilitiesReply(
            version=self._version,
            kinds=[kind.label for kind in MINED],
            replayable=[messages.Replayable(processor=name, topics=sorted(of)) for name, of in REPLAYABLE.items()],
            ocr=messages.Ocr(
                engine=engine.name,
                engine_version=engine.version,
                languages=engine.languages,
                processes=streams.ocr_workers,
            ),
            cores=os.cpu_count() or 0,
            workers=streams.workers,
            rules=await self._rules(),
        )

    async def SubmitReplay(self, request: Any, context: Any) -> Any:  # noqa: N802 - likewise
        """Have this node process a range again."""
        return await self._replays.submit(request, caller_of(request, context))

    async def ListReplays(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - likewise
        """The newest first."""
        return await self._replays.list(request)

    async def WatchReplay(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802, ARG002 - likewise
        """How far a replay is, to its end."""
        async with aclosing(self._replays.watch(request)) as told:
            async for message in told:
                yield message

    async def CancelReplay(self, request: Any, context: Any) -> Any:  # noqa: N802 - likewise
        """End a replay in order."""
        return await self._replays.cancel(request, caller_of(request, context))

    async def Drain(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - likewise
        """Have the workers let go, and tell how far that is."""
        async with aclosing(self._draining.drain(request, caller_of(request, context))) as told:
            async for message in told:
                yield message

    async def Resume(self, request: Any, context: Any) -> Any:  # noqa: N802 - likewise
        """Have the workers work again."""
        return await self._draining.resume(request, caller_of(request, context))

    async def _rules(self) -> list[Any]:
        try:
            async with connected(self._settings) as connection:
                rules = await fetch_rules(connection)
        except UnavailableError:
            return []
        return [messages.Rule(rule_id=str(rule.rule_id), version=rule.version) for rule in rules if rule.enabled]


def as_lag(row: Any, *, here: bool) -> Any:
    """A `PartitionLag`."""
    return messages.PartitionLag(
        group=row.group,
        topic=row.topic,
        partition=row.partition,
        next_offset=row.next_offset,
        end_offset=row.end_offset,
        here=here,
    )


def as_load(standing: Standing) -> Any:
    """A `Load`."""
    machine = read_machine()
    return messages.Load(
        one_minute=machine.one_minute,
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        memory_free_bytes=machine.memory_free_bytes,
        lag=sum(row.lag.lag for row in standing.rows),
    )
