"""The people who are recorded: their agents and endpoints, whether they are online, and which streams there are.

Never names anybody whom the person that asks may not see.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sinks.postgresql.connection import Connection

_AGENTS = """
SELECT user_name, agent_id, computer, connected, first_seen_at, last_seen_at FROM agent
WHERE user_name <> '' AND ($1::text[] IS NULL OR user_name = ANY($1))
  AND ($2 = '' OR strpos(lower(user_name), $2) > 0 OR strpos(lower(computer), $2) > 0)
ORDER BY user_name, computer, agent_id"""

_OF_PERSON = """
SELECT user_name, agent_id, computer, connected, first_seen_at, last_seen_at FROM agent
WHERE user_name = $1 ORDER BY first_seen_at"""

_STREAMS = """
SELECT agent_id, kind.stream FROM unnest($1::uuid[]) AS agent_id
CROSS JOIN unnest($2::text[]) AS kind (stream)
WHERE EXISTS (SELECT 1 FROM archive_run r WHERE r.agent_id = agent_id.agent_id AND r.stream = kind.stream)"""


class Agent(NamedTuple):
    """One agent of a person."""

    user_name: str
    agent_id: UUID
    computer: str
    connected: bool
    first_seen_at: datetime
    last_seen_at: datetime


async def find_agents(connection: Connection, persons: Collection[str] | None, query: str) -> list[Agent]:
    """The agents of those of `persons` (`None`: all) whose name or computer has `query` in it."""
    rows = await connection.fetch(_AGENTS, None if persons is None else list(persons), query.strip().lower())
    return [Agent(*row) for row in rows]


async def agents_of_person(connection: Connection, person: str) -> list[Agent]:
    """The agents that recorded that person, oldest first."""
    return [Agent(*row) for row in await connection.fetch(_OF_PERSON, person)]


async def streams_of(connection: Connection, agents: Sequence[UUID], streams: Sequence[str]) -> dict[UUID, list[str]]:
    """Of which streams there is something in the archive."""
    found: dict[UUID, list[str]] = {agent: [] for agent in agents}
    for row in await connection.fetch(_STREAMS, list(agents), list(streams)):
        found[row["agent_id"]].append(row["stream"])
    return found
