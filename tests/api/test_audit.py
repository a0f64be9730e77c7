"""The audit by the API, and what a recorded person sees of it: filters, pages, CSV, the check, and who looked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from gateway.accounts import verifier
from gateway.api.access import Role
from gateway.api.times import from_ms
from infra.audit_chain import Report
from infra.settings import Settings, postgresql_dsn
from tests.api.accounts import as_principal, principal_of
from tests.api.people import Desk, open_desk

pytestmark = pytest.mark.live

NOON_MS = 1_795_780_800_000
TOPIC = UUID(int=7)
BOBS, CIDS = UUID(int=1), UUID(int=2)


@pytest.fixture
async def desk(backing: Settings, tmp_path: Path) -> AsyncIterator[Desk]:
    """An auditor asks; Bob and Cid have an agent each, and some were looked at."""
    async with open_desk(backing, tmp_path) as opened:
        as_principal(opened.services, principal_of(Role.AUDITOR))
        connection = await asyncpg.connect(postgresql_dsn(opened.settings))
        for agent, person in ((BOBS, "bob"), (CIDS, "cid")):
            await connection.execute(
                "INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at) "
                "VALUES ($1, $2, 'desk', now(), now())",
                agent,
                person,
            )
        rows: list[tuple[str, str, str, str, dict[str, str]]] = [
            ("ann@console", "view", f"{BOBS} screen,email", "case 1", {"persons": "bob", "since_ms": str(NOON_MS)}),
            ("ann@console", "search", "texts", "case 1", {"persons": "bob,cid", "q": "secret words"}),
            ("ann@api", "unlock", f"{CIDS},{BOBS} keystrokes", "case 2", {"keys": "officers"}),
            ("eve@console", "view", f"{CIDS} screen", "case 3", {"persons": "cid"}),
            ("node-1/gateway", "enrol", str(BOBS), "", {"user": "bob"}),
            ("bob@console", "view", f"{BOBS} screen", "", {"persons": "bob"}),
            ("ada@console", "account_change", "=cmd|'/c calc'!A1", "", {"change": "make"}),
        ]
        for number, (actor, action, target, purpose, detail) in enumerate(rows):
            await connection.execute(
                "INSERT INTO audit_entry VALUES (0, $1, $2, $3, $4, $5, $6, 'done', $7, $8)",
                number,
                from_ms(NOON_MS + number // 2 * 1000),
                actor,
                action,
                target,
                purpose,
                json.dumps(detail),
                TOPIC,
            )
        await connection.close()
        yield opened


async def actions(desk: Desk, **query: Any) -> list[str]:
    """Actor and action of what is found."""
    entries = (await desk.get("/audit", **query))["entries"]
    return [f"{entry['actor'].split('@')[0]} {entry['action']}" for entry in entries]


async def test_entries_are_found_by_what_they_are(desk: Desk) -> None:
    """By who, what, whom, to what and when; together they narrow."""
    assert len(await actions(desk)) == 7
    assert await actions(desk, actor="ann@c") == ["ann search", "ann view"]
    assert await actions(desk, action=["unlock", "search"]) == ["ann unlock", "ann search"]
    assert await actions(desk, person="cid") == ["eve view", "ann unlock", "ann search"]
    assert await actions(desk, person="cid", actor="eve") == ["eve view"]
    assert await actions(desk, target=f"{BOBS}", action="view") == ["bob view", "ann view"]
    assert await actions(desk, since_ms=NOON_MS + 3000) == ["ada account_change"]
    assert await actions(desk, until_ms=NOON_MS + 1000) == ["ann search", "ann view"]
    assert await actions(desk, outcome="refused") == []
    assert await actions(desk, actor="%") == []


async def test_pages_follow_each_other_without_a_gap(desk: Desk) -> None:
    """Also between entries of the same moment, and while new ones come."""
    seen, after = [], ""
    while after is not None:
        page = await desk.get("/audit", limit=2, after=after)
        seen += [entry["id"] for entry in page["entries"]]
        after = page["after"]
    assert len(seen) == len(set(seen)) == 7
    assert (await desk.get("/audit", 400, after="x"))["error"] == "bad_request"


async def test_what_there_is_to_choose_from(desk: Desk) -> None:
    """Each action and actor once."""
    names = await desk.get("/audit/names")
    assert names["actions"] == ["account_change", "enrol", "search", "unlock", "view"]
    assert names["actors"][:3] == ["ada@console", "ann@api", "ann@console"]


async def test_a_spreadsheet_gets_no_formula(desk: Desk) -> None:
    """The file has what the filter says, and that it was taken away is in the audit first."""
    answer = await desk.client.get("/api/v1/audit/csv", params={"action": "account_change"})
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
    head, row = csv.reader(io.StringIO(answer.text))
    assert head == ["time", "actor", "action", "target", "outcome", "purpose", "detail"]
    assert row[0] == "2026-11-27T12:00:03.000+00:00"
    assert row[3] == "'=cmd|'/c calc'!A1"
    assert desk.audited == [("audit_export", "audit", "done")]
    desk.facts_fail()
    assert (await desk.client.get("/api/v1/audit/csv")).status_code == 503


@pytest.mark.parametrize("role", [Role.OFFICER, Role.OPERATOR, Role.SUBJECT])
async def test_only_who_may_audit_sees_it(desk: Desk, role: Role) -> None:
    """Others are told what they lack."""
    as_principal(desk.services, principal_of(role))
    for path in ("/audit", "/audit/names", "/audit/verify", "/audit/csv"):
        assert (await desk.get(path, 403))["error"] == "forbidden"


async def test_the_audit_is_checked_beside_the_gateway(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a process of its own, which the verdict of is kept for a while. What Kafka never had is found."""
    verdict = await desk.get("/audit/verify")
    assert verdict["entries"] == 7
    monkeypatch.setattr(verifier.asyncio, "create_subprocess_exec", None)
    assert await desk.get("/audit/verify") == verdict


