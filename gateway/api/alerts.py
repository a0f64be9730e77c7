"""Alerts: what rules found, filtered, opened and settled.

Never shows an alert of a person whom the account may not see: there is none then.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import ApiError, not_found
from gateway.api.search.pieces import Piece, pieces_of
from gateway.api.services import Services, Serving
from gateway.api.times import from_ms, to_ms
from gateway.rules.alerts import Filter, count_states, list_rules, read_alert, read_alerts, settle_alert
from gateway.rules.table import read_rule
from infra.rules.evaluate import Check
from infra.rules.observation import of_document
from infra.rules.rule import Severity
from sinks.elasticsearch.documents import read_document
from sinks.elasticsearch.search import Question
from sinks.envelopes import MAX_TIME_MS

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])

State = Literal["open", "seen", "closed"]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]
TimeMs = Annotated[int, Field(ge=0, le=MAX_TIME_MS)]
AlertId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[0-9a-f-]+$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class AlertWish(_Model):
    """Which alerts; what is not given is all."""

    rule: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    """Ids of rules."""
    person: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    state: Annotated[tuple[State, ...], Field(max_length=3)] = ()
    severity: Annotated[tuple[Severity, ...], Field(max_length=3)] = ()
    since_ms: TimeMs | None = None
    until_ms: TimeMs | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    after: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] = ""
    """`next` of the page before."""


class AlertRow(_Model):
    """An alert. Of a window, `until_ms` is its end, and `detail` says how much there was."""

    alert_id: str
    time_ms: int
    until_ms: int | None
    rule_id: str
    rule: str
    severity: str
    kind: str
    agent_id: str
    document_id: str
    person: str
    computer: str
    stream: str
    application: str
    detail: dict[str, str]
    state: State
    note: str
    state_by: str
    state_at_ms: int | None


class Alerts(_Model):
    """Alerts, the newest first; how many there are of each state; `next` to go on with."""

    alerts: list[AlertRow]
    states: dict[State, int]
    next: str


class RuleName(_Model):
    """A rule that raised alerts; it may be gone since."""

    rule_id: str
    name: str


class AlertDetail(AlertRow):
    """An alert with the text that the rule found, where that is still there."""

    title: str
    fragment: list[Piece]


class StateWish(_Model):
    """What is said of an alert."""

    state: State
    note: Annotated[str, Field(max_length=2000)] = ""


@router.get("")
async def list_alerts(
    principal: Annotated[Principal, needs(Permission.ALERTS)],
    services: Serving,
    wish: Annotated[AlertWish, Query()],
) -> Alerts:
    """Alerts of the people whom the account may see."""
    scope = None if principal.persons is None and not wish.person else principal.seen_of(wish.person)
    wanted = Filter(
        persons=scope,
        rules=wish.rule,
        states=wish.state,
        severities=wish.severity,
        since=None if wish.since_ms is None else from_ms(wish.since_ms),
        until=None if wish.until_ms is None else from_ms(wish.until_ms),
        before=_place(wish.after),
        limit=wish.limit + 1,
    )
    async with services.database() as connection:
        rows = await read_alerts(connection, wanted)
        states = await count_states(connection, wanted)
    shown = rows[: wish.limit]
    last = shown[-1] if len(rows) > wish.limit else None
    return Alerts(
        alerts=[AlertRow(**_told(row)) for row in shown],
        states={state: states.get(state, 0) for state in ("open", "seen", "closed")},
        next="" if last is None else f"{last['raised_at'].isoformat()}~{last['alert_id']}",
    )


@router.get("/rules")
async def list_rule_names(
    principal: Annotated[Principal, needs(Permission.ALERTS)],
    services: Serving,
) -> list[RuleName]:
    """Rules that raised alerts, for a filter."""
    async with services.database() as connection:
        return [RuleName(rule_id=one, name=name) for one, name in await list_rules(connection, principal.persons)]


@router.get("/{alert_id}")
async def show_alert(
    principal: Annotated[Principal, needs(Permission.ALERTS)],
    services: Serving,
    alert_id: AlertId,
) -> AlertDetail:
    """One alert with the text that was found; that is audited as a view."""
    row = await _visible(services, principal, alert_id)
    await services.audit(
        principal, "view", f"alert {alert_id}", persons=row["person"], since_ms=str(to_ms(row["raised_at"]))
    )
    title, fragment = await _found_text(services, principal, row)
    return AlertDetail(**_told(row), title=title, fragment=pieces_of(fragment))


@router.post("/{alert_id}/state")
async def settle(
    principal: Annotated[Principal, needs(Permission.ALERTS)],
    services: Serving,
    alert_id: AlertId,
    wish: StateWish,
) -> AlertRow:
    """Say that an alert was seen, is closed, or is open again, with a note."""
    row = await _visible(services, principal, alert_id)
    note = wish.note.replace("\0", "")
    await services.audit(
        principal, "settle alert", alert_id, purpose=note, persons=row["person"], before=row["state"], after=wish.state
    )
    async with services.database() as connection:
        changed = await settle_alert(connection, alert_id, wish.state, note, principal.name)
    if changed is None:
        raise not_found("alert")
    return AlertRow(**_told(changed))


async def _visible(services: Services, principal: Principal, alert_id: str) -> dict[str, Any]:
    async with services.database() as connection:
        row = await read_alert(connection, alert_id)
    if row is None or not principal.may_see(row["person"]):
        raise not_found("alert")
    return row


async def _found_text(services: Services, principal: Principal, row: dict[str, Any]) -> tuple[str, str]:
    """Title and marked text of the document, by the words that the rule has now."""
    if not row["document_id"]:
        return "", ""
    question = Question("", persons=principal.persons)
    prefix = services.settings.elasticsearch.index_prefix
    hit = await read_document(services.elasticsearch, prefix, row["document_id"], question)
    if hit is None or not principal.may_see(hit["_source"]["user"]):
        return "", ""
    seen = of_document(hit["_source"], row["document_id"], to_ms(row["raised_at"]))
    async with services.database() as connection:
        stored = await read_rule(connection, UUID(row["rule"])) if _is_id(row["rule"]) else None
    text = next((text for text in seen.texts if text), "")[:160]
    return seen.title, text if stored is None else Check(stored.rule).fragment(seen)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _place(after: str) -> tuple[datetime, str] | None:
    if not after:
        return None
    moment, _, alert_id = after.partition("~")
    try:
        at = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ApiError(400, "bad_request", "`after` is not the `next` of a page") from None
    return at, alert_id


def _told(row: dict[str, Any]) -> dict[str, Any]:
    names = ("alert_id", "severity", "kind", "document_id", "person", "computer", "stream", "application")
    return {
        **{name: row[name] for name in (*names, "state", "note", "state_by")},
        "time_ms": to_ms(row["raised_at"]),
        "until_ms": None if row["until_at"] is None else to_ms(row["until_at"]),
        "rule_id": row["rule"],
        "rule": row["rule_name"] or row["rule"],
        "agent_id": str(row["agent_id"]),
        "detail": json.loads(row["detail"]),
        "state_at_ms": None if row["state_at"] is None else to_ms(row["state_at"]),
    }
