"""Assignments, groups and the agents there are, in the tables.

Decides nothing: `infra.keys.assignment` makes key sets of what stands here.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from infra.keys.assignment import Assignment, Scope, Situation
from infra.keys.table import Connection, fetch_rows


async def fetch_assignments(connection: Connection) -> list[Assignment]:
    """Every assignment, the oldest first."""
    rows = await connection.fetch(
        "SELECT pub_datafile, scope, subject, stream, break_glass, always, blind_index FROM kek_assignment "
        "ORDER BY assigned_at, pub_datafile, stream"
    )
    return [
        Assignment(
            row["pub_datafile"],
            Scope(row["scope"]),
            row["subject"],
            row["stream"],
            row["break_glass"],
            row["always"],
            row["blind_index"],
        )
        for row in rows
    ]


async def put_assignment(connection: Connection, assignment: Assignment) -> None:
    """Assign, or change how it is assigned."""
    await connection.execute(
        "INSERT INTO kek_assignment (pub_datafile, scope, subject, stream, break_glass, always, blind_index) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (scope, subject, stream, pub_datafile) "
        "DO UPDATE SET break_glass = $5, always = $6, blind_index = $7",
        assignment.public,
        assignment.scope.value,
        assignment.subject,
        assignment.stream,
        assignment.break_glass,
        assignment.always,
        assignment.blind_index,
    )


async def drop_assignment(connection: Connection, assignment: Assignment) -> bool:
    """Take an assignment back; whether there was one."""
    done = await connection.execute(
        "DELETE FROM kek_assignment WHERE pub_datafile = $1 AND scope = $2 AND subject = $3 AND stream = $4",
        assignment.public,
        assignment.scope.value,
        assignment.subject,
        assignment.stream,
    )
    return bool(done.split()[-1] != "0")


async def fetch_groups(connection: Connection) -> dict[str, frozenset[str]]:
    """Members (agent ids, names of computers in lower case) of every group."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in await connection.fetch("SELECT name, member FROM endpoint_group ORDER BY name"):
        found[row["name"]].add(row["member"])
    return {name: frozenset(members) for name, members in found.items()}


async def change_group(connection: Connection, name: str, add: list[str], remove: list[str]) -> None:
    """Add members to a group and take others out."""
    async with connection.transaction():
        for member in add:
            await connection.execute(
                "INSERT INTO endpoint_group (name, member) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, member.lower()
            )
        for member in remove:
            await connection.execute("DELETE FROM endpoint_group WHERE name = $1 AND member = $2", name, member.lower())


async def fetch_agents(connection: Connection) -> dict[str, str]:
    """The computer of every agent that ever connected, by agent id."""
    return {str(row["agent_id"]): row["computer"] for row in await connection.fetch("SELECT * FROM agent")}


async def fetch_situation(connection: Connection, folder: Path, end_to_end: frozenset[str]) -> Situation:
    """All that key sets are made of; `end_to_end` are the streams that the policy seals end to end now."""
    return Situation(
        folder,
        {row.public: row for row in await fetch_rows(connection)},
        await fetch_assignments(connection),
        await fetch_agents(connection),
        await fetch_groups(connection),
        end_to_end,
    )
