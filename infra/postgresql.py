"""Connections to PostgreSQL by one address, which may name a primary and its standbys.

Never waits for one dead machine the whole time that a caller gave: each server has its share of it. Never puts an
address with a password into a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from infra.cluster import Address, dsn_at, hosts_of, shown

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

_AWAY = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError)
"""What another server may make good. All else, such as a wrong password, is a fault of the settings."""

_ASKS_S = 5.0

_last_served: dict[str, Address] = {}
"""By address: the server that served last, which is asked first the next time."""


async def connect(dsn: str, *, timeout: float = 10.0, **options: Any) -> Connection:  # as asyncpg's
    """A connection to the server of `dsn` that serves, of several the one that may write; it has `timeout` seconds.

    Raises `OSError` or `TimeoutError` while none does, and `asyncpg.PostgresError` for what it refuses.
    """
    places = hosts_of(dsn)
    if len(places) == 1:
        only: Connection = await asyncpg.connect(dsn, timeout=timeout, **options)
        return only
    first = _last_served.get(dsn)
    told: list[str] = []
    for place in sorted(places, key=lambda it: it != first):
        try:
            connection: Connection = await asyncpg.connect(dsn_at(dsn, place), timeout=timeout / len(places), **options)
        except _AWAY as error:
            told.append(f"{place} {type(error).__name__}")
            continue
        if await serves(connection, dsn):
            _last_served[dsn] = place
            return connection
        connection.terminate()
        told.append(f"{place} is a standby")
    raise ConnectionError(f"no server of {shown(places)} takes what is written: {', '.join(told)}")


async def ask_server(dsn: str, place: Address, query: str, *, database: str = "") -> asyncpg.Record | None:
    """The row that the server there answers, in another `database` where one is named; none where nobody answers.

    Raises the `asyncpg.PostgresError` or `asyncpg.InterfaceError` by which it does not let us in.
    """
    try:
        connection: Connection = await asyncpg.connect(dsn_at(dsn, place, database), timeout=_ASKS_S)
    except _AWAY:
        return None
    try:
        return await connection.fetchrow(query, timeout=_ASKS_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    finally:
        connection.terminate()


async def serves(connection: Connection, dsn: str) -> bool:
    """Whether the server behind `connection` is what the address wants; one that goes away meanwhile is not."""
    if "target_session_attrs=any" in urlsplit(dsn).query:
        return True
    try:
        return not await connection.fetchval("SELECT pg_is_in_recovery()", timeout=5.0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
