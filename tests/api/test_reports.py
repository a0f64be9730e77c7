"""Reports: sums, days, focus and overtime as the views define them, within an account's scope, as JSON and as files."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pyarrow import parquet

from gateway.api.access import Role
from infra.settings import Settings, postgresql_dsn
from schemas.records import encode_record
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from tests.api.accounts import as_principal, principal_of
from tests.api.stores import Api, own_database, serving
from tests.sinks.contract import put

pytestmark = pytest.mark.live

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
SCOPE = {"since_ms": int(MONDAY.timestamp() * 1000), "until_ms": int((MONDAY + timedelta(days=7)).timestamp() * 1000)}


def ms(day: int, hour: int, minute: int = 0) -> int:
    return int((MONDAY + timedelta(days=day, hours=hour, minutes=minute)).timestamp() * 1000)


def spans(person: str, application: str, since_ms: int, minutes: int, number: int = 0) -> list[SinkRecord]:
    """Activity of so many minutes, split at the hour as the processor does it."""
    records, at_ms, until_ms = [], since_ms, since_ms + minutes * 60_000
    while at_ms < until_ms:
        hour_ms = at_ms - at_ms % 3_600_000
        end_ms = min(until_ms, hour_ms + 3_600_000)
        record = {
            "agent_id": str(UUID(int=sum(person.encode()))),
            "epoch_id": "ab",
            "sequence": at_ms // 1000 + number,
            "ordinal": 0,
            "user": person,
            "computer": "pc",
            "application": application,
            "hour_ms": hour_ms,
            "active_ms": end_ms - at_ms,
            "idle_ms": 1000,
            "switches": 2,
            "active": [{"from_ms": at_ms, "until_ms": end_ms}],
        }
        records.append(SinkRecord("activity", 0, len(records), 0, None, encode_record("activity_span", record)))
        at_ms = end_ms
    return records


RECORDS = [
    *spans("ann", "Editor", ms(0, 9), 90),
    *spans("ann", "Mail", ms(0, 10, 30), 30),
    *spans("ann", "Editor", ms(0, 16), 60),
    *spans("ann", "=cmd()", ms(0, 18), 20),
    *spans("bob", "Editor", ms(1, 23, 30), 60),
]


@pytest.fixture
async def settings(backing: Settings) -> AsyncIterator[Settings]:
    async with own_database(backing) as settings:
        dsn = postgresql_dsn(settings)
        sink = PostgresqlSink(dsn)
        await sink.open()
        await put(sink, RECORDS[:3])
        assert await put(sink, RECORDS) == []  # what comes again changes nothing
        await sink.close()
        connection = await asyncpg.connect(dsn)
        await connection.execute("INSERT INTO team VALUES ('east'), ('west')")
        await connection.execute("INSERT INTO team_member VALUES ('east', 'ann'), ('east', 'bob'), ('west', 'bob')")
        await connection.close()
        yield settings


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings, "gateway.api.reports") as (services, client, audited):
        as_principal(services, principal_of(Role.OFFICER, persons=None))
        yield services, client, audited


async def ask(api: Api, path: str, **query: Any) -> Any:
    answer = await api[1].get(f"/api/v1/reports/{path}", params={**SCOPE, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_time_is_added_up_by_what_is_asked_for(api: Api) -> None:
    """By person, application, day, hour, and team; a person of two teams counts in both."""
    people = (await ask(api, "activity", by="person"))["rows"]
    assert [(row["person"], row["active_ms"] // 60_000) for row in people] == [("ann", 200), ("bob", 60)]
    teams = (await ask(api, "activity", by="team"))["rows"]
    assert [(row["team"], row["active_ms"] // 60_000, row["people"]) for row in teams] == [
        ("east", 260, 2),
        ("west", 60, 1),
    ]
    days = (await ask(api, "activity", by=["day", "application"], application="edit*"))["rows"]
    assert [(row["day"], row["active_ms"] // 60_000) for row in days] == [
        ("2026-11-23", 150), ("2026-11-24", 30), ("2026-11-25", 30),
    ]  # fmt: skip
    heat = (await ask(api, "activity", by=["weekday", "hour_of_day"], team="west"))["rows"]
    assert [(row["weekday"], row["hour_of_day"]) for row in heat] == [(2, 23), (3, 0)]


async def test_days_have_presence_focus_and_overtime(api: Api) -> None:
    """Two applications without a pause are one stretch; after 17:30 is overtime; the night is of its day."""
    ann, *bob = (await ask(api, "days"))["rows"]
    assert (ann["person"], ann["day"], ann["applications"], ann["top_application"]) == (
        "ann",
        "2026-11-23",
        3,
        "Editor",
    )
    assert (ann["first_at_ms"], ann["last_at_ms"]) == (ms(0, 9), ms(0, 18, 20))
    assert (ann["longest_ms"], ann["deep_ms"], ann["overtime_ms"]) == (7_200_000, 10_800_000, 1_200_000)
    assert [(row["day"], row["overtime_ms"]) for row in bob] == [("2026-11-24", 1_800_000), ("2026-11-25", 1_800_000)]
    people = (await ask(api, "people"))["rows"]
    assert [(row["person"], row["days"], row["overtime_ms"]) for row in people] == [
        ("ann", 1, 1_200_000),
        ("bob", 2, 3_600_000),
    ]


async def test_hours_and_zones_of_a_team_hold_at_once(api: Api) -> None:
    """In Auckland, bob's night is his noon; hours that are changed change his overtime. The audit has both."""
    as_principal(api[0], principal_of(Role.ADMINISTRATOR, persons=None))
    hours = [{"weekday": 3, "from_time": "12:00", "until_time": "13:00"}]
    wish = {"time_zone": "Pacific/Auckland", "hours": hours}
    answer = await api[1].put("/api/v1/reports/working-hours", params={"team": "west"}, json=wish)
    assert answer.status_code == 200, answer.text
    [bob] = (await ask(api, "days", person="bob"))["rows"]
    assert (bob["day"], bob["overtime_ms"]) == ("2026-11-25", 1_800_000)
    assert api[2][0]["before"] == "default"
    assert "Pacific/Auckland" in api[2][0]["after"]
    told = (await api[1].get("/api/v1/reports/working-hours")).json()
    assert [week["team"] for week in told] == ["", "west"]
    assert (await api[1].delete("/api/v1/reports/working-hours", params={"team": "west"})).status_code == 204
    assert len((await ask(api, "days", person="bob"))["rows"]) == 2
    for team, zone, status in (("", "Mars", 422), ("none", "UTC", 404)):
        refused = await api[1].put(
            "/api/v1/reports/working-hours", params={"team": team}, json={"time_zone": zone, "hours": []}
        )
        assert refused.status_code == status


