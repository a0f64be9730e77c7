"""Rules and alerts over the API: changes with an audit, a preview that agrees with the processor, and scopes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from elasticsearch import AsyncElasticsearch

from gateway.api.access import Role
from infra.rules.book import RuleBook
from infra.rules.store import fetch_rules, fetch_world
from infra.settings import ElasticsearchSettings, Settings, postgresql_dsn
from schemas.records import encode_record
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from streams.alerts import AlertProcessor
from streams.incoming import Incoming
from streams.past import NoPast
from tests.api.accounts import as_principal, principal_of
from tests.api.stores import Api, own_database, serving
from tests.sinks.contract import put

pytestmark = pytest.mark.live

DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)
AGENT = "00000000-0000-0000-0000-0000000000aa"


def document(number: int, person: str, text: str, days_ago: float = 0.0, **fields: Any) -> SinkRecord:
    time_ms = int(NOW_MS - 60_000 - days_ago * DAY_MS + number)
    record = {
        "document_id": f"{AGENT}-{'0' * 32}-{number:010d}-0",
        "version": 1,
        "agent_id": AGENT,
        "epoch_id": "00",
        "sequence": number,
        "stream": "screen",
        "kind": "screen",
        "user": person,
        "computer": "PC-1",
        "time_ms": time_ms,
        "until_ms": time_ms,
        "text": text,
        **fields,
    }
    return SinkRecord("documents", 0, number, time_ms, AGENT.encode(), encode_record("document", record))


def span(number: int, person: str, application: str, minutes: int, days_ago: int = 0) -> SinkRecord:
    hour_ms = NOW_MS // DAY_MS * DAY_MS - days_ago * DAY_MS
    run = {"from_ms": hour_ms, "until_ms": hour_ms + minutes * 60_000}
    record = {
        "agent_id": AGENT,
        "epoch_id": "ab",
        "sequence": number,
        "ordinal": 0,
        "user": person,
        "computer": "PC-1",
        "application": application,
        "hour_ms": hour_ms,
        "active_ms": minutes * 60_000,
        "idle_ms": 0,
        "switches": 1,
        "active": [run],
    }
    return SinkRecord("activity", 0, number, hour_ms, AGENT.encode(), encode_record("activity_span", record))


DOCUMENTS = [
    document(0, "ann", "The final invoice of May", title="Invoice - Mail", application="Mail"),
    document(1, "ann", "invoices of the year 2026", 2),
    document(2, "Bob", "a final\nINVOICE, at last", 3, application="Editor"),
    document(3, "Bob", "lunch", 3),
    document(4, "ann", "invoice", 30),
    document(5, "ann", "", 1, end_to_end=True, tokens=["AAAA"]),
    document(6, "ann", "über order_2024 no. 17", 1, computer="Büro 7"),
    document(7, "ann", "invoic", 6.5, application="Mail [new]*"),
]
SPANS = [
    span(0, "ann", "Games", 20),
    span(1, "ann", "Games", 25),
    span(2, "Bob", "Games", 45, 2),
    span(3, "Bob", "Editor", 5),
]


@pytest.fixture
async def settings(backing: Settings) -> AsyncIterator[Settings]:
    prefix = f"sealstream-test-{uuid4().hex[:12]}"
    elasticsearch = backing.elasticsearch.model_copy(update={"index_prefix": prefix})
    client = connect(elasticsearch)
    try:
        async with own_database(backing) as own:
            await _fill(own, elasticsearch, client)
            yield own.model_copy(update={"elasticsearch": elasticsearch})
    finally:
        for name in await request(
            client, "GET", f"/{alias_name(prefix)}-*/_settings?filter_path=*.settings.index.uuid"
        ):
            await request(client, "DELETE", f"/{name}")
        await client.options(ignore_status=404).perform_request(
            "DELETE", f"/_index_template/{alias_name(prefix)}", headers={"accept": "application/json"}
        )
        await client.close()


async def _fill(settings: Settings, elasticsearch: ElasticsearchSettings, client: AsyncElasticsearch) -> None:
    sink = ElasticsearchSink(client, elasticsearch.index_prefix)
    await sink.open()
    assert await put(sink, DOCUMENTS) == []
    await request(client, "POST", f"/{alias_name(elasticsearch.index_prefix)}-*/_refresh")
    relational = PostgresqlSink(postgresql_dsn(settings))
    await relational.open()
    assert await put(relational, SPANS) == []
    await relational.close()


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


async def alerts_of(settings: Settings, records: list[SinkRecord]) -> list[dict[str, Any]]:
    """What the processor raises of these, stored as the sink stores it."""
    connection = await asyncpg.connect(postgresql_dsn(settings))

    async def read() -> Any:
        return await fetch_rules(connection), await fetch_world(connection)

    book = RuleBook(read)
    await book.renew()
    processor = AlertProcessor(book, NoPast())
    made = []
    for one in records:
        incoming = Incoming(one.topic, one.partition, one.offset, one.key or b"", one.value or b"", one.timestamp_ms)
        made += [result.value for result in await processor.process(incoming)]
    sink = PostgresqlSink(postgresql_dsn(settings))
    await sink.open()
    again = [SinkRecord("alerts", 0, n, 0, None, value) for n, value in enumerate([*made, *made])]
    assert await put(sink, again) == []
    await sink.close()
    rows = await connection.fetch("SELECT * FROM alert ORDER BY raised_at")
    await connection.close()
    assert len(rows) == len(set(made))
    return [dict(row) for row in rows]


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
        await connection.execute("TRUNCATE alert, alert_rule")
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
