"""The rules that there are, and changing them.

Never overwrites what somebody else changed meanwhile. A rule that concerns people outside one's teams is none at all.
"""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, not_found
from gateway.api.services import Serving
from gateway.api.times import to_ms
from gateway.rules.scope import check_conditions, choose_concerns, sees_rule, teams_of
from gateway.rules.table import (
    Author,
    Stored,
    Wish,
    add_rule,
    change_rule,
    count_alerts,
    read_rule,
    read_rules,
    remove_rule,
)
from infra.rules.rule import Conditions, Kind, Severity
from infra.rules.store import conditions_json

router = APIRouter(prefix="/api/v1/rules", tags=["rules"])


TeamName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class RuleWish(_Model):
    """What a rule is to be."""

    name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
    severity: Severity = "medium"
    enabled: bool = True
    conditions: Conditions
    all_teams: bool | None = None
    """Whether it concerns everybody. Neither this nor `teams`: as it was; a new one as far as its maker sees."""
    teams: Annotated[list[TeamName], Field(max_length=500)] = []
    """The teams whose people alone it concerns, whatever its conditions say."""


class RuleChange(RuleWish):
    """What a rule is to be, by somebody who saw `version` of it."""

    version: Annotated[int, Field(ge=1, le=2_000_000_000)]


class ChoosableTeam(_Model):
    """A team that a rule of theirs may concern."""

    name: str
    people: int


class RuleTold(_Model):
    """A rule, with what it raised among the people whom the account may see."""

    rule_id: UUID
    name: str
    severity: Severity
    enabled: bool
    kind: Kind
    conditions: Conditions
    all_teams: bool
    """Whether it concerns everybody."""
    teams: list[str]
    """The teams that it is of."""
    concerns: list[str]
    """Those of them that who saved it last sees now: whom it concerns. Empty: nobody, or everybody."""
    version: int
    changed_by: str
    changed_at_ms: int
    open_alerts: int = 0
    last_alert_ms: int | None = None


@router.get("")
async def list_rules(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
) -> list[RuleTold]:
    """The rules that concern nobody outside one's teams, by name."""
    async with services.database() as connection:
        counts = await count_alerts(connection, principal.persons)
        found = await read_rules(connection, teams_of(principal))
    told = []
    for stored in found:
        opened, last = counts.get(str(stored.rule.rule_id), (0, None))
        counted = {"open_alerts": opened, "last_alert_ms": None if last is None else to_ms(last)}
        told.append(_told(stored).model_copy(update=counted))
    return told


@router.get("/teams")
async def list_teams(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
) -> list[ChoosableTeam]:
    """The teams that a rule of the account may concern, with how many people they have."""
    seen = teams_of(principal)
    async with services.database() as connection:
        rows = await connection.fetch(
            "SELECT t.name, (SELECT count(*) FROM team_member m WHERE m.team = t.name) AS people FROM team t "
            "WHERE $1::text[] IS NULL OR t.name = ANY($1) ORDER BY t.name",
            None if seen is None else sorted(seen),
        )
    return [ChoosableTeam(name=row["name"], people=row["people"]) for row in rows]


@router.get("/{rule_id}")
async def show_rule(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
    rule_id: UUID,
) -> RuleTold:
    """One rule."""
    async with services.database() as connection:
        return _told(_known(principal, await read_rule(connection, rule_id)))


@router.post("", status_code=201)
async def make_rule(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
    wish: RuleWish,
) -> RuleTold:
    """Make a rule; it is in force within seconds."""
    rule_id = uuid4()
    wanted = _wish(principal, wish)
    await services.audit(principal, "make rule", str(rule_id), after=_text(wanted))
    async with services.database() as connection:
        await add_rule(connection, rule_id, wanted, _author(principal))
        return _told(_known(principal, await read_rule(connection, rule_id)))


@router.put("/{rule_id}")
async def put_rule(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
    rule_id: UUID,
    wish: RuleChange,
) -> RuleTold:
    """Change a rule that nobody changed since `version`; otherwise 409."""
    async with services.database() as connection:
        before = _known(principal, await read_rule(connection, rule_id))
        _check_version(before, wish.version)
        wanted = _wish(principal, wish, before)
        await services.audit(
            principal, "change rule", str(rule_id), before=_text(_as_wish(before)), after=_text(wanted)
        )
        if not await change_rule(connection, rule_id, wish.version, wanted, _author(principal)):
            _check_version(_known(principal, await read_rule(connection, rule_id)), wish.version)
        return _told(_known(principal, await read_rule(connection, rule_id)))


@router.delete("/{rule_id}", status_code=204)
async def delete_rule(
    principal: Annotated[Principal, needs(Permission.RULES)],
    services: Serving,
    rule_id: UUID,
    version: Annotated[int, Query(ge=1, le=2_000_000_000)],
) -> None:
    """Take a rule out that nobody changed since `version`; its alerts stay."""
    async with services.database() as connection:
        before = _known(principal, await read_rule(connection, rule_id))
        _check_version(before, version)
        await services.audit(principal, "remove rule", str(rule_id), before=_text(_as_wish(before)))
        await remove_rule(connection, rule_id)


def _known(principal: Principal, stored: Stored | None) -> Stored:
    if stored is None or not sees_rule(teams_of(principal), stored):
        raise not_found("rule")
    return stored


def _check_version(stored: Stored, version: int) -> None:
    if stored.rule.version != version:
        raise ApiError(409, "changed_meanwhile", f"{stored.changed_by} changed this rule meanwhile: look at it again")


def _wish(principal: Principal, wish: RuleWish, before: Stored | None = None) -> Wish:
    """What is asked for, as far as the account may; raises `ApiError` 403 and `MalformedError`."""
    seen = teams_of(principal)
    check_conditions(seen, wish.conditions)
    teams = choose_concerns(seen, all_teams=wish.all_teams, teams=wish.teams, before=before)
    return Wish(wish.name.strip(), wish.severity, wish.enabled, wish.conditions, teams)


def _author(principal: Principal) -> Author:
    return Author(principal.account_id, principal.name, teams_of(principal))


def _as_wish(stored: Stored) -> Wish:
    rule = stored.rule
    return Wish(rule.name, rule.severity, rule.enabled, rule.conditions, stored.teams)


def _text(wish: Wish) -> str:
    concerns = "everybody" if wish.teams is None else list(wish.teams)
    told = {"name": wish.name, "severity": wish.severity, "enabled": wish.enabled, "concerns": concerns}
    return json.dumps({**told, "conditions": json.loads(conditions_json(wish.conditions))}, ensure_ascii=False)


def _told(stored: Stored) -> RuleTold:
    rule = stored.rule
    return RuleTold(
        rule_id=rule.rule_id,
        name=rule.name,
        severity=rule.severity,
        enabled=rule.enabled,
        kind=rule.conditions.kind,
        conditions=rule.conditions,
        all_teams=stored.teams is None,
        teams=list(stored.teams or ()),
        concerns=list(rule.concerns or ()),
        version=rule.version,
        changed_by=stored.changed_by,
        changed_at_ms=to_ms(stored.changed_at),
    )