def test_a_verdict_tells_what_a_report_found() -> None:
    """Soundness is what the report says, not that there was one."""
    assert not Report(entries=1, damage=["the chain was cut"]).sound


async def test_a_recorded_person_sees_who_looked(desk: Desk) -> None:
    """Everybody who did, with their reason; nothing of others, nor the words that were searched for."""
    as_principal(desk.services, principal_of(Role.SUBJECT, name="bob", person="bob", persons=["bob"]))
    looks = (await desk.get("/own/looks"))["looks"]
    told = [(look["actor"], look["action"], look["purpose"], look["own"]) for look in looks]
    assert told == [
        ("bob", "view", "", True),
        ("ann", "unlock", "case 2", False),
        ("ann", "search", "case 1", False),
        ("ann", "view", "case 1", False),
    ]
    assert looks[-1]["streams"] == ["screen", "email"]
    assert looks[-1]["since_ms"] == NOON_MS
    text = json.dumps(looks)
    assert "secret words" not in text
    assert "cid" not in text
    first = await desk.get("/own/looks", limit=1)
    assert (await desk.get("/own/looks", limit=3, after=first["after"]))["looks"] == looks[1:]


async def test_a_recorded_person_sees_what_is_recorded_of_them(desk: Desk) -> None:
    """Streams since when, computers, policy in words, sums; and nothing of anybody else."""
    connection = await asyncpg.connect(postgresql_dsn(desk.settings))
    await connection.execute("INSERT INTO archive_file VALUES ('f', 'screen', '2026-11-27', 1)")
    for agent, offset in ((BOBS, 0), (BOBS, 60_000), (CIDS, 1)):
        moment = from_ms(NOON_MS + offset)
        await connection.execute(
            "INSERT INTO archive_run VALUES ('f', $1, 1, $2, '', 0, 0, 'screen', $3, $3)", offset, agent, moment
        )
    await connection.execute(
        "INSERT INTO activity_total VALUES ('bob', date_trunc('hour', now()), 'editor', 60000, 5000, 1), "
        "('cid', date_trunc('hour', now()), 'game', 1, 1, 1)"
    )
    await connection.close()
    policy = {"streams": ["screen", "email"], "end_to_end": ["email"], "purpose": "safety", "organisation": "Acme"}
    desk.settings.gateway.policy_file.write_text(json.dumps(policy))
    as_principal(desk.services, principal_of(Role.SUBJECT, name="bob", person="bob", persons=["bob"]))
    own = await desk.get("/own")
    assert (own["person"], own["purpose"], own["organisation"]) == ("bob", "safety", "Acme")
    assert own["streams"] == [{"stream": "screen", "since_ms": NOON_MS, "last_ms": NOON_MS + 60_000}]
    assert [(words["stream"], words["end_to_end"]) for words in own["policy"]] == [("screen", False), ("email", True)]
    assert [one["computer"] for one in own["computers"]] == ["desk"]
    assert [(day["active_ms"], day["idle_ms"]) for day in own["days"]] == [(60_000, 5_000)]
    assert own["applications"] == [{"application": "editor", "active_ms": 60_000}]


async def test_an_account_that_is_not_recorded_is_told_nothing(desk: Desk) -> None:
    """No person, no looks; and no error."""
    assert (await desk.get("/own"))["person"] == ""
    assert await desk.get("/own/looks") == {"looks": [], "after": None}


async def test_who_looked_is_found_by_an_index(desk: Desk) -> None:
    """A person's looks do not read the whole audit, however long it is."""
    connection = await asyncpg.connect(postgresql_dsn(desk.settings))
    await connection.executemany(
        "INSERT INTO audit_entry VALUES (0, $1, now(), 'x', 'view', $2, '', 'done', $3, $4)",
        [(1000 + n, f"{uuid4()} screen", json.dumps({"persons": f"p{n}"}), TOPIC) for n in range(3000)],
    )
    await connection.execute("ANALYZE audit_entry")
    for way in ("seqscan", "indexscan"):  # so few rows would be read all
        await connection.execute(f"SET enable_{way} = off")
    from gateway.accounts.trail import Wanted, _select

    where, values = Wanted(person="bob").where()
    plan = await connection.fetch(f"EXPLAIN {_select(where, 50)}", *values)
    text = "\n".join(row[0] for row in plan)
    assert "audit_entry_persons" in text, text
    assert "audit_entry_agents" in text, text
    await connection.close()
