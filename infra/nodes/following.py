"""A process follows what is wished of it, and tells what it is: its version, its load, the key files of its node.

Never ends because PostgreSQL is away, and never acts on a wish twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from infra.nodes.wishes import Wish, fetch_wish, keep_wish, kept_wish
from infra.postgresql import connect
from infra.settings import Settings, postgresql_dsn
from schemas.errors import ConfigError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection

log = structlog.get_logger(__name__)

INTERVAL_S = 2.0
TELL_EVERY = 3
"""So many looks at the wish between two reports."""

_TIMEOUT_S = 5.0

Obey = Callable[[Wish], Awaitable[None]]
Load = Callable[[], Mapping[str, float]]


class NodeFollower:
    """One process's. `obey` is called with a wish that differs from what the process does.

    It may be called again with the same wish: what raises `OSError` or `KafkaError` is tried again.
    """

    def __init__(self, settings: Settings, node_id: str, incarnation: str, obey: Obey, load: Load) -> None:
        self._settings = settings
        self._node_id = node_id
        self._incarnation = incarnation
        self._obey = obey
        self._load = load
        self._copy = copy_of(settings, node_id)
        self.drained = drained_before(settings, node_id)
        """What the process does now; at its start what was wished when it ended."""

    async def follow(self) -> None:
        """Follow until cancelled; a database that is away is waited out."""
        away = ""
        while True:
            try:
                await self._follow_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ConfigError) as error:
                if away != (away := type(error).__name__):
                    log.info("wishes_away", error=away)
            await asyncio.sleep(INTERVAL_S)

    async def _follow_once(self) -> None:
        connection = await connect(postgresql_dsn(self._settings), timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)
        try:
            turn = 0
            while True:
                wish = await fetch_wish(connection, self._node_id)
                if wish is not None and wish.drained != self.drained:
                    await self._act(wish)
                if turn % TELL_EVERY == 0:
                    await self._tell(connection)
                turn += 1
                await asyncio.sleep(INTERVAL_S)
        finally:
            connection.terminate()

    async def _act(self, wish: Wish) -> None:
        """Keep it first: a process that is killed half-way goes on where it was wished to."""
        await asyncio.to_thread(keep_wish, self._copy, wish)
        log.info("wish_followed", node=self._node_id, wanted=wish.wanted.value, by=wish.by_account)
        try:
            await self._obey(wish)
        except KafkaError as error:
            log.warning("wish_waits_for_kafka", node=self._node_id, error=type(error).__name__)
        else:
            self.drained = wish.drained

    async def _tell(self, connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO node_report (node_id, incarnation, version, load) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (node_id) DO UPDATE SET incarnation = $2, version = $3, load = $4, told_at = now()",
            *(self._node_id, self._incarnation, version("sealstream"), json.dumps(dict(self._load()))),
        )
        await tell_key_files(connection, self._settings)


async def tell_key_files(connection: Connection, settings: Settings) -> None:
    """Tell by their names which key files lie on this node."""
    files = await asyncio.to_thread(key_files, settings.keys.dir)
    node = settings.node.id
    async with connection.transaction():
        await connection.execute("DELETE FROM node_kek WHERE node = $1 AND NOT file = ANY($2)", node, files)
        await connection.execute(
            "INSERT INTO node_kek (node, file) SELECT $1, unnest($2::text[]) "
            "ON CONFLICT (node, file) DO UPDATE SET told_at = now()",
            *(node, files),
        )


def key_files(folder: Path) -> list[str]:
    """The names of the key files in a folder."""
    return sorted(path.name for path in folder.glob("*.pem"))


def copy_of(settings: Settings, node_id: str) -> Path:
    """Where the last wish of a process is kept."""
    return settings.data.run / f"wish-{node_id.replace('/', '-')}.json"


def drained_before(settings: Settings, node_id: str) -> bool:
    """Whether the process was wished drained when it was last told."""
    wish = kept_wish(copy_of(settings, node_id), node_id)
    return wish is not None and wish.drained
