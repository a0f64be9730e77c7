"""The files of enrolment of a node, and the tables that all nodes share: each gets what the other has.

Never takes anything back: certificates and revocations only grow. Never gives up because PostgreSQL is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import structlog

from infra.alone import hold_alone
from infra.keys.table import connected, run_aside
from infra.pki.progress import HEARD_NAME, read_heard
from infra.pki.register import Register
from infra.pki.revocations import Revocations
from infra.pki.table import (
    add_entries,
    add_revocations,
    fetch_entries,
    fetch_heard,
    fetch_revocations,
    is_older,
    put_heard,
    take_in_tokens,
)
from infra.pki.tokens import Token, TokenStore
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.keys.table import Connection
    from infra.pki.register import Entry
    from infra.settings import Settings

log = structlog.get_logger(__name__)

_PUSH = 1000

Result = TypeVar("Result")


class RegisterFollower:
    """Exchanges this node's files with the tables; remembers what stands where, so that a round is short."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._enrolment = settings.node.data_dir / "enrol"
        self._tokens = TokenStore(self._enrolment)
        self._revocations = Revocations(self._enrolment)
        self._heard: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what stands where."""
        self._register = Register(self._settings.gateway.ca_file.parent)
        self._filed: set[str] = set()
        self._shared: set[str] = set()
        self._pending: dict[str, Entry] = {}
        self._read_to = 0
        self._revoked_shared: set[str] = set()
        self._revoked_to = 0

    async def exchange(self, connection: Connection) -> None:
        """One round. Of the processes of a node one at a time does it: they write the same files.

        Raises `UnavailableError`, or `ConfigError` for files that cannot be used.
        """
        if self._tokens.to_move:
            await _aside(partial(move_tokens, self._settings, self._tokens))
        async with hold_alone(self._enrolment / ".exchange.lock"):
            if await is_older(connection, self._read_to, self._revoked_to):
                self._begin()
                self._heard = {}
            await self._exchange_entries(connection)
            await self._exchange_revocations(connection)
        await self._tell_heard(connection)

    async def _exchange_entries(self, connection: Connection) -> None:
        mine = {entry.serial: entry for entry in await _aside(lambda: list(self._register.read()))}
        self._filed |= mine.keys()
        self._pending |= mine
        while True:
            entries, last = await fetch_entries(connection, self._read_to)
            if last == self._read_to:
                break
            missing = [entry for entry in entries if entry.serial not in self._filed]
            if missing:
                await _aside(partial(self._register.add_all, missing))
                self._filed.update(entry.serial for entry in missing)
            self._shared.update(entry.serial for entry in entries)
            self._read_to = last
        for serial in self._pending.keys() & self._shared:
            del self._pending[serial]
        pushed = list(self._pending.values())
        for first in range(0, len(pushed), _PUSH):
            await add_entries(connection, pushed[first : first + _PUSH])
        self._pending.clear()

    async def _exchange_revocations(self, connection: Connection) -> None:
        await _aside(self._revocations.reload)
        while True:
            lines, last = await fetch_revocations(connection, self._revoked_to)
            if last == self._revoked_to:
                break
            await _aside(partial(self._revocations.add_all, lines))
            self._revoked_shared |= lines
            self._revoked_to = last
        await add_revocations(connection, set(self._revocations.all) - self._revoked_shared, self._settings.node.id)

    async def _tell_heard(self, connection: Connection) -> None:
        heard = await asyncio.to_thread(read_heard, self._enrolment / HEARD_NAME)
        if told := {agent: version for agent, version in heard.items() if self._heard.get(agent) != version}:
            await put_heard(connection, told)
            self._heard = heard


async def put_tokens(settings: Settings, tokens: Sequence[Token]) -> None:
    """Keep tokens in the table, all or none; raises `UnavailableError`."""
    async with connected(settings) as connection, connection.transaction():
        await take_in_tokens(connection, tokens, settings.node.id)


def move_tokens(settings: Settings, store: TokenStore) -> None:
    """Let the table take over what the file has, and decide from then on; raises `UnavailableError`."""
    if store.to_move:
        moved = store.move(lambda tokens: run_aside(put_tokens(settings, tokens)))
        log.info("tokens_moved", tokens=moved)


def has_database(settings: Settings) -> bool:
    """Whether the settings name a database that could be asked: its password is there, or it wants none."""
    return settings.postgresql.password_file is None or settings.postgresql.password_file.exists()


def exchange_now(settings: Settings) -> dict[str, int]:
    """Exchange once, for a command; what all nodes heard of agents. Raises `UnavailableError`."""

    async def exchange() -> dict[str, int]:
        async with connected(settings) as connection:
            await RegisterFollower(settings).exchange(connection)
            return await fetch_heard(connection)

    try:
        return run_aside(exchange())
    except asyncpg.PostgresError as error:
        raise UnavailableError(f"PostgreSQL says {type(error).__name__} ({error.sqlstate})") from error


async def _aside(work: Callable[[], Result]) -> Result:
    """Work on files, off the event loop; raises `ConfigError` where they cannot be used."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise ConfigError(f"the files of the register cannot be used: {error}") from error
