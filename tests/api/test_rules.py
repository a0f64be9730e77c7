"""Rules and alerts over the API: changes with an audit, a preview that agrees with the processor, and scopes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from gateway.api.access import Role
from infra.settings import Settings, postgresql_dsn
from tests.api.accounts import as_principal, principal_of
from tests.api.ruled_ground import AGENT, DOCUMENTS, SPANS, alerts_of, ruled_stores
from tests.api.stores import Api, serving

pytestmark = pytest.mark.live


@pytest.fixture
async def settings(backing: Settings) -> AsyncIterator[Settings]:
    async with ruled_stores(backing) as own:
        yield own


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings, "gateway.api.rules", "gateway.api.alerts") as (services, client, audited):
        as_principal(services, principal_of(Role.OFFICER, persons=None))
        yield services, client, audited


async def make(api: Api, name: str = "a rule", **conditions: Any) -> dict[str, Any]:
    answer = await api[1].post("/api/v1/rules", json={"name": name, "conditions": conditions})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def try_out(api: Api, days: int = 7, **conditions: Any) -> dict[str, Any]:
    answer = await api[1].post("/api/v1/rules/preview", json={"conditions": conditions, "days": days})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_rule_is_made_changed_and_removed_with_an_audit(api: Api) -> None:
    """Each change says what was and what is; a change of what somebody else changed is refused."""
    made = await make(api, words=["invoice"])
    path = f"/api/v1/rules/{made['rule_id']}"
    wish = {"name": "b", "severity": "high", "enabled": False, "conditions": {"persons": ["ann"]}, "version": 1}
    changed = (await api[1].put(path, json=wish)).json()
    assert (changed["version"], changed["kind"], changed["changed_by"]) == (2, "match", "officer")
    conflict = await api[1].put(path, json=wish)
    assert (conflict.status_code, conflict.json()["error"]) == (409, "changed_meanwhile")
    assert (await api[1].delete(path, params={"version": 1})).status_code == 409
    assert (await api[1].delete(path, params={"version": 2})).status_code == 204
    assert (await api[1].get(path)).status_code == 404
    assert [entry["action"] for entry in api[2]] == ["make rule", "change rule", "remove rule"]
    assert '"words": ["invoice"]' in api[2][1]["before"]
    assert '"persons": ["ann"]' in api[2][1]["after"]


async def test_what_cannot_be_judged_or_is_called_alike_is_refused(api: Api) -> None:
    """With what to change; nothing is stored."""
    await make(api, words=["x"])
    for wish, status in (
        ({"name": "a rule", "conditions": {"words": ["y"]}}, 400),
        ({"name": "b", "conditions": {}}, 422),
        ({"name": " ", "conditions": {"words": ["x"]}}, 422),
    ):
        answer = await api[1].post("/api/v1/rules", json=wish)
        assert (answer.status_code, bool(answer.json()["message"])) == (status, True)
    assert [rule["name"] for rule in (await api[1].get("/api/v1/rules")).json()] == ["a rule"]


CASES: list[tuple[dict[str, Any], int]] = [
    ({"words": ["invoice"]}, 2),
    ({"words": ["invoic*"]}, 4),
    ({"words": ['"final invoice"']}, 2),
    ({"words": ["order 2024", "nothing"]}, 1),
    ({"words": ["ÜBER"], "endpoints": ["büro*"]}, 1),
    ({"applications": ["mail ?new]*"]}, 1),
    ({"persons": ["b?b"], "streams": ["screen"]}, 2),
    ({"titles": ["invoice - *"]}, 1),
    ({"teams": ["east"]}, 2),
    ({"words": ["invoice"], "persons": ["nobody"]}, 0),
    ({"volume": {"measure": "documents", "more_than": 1, "within_minutes": 1440}}, 1),
    (
        {"applications": ["games"], "volume": {"measure": "active_minutes", "more_than": 40, "within_minutes": 60}},
        2,
    ),
    ({"volume": {"measure": "active_minutes", "more_than": 49, "within_minutes": 60}}, 0),
]


async def test_the_preview_is_what_the_processor_raises(api: Api, settings: Settings) -> None:
    """The same records, once from the stores and once from the topics, make the same matches."""
    connection = await asyncpg.connect(postgresql_dsn(settings))
    await connection.execute("INSERT INTO team VALUES ('east')")
    await connection.execute("INSERT INTO team_member VALUES ('east', 'Bob')")
    for conditions, count in CASES:
        told = await try_out(api, **conditions)
        assert (told["count"], told["cut"]) == (count, False), conditions
        assert sum(day["count"] for day in told["days"]) == count
        await connection.execute("TRUNCATE alert, alert_rule, alert_rule_team")
        await make(api, **conditions)
        rows = await alerts_of(settings, [*DOCUMENTS, *SPANS])
        raised = [row for row in rows if row["raised_at"].timestamp() * 1000 >= told["since_ms"]]
        assert len(raised) == count, conditions
        assert {row["person"] for row in raised} == {sample["person"] for sample in told["samples"]}
        if not conditions.get("volume"):
            assert {row["document_id"] for row in raised} == {sample["document_id"] for sample in told["samples"]}
    await connection.close()


async def test_a_preview_shows_the_words_and_is_audited_with_whom_it_showed(api: Api) -> None:
    """The newest first; a scope takes others out; a longer time finds more."""
    told = await try_out(api, words=["invoice"])
    assert [sample["person"] for sample in told["samples"]] == ["ann", "Bob"]
    assert [piece["text"] for piece in told["samples"][0]["fragment"] if piece["hit"]] == ["invoice"]
    assert (api[2][0]["action"], api[2][0]["persons"]) == ("preview rule", "Bob,ann")
    assert (await try_out(api, 31, words=["invoice"]))["count"] == 3
    as_principal(api[0], principal_of(Role.OFFICER, persons=["Bob"]))
    assert [sample["person"] for sample in (await try_out(api, words=["invoice"]))["samples"]] == ["Bob"]
    as_principal(api[0], principal_of(Role.OFFICER, persons=[]))
    assert (await try_out(api, words=["invoice"]))["count"] == 0
    as_principal(api[0], principal_of(Role.ADMINISTRATOR, persons=None))
    answer = await api[1].post("/api/v1/rules/preview", json={"conditions": {"words": ["x"]}})
    assert answer.status_code == 403


async def test_sizes_are_previewed_from_the_envelopes(api: Api, settings: Settings) -> None:
    """What a person's agents sent within a window, in MiB."""
    connection = await asyncpg.connect(postgresql_dsn(settings))
    await connection.execute(
        "INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at) "
        "VALUES ($1, 'ann', 'pc', now(), now())",
        UUID(AGENT),
    )
    await connection.execute(
        "INSERT INTO envelope SELECT $1, '\\xab', n, 'screen', now() - interval '1 day', now(), 400000, false, 0, n "
        "FROM generate_series(1, 6) n",
        UUID(AGENT),
    )
    await connection.close()
    volume = {"measure": "mebibytes", "more_than": 2, "within_minutes": 60}
    told = await try_out(api, volume=volume)
    assert [(one["person"], one["stream"], one["amount"]) for one in told["samples"]] == [("ann", "screen", 2.29)]
    assert (await try_out(api, volume={**volume, "more_than": 3}))["count"] == 0


