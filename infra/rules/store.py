"""Rules, teams and hours of work as PostgreSQL keeps them.

Only reads; the console's API writes. A rule that a later release wrote and this one cannot read is left out, and told.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from infra.rules.evaluate import Week, World
from infra.rules.observation import Observation, of_envelopes
from infra.rules.rule import Conditions, Rule

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[Any]

log = structlog.get_logger(__name__)

CONCERNS = """
CASE WHEN r.all_teams THEN NULL ELSE ARRAY(
    SELECT t.team FROM alert_rule_team t JOIN account a ON a.account_id = r.owner_id
    WHERE t.rule_id = r.rule_id AND NOT a.disabled AND a.role = 'officer'
    AND (a.all_teams OR EXISTS (SELECT FROM account_team s WHERE s.account_id = a.account_id AND s.team = t.team))
    ORDER BY 1
) END AS concerns"""
"""Of `alert_rule r`: `NULL` for everybody, else the teams that it is of and that its owner sees now. Who is no officer
any more, the role with the permission `rules`, sees none."""

_RULES = f"""
SELECT r.rule_id, r.name, r.severity, r.version, r.enabled, r.conditions, {CONCERNS}
FROM alert_rule r ORDER BY r.name"""  # noqa: S608  # columns of ours
_ENVELOPES = """
SELECT agent_id, user_name, computer, stream, minute, bytes
FROM (
    SELECT e.agent_id, a.user_name, a.computer, e.stream, date_trunc('minute', e.captured_at) AS minute,
           sum(e.bytes) AS bytes, sum(sum(e.bytes)) OVER (PARTITION BY a.user_name) AS total
    FROM envelope e JOIN agent a USING (agent_id)
    WHERE e.captured_at >= $1 AND e.captured_at < $2 AND ($3::text[] IS NULL OR a.user_name = ANY($3))
    GROUP BY 1, 2, 3, 4, 5
) sizes
WHERE total > $4 ORDER BY minute LIMIT $5"""


async def fetch_rules(connection: Connection) -> list[Rule]:
    """Every rule, by name."""
    return [rule for row in await connection.fetch(_RULES) if (rule := as_rule(row)) is not None]


def as_rule(row: Any) -> Rule | None:
    """A row of `alert_rule`."""
    try:
        return Rule(
            rule_id=row["rule_id"],
            name=row["name"],
            severity=row["severity"],
            version=row["version"],
            enabled=row["enabled"],
            concerns=row["concerns"],
            conditions=Conditions.model_validate_json(row["conditions"]),
        )
    except ValidationError as error:
        log.warning("rule_not_readable", rule_id=str(row["rule_id"]), faults=error.error_count())
        return None


def conditions_json(conditions: Conditions) -> str:
    """Conditions as the table keeps them: what is said, without what is not."""
    return json.dumps(conditions.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


async def fetch_world(connection: Connection) -> World:
    """Teams and weeks as they are now."""
    teams: dict[str, set[str]] = defaultdict(set)
    for row in await connection.fetch("SELECT team, user_name FROM team_member"):
        teams[row["team"]].add(row["user_name"])
    hours: dict[str, dict[int, list[tuple[time, time]]]] = defaultdict(lambda: defaultdict(list))
    for row in await connection.fetch("SELECT team, weekday, from_time, until_time FROM working_hours"):
        hours[row["team"]][row["weekday"]].append((row["from_time"], row["until_time"]))
    weeks = {
        row["team"]: Week(row["time_zone"], hours.get(row["team"], {}))
        for row in await connection.fetch("SELECT team, time_zone FROM working_week")
    }
    return World({team: frozenset(members) for team, members in teams.items()}, weeks)


async def fetch_envelopes(
    connection: Connection,
    since: datetime,
    until: datetime,
    *,
    more_than: float = 0.0,
    persons: Sequence[str] | None = None,
    limit: int = 200_000,
) -> list[Observation]:
    """Sizes of envelopes captured in that time, by agent, stream and minute, of people with `more_than` bytes in all.

    No more than the oldest `limit`.
    """
    wanted = None if persons is None else list(persons)
    rows = await connection.fetch(_ENVELOPES, since, until, wanted, int(more_than), limit)
    return [of_envelopes(row) for row in rows]
