"""What operators wish of the components of this node: which are to run, which are to stay stopped, and by whose word.

Never forgets a wish because the database is away: what was wished last is kept in a file and goes on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from infra.approved import connect
from infra.files import write_whole
from infra.stack.state import StackState

if TYPE_CHECKING:
    from infra.datadir import DataDir
    from infra.settings import Settings

log = structlog.get_logger()

LOOK_AGAIN_S = 2.0
"""How soon a wish is followed."""

TELL_AGAIN_S = 10.0
"""How often it is told how components stand where nothing changes."""

STOPPABLE = ("streams-", "sinks-")
"""Beginnings of the names of components that may be stopped by a wish: stores and gateway may not."""

_QUERY_S = 5.0
_FILE = "wishes.json"


@dataclass(frozen=True, slots=True)
class Wish:
    """That a component stays stopped."""

    by: str
    at_ms: int


def is_stoppable(component: str) -> bool:
    """Whether a wish may stop it."""
    return component.startswith(STOPPABLE)


class Wishes:
    """The components of one node that are to stay stopped."""

    def __init__(self, data: DataDir) -> None:
        self._file = data.run / _FILE
        self._held: Wish | None = None
        self._stopped = self._read_file()
        self._news = asyncio.Event()

    def stops(self, component: str) -> Wish | None:
        """The wish that keeps it stopped, if there is one."""
        return (self._stopped.get(component) or self._held) if is_stoppable(component) else None

    async def until_stopped(self, component: str) -> Wish:
        """Return the wish once there is one that stops it."""
        while (wish := self.stops(component)) is None:
            await self._news.wait()
        return wish

    async def until_running(self, component: str) -> None:
        """Return once nothing stops it."""
        while self.stops(component) is not None:
            await self._news.wait()

    def put(self, stopped: Mapping[str, Wish]) -> None:
        """These are to stay stopped from now on, and no others; it is kept for a start without the database."""
        if dict(stopped) == self._stopped:
            return
        self._stopped = dict(stopped)
        text = json.dumps({name: asdict(wish) for name, wish in self._stopped.items()})
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._file, text.encode(), mode=0o644)
        log.info("wishes_changed", stopped=sorted(self._stopped))
        self._wake()

    def hold(self, wish: Wish | None) -> None:
        """Everything that may be stopped stays so, whatever else is wished, until this is taken back by `None`."""
        if wish != self._held:
            self._held = wish
            self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _read_file(self) -> dict[str, Wish]:
        try:
            return {name: Wish(**row) for name, row in json.loads(self._file.read_text("utf-8")).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.error("wishes_unusable", file=str(self._file), error=type(error).__name__)  # noqa: TRY400
            return {}


class WishFollower:
    """Keeps `wishes` as the table has them, and the table of states as the supervisor's `state` is."""

    def __init__(self, settings: Settings, wishes: Wishes, state: StackState) -> None:
        self._settings = settings
        self._wishes = wishes
        self._state = state
        self._told: dict[str, tuple[Any, ...]] = {}
        self._told_at = 0.0

    async def follow(self) -> None:
        """Until cancelled; a database that is away is waited out."""
        away = ""
        while True:
            try:
                await self._follow_tables()
            except (OSError, TimeoutError) as error:
                if away != type(error).__name__:
                    away = type(error).__name__
                    log.info("wishes_away", error=away)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _follow_tables(self) -> None:
        connection = await connect(self._settings)
        self._told_at = 0.0
        try:
            while True:
                self._wishes.put(await read_stopped(connection, self._settings.node.id))
                await self._tell(connection)
                await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            connection.terminate()

    async def _tell(self, connection: asyncpg.Connection[Any]) -> None:
        now = asyncio.get_running_loop().time()
        told = {
            it.name: (it.phase.value, it.detail, it.version, it.address, it.restarts, it.since_ms)
            for it in self._state.components.values()
        }
        if told == self._told and now - self._told_at < TELL_AGAIN_S:
            return
        await write_states(connection, self._settings.node.id, told)
        self._told, self._told_at = told, now


@contextmanager
def _as_connection_errors() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConnectionError(str(error)) from None


async def read_stopped(connection: asyncpg.Connection[Any], node_id: str) -> dict[str, Wish]:
    """The components of that node that are to stay stopped; raises `ConnectionError`."""
    with _as_connection_errors():
        rows = await connection.fetch(
            "SELECT component, wished_by, wished_at FROM component_wish WHERE node_id = $1 AND wanted = 'stopped'",
            node_id,
            timeout=_QUERY_S,
        )
    return {row["component"]: Wish(row["wished_by"], round(row["wished_at"].timestamp() * 1000)) for row in rows}


async def write_states(
    connection: asyncpg.Connection[Any], node_id: str, states: Mapping[str, tuple[Any, ...]]
) -> None:
    """How the node's components stand; those that it has no more are forgotten. Raises `ConnectionError`."""
    rows = [(node_id, name, *row[:-1], datetime.fromtimestamp(row[-1] / 1000, UTC)) for name, row in states.items()]
    with _as_connection_errors():
        async with connection.transaction():
            await connection.execute(
                "DELETE FROM component_state WHERE node_id = $1 AND component <> ALL($2)", node_id, list(states)
            )
            await connection.executemany(
                "INSERT INTO component_state (node_id, component, phase, detail, version, address, restarts, since) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (node_id, component) DO UPDATE SET "
                "phase = EXCLUDED.phase, detail = EXCLUDED.detail, version = EXCLUDED.version, "
                "address = EXCLUDED.address, restarts = EXCLUDED.restarts, since = EXCLUDED.since, told_at = now()",
                rows,
                timeout=_QUERY_S,
            )


async def write_wish(connection: asyncpg.Connection[Any], node_id: str, component: str, wanted: str, by: str) -> None:
    """Write down that a component of a node is to be `running` or `stopped`; the caller has audited it."""
    await connection.execute(
        "INSERT INTO component_wish (node_id, component, wanted, wished_by) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (node_id, component) DO UPDATE SET wanted = EXCLUDED.wanted, wished_by = EXCLUDED.wished_by, "
        "wished_at = now()",
        *(node_id, component, wanted, by),
    )
