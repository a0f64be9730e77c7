"""Draining this node's workers by wishes, and seeing that they let go.

Never takes a wish back because nobody listens any more, and never calls drained who may yet be given a partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import structlog

from infra.audit import audit_trail
from infra.keys.table import connected
from infra.nodes.wishes import Wanted, Wish, put_wish
from streams.miner.caller import Caller, checked_text
from streams.miner.contract import messages
from streams.miner.standing import Observer, Standing, Worker

if TYPE_CHECKING:
    from infra.settings import Settings

log = structlog.get_logger(__name__)

LOOK_S = 1.0
_KNOWN = """
SELECT node_id FROM node_state WHERE split_part(node_id, '/', 1) = $1 AND state <> 'left'
UNION SELECT node_id FROM node_wish WHERE split_part(node_id, '/', 1) = $1 AND wanted = 'drained'"""


class DrainDesk:
    """Wishes for all workers of the node, those that live and those that are only known."""

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._settings = settings
        self._observer = observer

    async def drain(self, request: Any, caller: Caller) -> AsyncGenerator[Any, None]:
        """Wish it, and tell how far it is until nothing is read here."""
        await self._wish(Wanted.DRAINED, request, caller)
        before = None
        while True:
            standing = await self._observer.look()
            progress = as_progress(standing)
            if progress != before:
                yield (before := progress)
            if standing.let_go:
                log.info("node_drained", node=self._settings.node.id, workers=len(standing.workers))
                return
            await asyncio.sleep(LOOK_S)

    async def resume(self, request: Any, caller: Caller) -> Any:
        """Wish them back; a `ResumeReply`."""
        return messages.ResumeReply(workers=await self._wish(Wanted.SERVING, request, caller))

    async def _wish(self, wanted: Wanted, request: Any, caller: Caller) -> list[str]:
        """Audit and wish; the workers' names."""
        reason, node = checked_text(request.reason, "reason"), self._settings.node.id
        action = "drain_node" if wanted is Wanted.DRAINED else "resume_node"
        async with connected(self._settings) as connection, audit_trail(self._settings) as write:
            known = {row["node_id"].partition("/")[2] for row in await connection.fetch(_KNOWN, node)}
            names = sorted(self._expected() | {name for name in known if name.startswith("streams-")})
            for name in names:
                detail = {"via": caller.via}
                await write(action, f"node {node}/{name}", actor=caller.actor, purpose=reason, detail=detail)
                await put_wish(connection, Wish(f"{node}/{name}", wanted, caller.actor, reason))
        return names

    def _expected(self) -> set[str]:
        """Workers that this node has by its settings, or that are there: one may just be starting anew."""
        settled = {f"streams-{number}" for number in range(1, self._settings.streams.workers + 1)}
        return settled | {worker.name for worker in self._observer.standing.workers}


def as_worker(worker: Worker) -> Any:
    """A `Worker` of the contract."""
    return messages.Worker(name=worker.name, pid=worker.pid, drained=worker.drained, fault=worker.fault)


def as_progress(standing: Standing) -> Any:
    """A `DrainProgress`."""
    return messages.DrainProgress(
        partitions=standing.held, workers=[as_worker(one) for one in standing.workers], drained=standing.let_go
    )
