"""The table of rules, and the alerts that they raised.

Never changes a rule that somebody else changed meanwhile: who changes it says which version they saw.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from infra.rules.rule import Conditions, Rule
from infra.rules.store import as_rule, conditions_json
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_COLUMNS = "rule_id, name, severity, version, enabled, conditions, changed_by, changed_at"


@dataclass(frozen=True, slots=True)
class Stored:
    """A rule with who changed it last."""

    rule: Rule
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Wish:
    """What a rule is to be."""

    name: str
    severity: str
    enabled: bool
    conditions: Conditions

    @property
    def row(self) -> tuple[str, str, bool, str, str]:
        """Name, severity, enabled, kind and conditions, as columns."""
        return self.name, self.severity, self.enabled, self.conditions.kind, conditions_json(self.conditions)


async def read_rules(connection: Connection) -> list[Stored]:
    """All rules, by name."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM alert_rule ORDER BY lower(name), name")  # noqa: S608
    return [stored for row in rows if (stored := _stored(row)) is not None]


async def read_rule(connection: Connection, rule_id: UUID) -> Stored | None:
    """One rule."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM alert_rule WHERE rule_id = $1", rule_id)  # noqa: S608
    return None if row is None else _stored(row)


def _stored(row: Any) -> Stored | None:
    rule = as_rule(row)
    return None if rule is None else Stored(rule, row["changed_by"], row["changed_at"])


async def add_rule(connection: Connection, rule_id: UUID, wish: Wish, by: str) -> None:
    """Put a new rule in force; raises `ConfigError` when its name is taken."""
    try:
        await connection.execute(
            "INSERT INTO alert_rule (rule_id, name, severity, enabled, kind, conditions, changed_by) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *(rule_id, *wish.row, by),
        )
    except asyncpg.UniqueViolationError:
        raise _taken(wish) from None


async def change_rule(connection: Connection, rule_id: UUID, version: int, wish: Wish, by: str) -> bool:
    """Change a rule that is still of that version; false when it is not. Raises `ConfigError` as `add_rule` does."""
    try:
        changed = await connection.fetchval(
            "UPDATE alert_rule SET name = $3, severity = $4, enabled = $5, kind = $6, conditions = $7, "
            "changed_by = $8, changed_at = now(), version = version + 1 "
            "WHERE rule_id = $1 AND version = $2 RETURNING true",
            *(rule_id, version, *wish.row, by),
        )
    except asyncpg.UniqueViolationError:
        raise _taken(wish) from None
    return bool(changed)


async def remove_rule(connection: Connection, rule_id: UUID) -> None:
    """Take a rule out; its alerts stay."""
    await connection.execute("DELETE FROM alert_rule WHERE rule_id = $1", rule_id)


def _taken(wish: Wish) -> ConfigError:
    return ConfigError(f"another rule is called {wish.name!r}: choose another name")


async def count_alerts(connection: Connection, persons: Collection[str] | None) -> dict[str, tuple[int, datetime]]:
    """Of each rule the open alerts, and when the last one was raised, of `persons` (`None`: of everybody)."""
    rows = await connection.fetch(
        "SELECT rule, count(*) FILTER (WHERE state = 'open') AS open, max(raised_at) AS last FROM alert "
        "WHERE $1::text[] IS NULL OR person = ANY($1) GROUP BY rule",
        None if persons is None else list(persons),
    )
    return {row["rule"]: (row["open"], row["last"]) for row in rows}
