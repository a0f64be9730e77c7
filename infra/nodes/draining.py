"""Draining a node for its update, by wishes: its gateways and workers let go, and are taken back afterwards.

Never takes back what a person had drained before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from infra.nodes.wishes import Wanted, Wish, as_wish, ends_in_order, may_drain, put_wish
from infra.postgresql import connect
from infra.settings import postgresql_dsn
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from infra.settings import Settings

log = structlog.get_logger(__name__)

BY = "update"
_LOOK_S = 0.5
_TIMEOUT_S = 10.0


class WishDrainer:
    """Drains by the table; waits `wait_s` for agents to go, and goes on without having seen it."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = postgresql_dsn(settings)
        self._wait_s = settings.update.drain_s

    async def drain(self, node: str) -> None:
        """Wish it, and wait until the node's processes say that they drain and their agents are gone."""
        known = [row["node_id"] for row in await self._ask(_SERVING, node)]
        serving = [node_id for node_id in known if may_drain(node_id) and not ends_in_order(node_id)]
        for node_id in serving:
            await self._wish(Wish(node_id, Wanted.DRAINED, BY, "it is updated"))
        deadline = asyncio.get_running_loop().time() + self._wait_s
        while serving and asyncio.get_running_loop().time() < deadline:
            busy = await self._ask(_BUSY, serving)
            if not busy:
                return
            await asyncio.sleep(_LOOK_S)
        if serving:
            log.warning("node_not_drained_in_time", node=node, waited_s=self._wait_s)

    async def resume(self, node: str) -> None:
        """Take back what was drained for the update."""
        rows = await self._ask("SELECT * FROM node_wish WHERE split_part(node_id, '/', 1) = $1", node)
        for wish in map(as_wish, rows):
            if wish.drained and wish.by_account == BY:
                await self._wish(Wish(wish.node_id, Wanted.SERVING, BY, "it was updated"))

    async def _wish(self, wish: Wish) -> None:
        connection = await self._connect()
        try:
            await put_wish(connection, wish)
        finally:
            connection.terminate()

    async def _ask(self, query: str, *values: Any) -> list[asyncpg.Record]:
        connection = await self._connect()
        try:
            return list(await connection.fetch(query, *values))
        except asyncpg.PostgresError as error:
            raise UnavailableError(f"PostgreSQL says {type(error).__name__}") from error
        finally:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection[Any]:
        try:
            return await connect(self._dsn, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise UnavailableError(
                f"PostgreSQL does not answer ({type(error).__name__}): nodes are drained by it; --no-drain goes without"
            ) from error


_SERVING = """
SELECT node_id FROM node_state LEFT JOIN node_wish USING (node_id)
WHERE split_part(node_id, '/', 1) = $1 AND state IN ('joined', 'ready') AND wanted IS DISTINCT FROM 'drained'"""

_BUSY = """
SELECT node_id FROM node_state
WHERE node_id = ANY($1) AND (state IN ('joined', 'ready')
      OR EXISTS (SELECT 1 FROM agent WHERE agent.gateway = node_state.node_id AND agent.connected))"""