async def test_a_day_is_told_hour_by_hour(api: Api) -> None:
    """Applications of each hour, and stretches to jump to."""
    answer = await api[1].get("/api/v1/reports/day", params={"person": "ann", "day": "2026-11-23"})
    told = answer.json()
    assert [(row["hour_ms"], row["application"]) for row in told["hours"]][:2] == [
        (ms(0, 9), "Editor"),
        (ms(0, 10), "Editor"),
    ]
    assert [(one["from_ms"], one["until_ms"]) for one in told["stretches"]] == [
        (ms(0, 9), ms(0, 11)), (ms(0, 16), ms(0, 17)), (ms(0, 18), ms(0, 18, 20)),
    ]  # fmt: skip


async def test_nobody_outside_the_scope_is_seen_or_counted(api: Api) -> None:
    """An account of one team's scope gets that scope's sums, and nobody else by name either."""
    as_principal(api[0], principal_of(Role.OFFICER, persons=["bob"]))
    [east, west] = (await ask(api, "activity", by="team"))["rows"]
    assert east["active_ms"] == west["active_ms"] == 3_600_000
    assert (await ask(api, "activity", by="person", person="ann"))["rows"] == []
    assert (await ask(api, "days", person="ann"))["rows"] == []
    answer = await api[1].get("/api/v1/reports/day", params={"person": "ann", "day": "2026-11-23"})
    assert answer.status_code == 404
    as_principal(api[0], principal_of(Role.OFFICER, persons=[]))
    assert (await ask(api, "activity", by="day"))["rows"] == []
    as_principal(api[0], principal_of(Role.OPERATOR, persons=None))
    assert (await api[1].get("/api/v1/reports/activity", params={**SCOPE, "by": "day"})).status_code == 403


async def test_every_report_says_in_the_audit_whose_it_is(api: Api) -> None:
    """Who was in it, so that a recorded person can find it."""
    await ask(api, "activity", by="day", team="west")
    await ask(api, "people", person="ann")
    assert [(entry["action"], entry["target"], entry["persons"]) for entry in api[2]] == [
        ("report", "activity by day", "bob"), ("report", "people", "ann"),
    ]  # fmt: skip


async def test_files_hold_what_the_answer_holds(api: Api) -> None:
    """CSV by RFC 4180 in which nothing is a formula, and Parquet with types."""
    query = {**SCOPE, "by": "application", "format": "csv"}
    answer = await api[1].get("/api/v1/reports/activity", params=query)
    assert answer.headers["content-disposition"] == 'attachment; filename="activity-by-application.csv"'
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert rows[0] == ["application", "active_ms", "idle_ms", "switches", "people"]
    assert [row[0] for row in rows[1:]] == ["Editor", "Mail", "'=cmd()"]
    assert answer.text.endswith("\r\n")
    answer = await api[1].get("/api/v1/reports/days", params={**SCOPE, "format": "parquet"})
    table = parquet.read_table(io.BytesIO(answer.content))
    assert table.column("first_at")[0].as_py() == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert table.column("overtime_ms").to_pylist() == [1_200_000, 1_800_000, 1_800_000]


@pytest.mark.parametrize(
    "query",
    [{"by": "person", "until_ms": 1}, {"by": ["day", "day"]}, {"by": "colour"}, {"by": "day", "until_ms": 4e13}],
)
async def test_a_question_that_cannot_be_meant_is_refused(api: Api, query: dict[str, Any]) -> None:
    """In the one form."""
    answer = await api[1].get("/api/v1/reports/activity", params={**SCOPE, **query})
    assert answer.status_code in {400, 422}
    assert answer.json()["message"]


async def test_what_is_erased_leaves_the_sums(settings: Settings) -> None:
    """The sums are those of the spans that are there."""
    connection = await asyncpg.connect(postgresql_dsn(settings))
    await connection.execute("DELETE FROM activity_span WHERE user_name = 'ann' AND application <> 'Mail'")
    rows = await connection.fetch("SELECT user_name, application, active_ms FROM bi.application_day ORDER BY 1, 2, day")
    assert [tuple(row) for row in rows] == [
        ("ann", "Mail", 1_800_000),
        ("bob", "Editor", 1_800_000),
        ("bob", "Editor", 1_800_000),
    ]
    longest = await connection.fetchval("SELECT longest_ms FROM bi.focus_day WHERE user_name = 'ann'")
    assert longest == 1_800_000
    await connection.execute("TRUNCATE activity_span")
    assert await connection.fetchval("SELECT count(*) FROM bi.activity_hour") == 0
    await connection.close()
