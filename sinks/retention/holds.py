"""Holds in PostgreSQL: placed and released by people, read by whoever erases.

Never lets anything that is on hold go: who places one waits for the step of erasure under way, and each step reads all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from schemas.errors import ConfigError
from sinks.postgresql.connection import Connection
from sinks.retention.periods import Hold, Kept

STEP_LOCK = 0x5EA1_0025
"""Key of the advisory lock under which one step erases, or a hold is placed."""

_WAIT_S = 900.0

_FIRST, _LAST = Hold(frozenset()).since, Hold(frozenset()).until
_AGENTS = """
SELECT agent_id FROM agent WHERE user_name = $1
UNION SELECT agent_id FROM session WHERE user_name = $1"""


@dataclass(frozen=True, slots=True)
class Placed:
    """A hold as it was placed, on an agent or a person."""

    hold_id: int
    agent_id: str
    person: str
    since: date | None
    until: date | None
    purpose: str
    placed_by: str
    placed_at: datetime
    released_at: datetime | None


@asynccontextmanager
async def step(connection: Connection, only: frozenset[bytes] | None = None) -> AsyncIterator[Kept]:
    """What is kept, true until the block ends: nobody places a hold meanwhile."""
    await connection.execute("SELECT pg_advisory_lock($1)", STEP_LOCK)
    try:
        yield await read_kept(connection, only)
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", STEP_LOCK)


async def read_kept(connection: Connection, only: frozenset[bytes] | None = None) -> Kept:
    """The holds in force, with the agents that their people are known by."""
    rows = await connection.fetch("SELECT * FROM retention_hold WHERE released_at IS NULL ORDER BY hold_id")
    agents = {row["person"]: await agents_of(connection, row["person"]) for row in rows if row["person"] is not None}
    holds = (
        Hold(
            agents[row["person"]] if row["agent_id"] is None else frozenset({row["agent_id"].bytes}),
            row["since"] or _FIRST,
            row["until"] or _LAST,
        )
        for row in rows
    )
    return Kept(tuple(holds), only)


async def agents_of(connection: Connection, person: str) -> frozenset[bytes]:
    """The agents that a person is or was known by, by their user name."""
    return frozenset(row["agent_id"].bytes for row in await connection.fetch(_AGENTS, person))


async def list_holds(connection: Connection, *, released: bool = False) -> list[Placed]:
    """Holds in force, or all that there ever were."""
    rows = await connection.fetch(
        "SELECT * FROM retention_hold WHERE $1 OR released_at IS NULL ORDER BY hold_id", released
    )
    return [_placed(row) for row in rows]


async def place_hold(
    connection: Connection,
    *,
    agent: UUID | None,
    person: str | None,
    since: date | None,
    until: date | None,
    purpose: str,
    by: str,
) -> int:
    """Its number. Returns when nothing that it covers can be erased any more."""
    if since and until and until < since:
        raise ConfigError("a hold cannot end before it begins")
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", STEP_LOCK, timeout=_WAIT_S)
        number: int = await connection.fetchval(
            "INSERT INTO retention_hold (agent_id, person, since, until, purpose, placed_by) "
            "VALUES ($1, $2, $3, $4, $5, $6) RETURNING hold_id",
            agent, person, since, until, purpose, by,
        )  # fmt: skip
    return number


async def release_hold(connection: Connection, hold_id: int, by: str) -> bool:
    """Whether there was such a hold in force."""
    status = await connection.execute(
        "UPDATE retention_hold SET released_by = $2, released_at = now() WHERE hold_id = $1 AND released_at IS NULL",
        hold_id,
        by,
    )
    return bool(status == "UPDATE 1")


def _placed(row: Any) -> Placed:
    return Placed(
        row["hold_id"],
        str(row["agent_id"] or ""),
        row["person"] or "",
        row["since"],
        row["until"],
        row["purpose"],
        row["placed_by"],
        row["placed_at"],
        row["released_at"],
    )