async def test_alerts_are_found_and_settled(api: Api, settings: Settings) -> None:
    """By rule, person, severity and state; a note stays; what was found is shown, and both are audited."""
    rule = await make(api, words=["invoice"])
    await alerts_of(settings, DOCUMENTS)
    listed = (await api[1].get("/api/v1/alerts", params={"limit": 2})).json()
    assert [(row["person"], row["state"], row["rule"]) for row in listed["alerts"]] == [
        ("ann", "open", "a rule"), ("Bob", "open", "a rule"),
    ]  # fmt: skip
    rest = (await api[1].get("/api/v1/alerts", params={"limit": 2, "after": listed["next"]})).json()
    assert (len(rest["alerts"]), rest["next"]) == (1, "")
    first = listed["alerts"][0]
    path = f"/api/v1/alerts/{first['alert_id']}"
    settled = await api[1].post(f"{path}/state", json={"state": "closed", "note": "agreed with ann"})
    assert (settled.json()["state"], settled.json()["state_by"]) == ("closed", "officer")
    found = (await api[1].get("/api/v1/alerts", params={"state": "open", "person": "ann"})).json()
    assert [row["document_id"][-12:-2] for row in found["alerts"]] == ["0000000004"]
    assert found["states"] == {"open": 1, "seen": 0, "closed": 1}
    detail = (await api[1].get(path)).json()
    assert [piece["text"] for piece in detail["fragment"] if piece["hit"]] == ["invoice"]
    assert (detail["note"], detail["title"]) == ("agreed with ann", "Invoice - Mail")
    assert [(entry["action"], entry.get("persons")) for entry in api[2][1:]] == [
        ("settle alert", "ann"),
        ("view", "ann"),
    ]
    counted = (await api[1].get("/api/v1/rules")).json()
    assert [(one["rule_id"], one["open_alerts"]) for one in counted] == [(rule["rule_id"], 2)]
    assert [one["name"] for one in (await api[1].get("/api/v1/alerts/rules")).json()] == ["a rule"]


async def test_alerts_of_others_are_not_there(api: Api, settings: Settings) -> None:
    """Neither listed nor counted, shown or settled."""
    await make(api, words=["invoice"])
    rows = await alerts_of(settings, DOCUMENTS)
    ann = next(row for row in rows if row["person"] == "ann")
    as_principal(api[0], principal_of(Role.OFFICER, persons=["Bob"]))
    listed = (await api[1].get("/api/v1/alerts")).json()
    assert ([row["person"] for row in listed["alerts"]], listed["states"]["open"]) == (["Bob"], 1)
    assert (await api[1].get("/api/v1/alerts", params={"person": "ann"})).json()["alerts"] == []
    for answer in (
        await api[1].get(f"/api/v1/alerts/{ann['alert_id']}"),
        await api[1].post(f"/api/v1/alerts/{ann['alert_id']}/state", json={"state": "seen"}),
    ):
        assert answer.status_code == 404
    assert (await api[1].get("/api/v1/alerts", params={"after": "x"})).status_code == 400
