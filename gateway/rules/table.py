"""The table of rules, and the alerts that they raised.

Never changes a rule that somebody else changed meanwhile: who changes it says which version they saw. Never tells of
a rule that somebody may not see, not by a name that is taken either.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from gateway.rules.scope import Teams, sees_rule
from infra.rules.rule import Conditions, Rule
from infra.rules.store import CONCERNS, as_rule, conditions_json
from schemas.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_SELECT = f"""
SELECT r.rule_id, r.name, r.severity, r.version, r.enabled, r.conditions, r.changed_by, r.changed_at, r.all_teams,
ARRAY(SELECT t.team FROM alert_rule_team t WHERE t.rule_id = r.rule_id ORDER BY 1) AS teams, {CONCERNS}
FROM alert_rule r"""  # noqa: S608  # columns of ours
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('names of rules'))"


@dataclass(frozen=True, slots=True)
class Stored:
    """A rule with who changed it last, and the teams that it is of (`None`: everybody), seen by them or not."""

    rule: Rule
    changed_by: str
    changed_at: datetime
    teams: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a rule is to be; of which teams, `None` for everybody."""

    name: str
    severity: str
    enabled: bool
    conditions: Conditions
    teams: tuple[str, ...] | None = None

    @property
    def row(self) -> tuple[str, str, bool, str, str, bool]:
        """Name, severity, enabled, kind, conditions, and whether it is of everybody, as columns."""
        conditions = conditions_json(self.conditions)
        return self.name, self.severity, self.enabled, self.conditions.kind, conditions, self.teams is None


@dataclass(frozen=True, slots=True)
class Author:
    """Who saves a rule, and the teams whose people they see (`None`: everybody)."""

    account_id: UUID
    name: str
    seen: Teams


async def read_rules(connection: Connection, seen: Teams) -> list[Stored]:
    """The rules that who sees these teams may see, by name."""
    rows = await connection.fetch(f"{_SELECT} ORDER BY lower(r.name), r.name, r.rule_id")
    return [stored for row in rows if (stored := _stored(row)) is not None and sees_rule(seen, stored)]


async def read_rule(connection: Connection, rule_id: UUID) -> Stored | None:
    """One rule, whoever may see it."""
    row = await connection.fetchrow(f"{_SELECT} WHERE r.rule_id = $1", rule_id)
    return None if row is None else _stored(row)


def _stored(row: Any) -> Stored | None:
    rule = as_rule(row)
    teams = None if row["all_teams"] else tuple(row["teams"])
    return None if rule is None else Stored(rule, row["changed_by"], row["changed_at"], teams)


async def add_rule(connection: Connection, rule_id: UUID, wish: Wish, author: Author) -> None:
    """Put a new rule in force; raises `ConfigError` for a name that is taken, `MalformedError` for an unknown team."""
    async with connection.transaction():
        await _check_name(connection, rule_id, wish.name, author.seen)
        await connection.execute(
            "INSERT INTO alert_rule (rule_id, name, severity, enabled, kind, conditions, all_teams, changed_by, "
            "owner_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            *(rule_id, *wish.row, author.name, _owner(wish, author)),
        )
        await _keep_teams(connection, rule_id, wish)


async def change_rule(connection: Connection, rule_id: UUID, version: int, wish: Wish, author: Author) -> bool:
    """Change a rule that is still of that version; false when it is not. Raises as `add_rule` does."""
    async with connection.transaction():
        await _check_name(connection, rule_id, wish.name, author.seen)
        changed = await connection.fetchval(
            "UPDATE alert_rule SET name = $3, severity = $4, enabled = $5, kind = $6, conditions = $7, "
            "all_teams = $8, changed_by = $9, owner_id = $10, changed_at = now(), version = version + 1 "
            "WHERE rule_id = $1 AND version = $2 RETURNING true",
            *(rule_id, version, *wish.row, author.name, _owner(wish, author)),
        )
        if changed:
            await _keep_teams(connection, rule_id, wish)
    return bool(changed)


def _owner(wish: Wish, author: Author) -> UUID | None:
    return None if wish.teams is None else author.account_id


async def _check_name(connection: Connection, rule_id: UUID, name: str, seen: Teams) -> None:
    """Until the transaction ends nobody else names a rule; one that the author does not see takes no name from them."""
    await connection.execute(_LOCK)
    rows = await connection.fetch(f"{_SELECT} WHERE r.name = $1 AND r.rule_id <> $2", name, rule_id)
    if any(sees_rule(seen, stored) for row in rows if (stored := _stored(row)) is not None):
        raise ConfigError(f"another rule is called {name!r}: choose another name")


async def _keep_teams(connection: Connection, rule_id: UUID, wish: Wish) -> None:
    await connection.execute("DELETE FROM alert_rule_team WHERE rule_id = $1", rule_id)
    rows = [(rule_id, team) for team in wish.teams or ()]
    try:
        await connection.executemany("INSERT INTO alert_rule_team (rule_id, team) VALUES ($1, $2)", rows)
    except asyncpg.ForeignKeyViolationError:
        raise MalformedError(f"there is no such team among {', '.join(wish.teams or ())}", "bad_request") from None


async def remove_rule(connection: Connection, rule_id: UUID) -> None:
    """Take a rule out; its alerts stay."""
    await connection.execute("DELETE FROM alert_rule WHERE rule_id = $1", rule_id)


async def count_alerts(connection: Connection, persons: Collection[str] | None) -> dict[str, tuple[int, datetime]]:
    """Of each rule the open alerts, and when the last one was raised, of `persons` (`None`: of everybody)."""
    rows = await connection.fetch(
        "SELECT rule, count(*) FILTER (WHERE state = 'open') AS open, max(raised_at) AS last FROM alert "
        "WHERE $1::text[] IS NULL OR person = ANY($1) GROUP BY rule",
        None if persons is None else list(persons),
    )
    return {row["rule"]: (row["open"], row["last"]) for row in rows}
