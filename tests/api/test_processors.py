"""Processors, replays and dead letters by the API: seen by operators, changed with an audit, never content."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.api.access import Role
from infra.reading import Stretch, read_records
from infra.replays.jobs import Asked, choose_node
from infra.replays.runner import Replays
from infra.settings import Settings
from infra.stack.state import ComponentState, Phase, StackState
from infra.stack.wishes import Wishes, WishFollower
from tests.api.ground import Ground
from tests.api.operations import add_states, execute, open_operations, publish_letter

pytestmark = pytest.mark.live

AGENT = str(uuid4())
SINK = "/processors/components/node-1/sinks-disk"


@pytest.fixture
async def ground(backing: Settings, tmp_path: Path) -> AsyncIterator[Ground]:
    """The API over stores of its own, with an operator before it."""
    async with open_operations(backing, tmp_path / "data") as ground:
        yield ground


async def add_envelopes(ground: Ground, count: int = 10, stream: str = "screen") -> None:
    """Rows of the table of envelopes, a minute apart, the newest an hour ago; 100 bytes each."""
    await execute(
        ground,
        "INSERT INTO envelope SELECT $1, decode(md5($2), 'hex'), n, $2, at, at, 100, false, n % 2, n "
        "FROM generate_series(1, $3) n, LATERAL (SELECT now() - interval '1 hour' - n * interval '1 min' AS at) t",
        *(AGENT, stream, count),
    )


async def test_a_wish_is_written_audited_and_shown(ground: Ground) -> None:
    """Stopped by whom, and running again."""
    await add_states(ground, "sinks-disk")
    row = await ground.post(SINK, wanted="stopped", purpose="new disk")
    assert (row["wanted"], row["wished_by"], row["phase"]) == ("stopped", "operator@console", "ready")
    [shown] = (await ground.get("/processors"))["components"]
    assert shown["wanted"] == "stopped"
    assert "7 days" in shown["stop_says"]
    await ground.post(SINK, wanted="running")
    assert ground.audited == [
        ("component stopped", "node-1/sinks-disk", "done"),
        ("component running", "node-1/sinks-disk", "done"),
    ]


async def test_what_may_not_be_stopped(ground: Ground) -> None:
    """Neither stores nor the gateway, nor what nobody told of; and not by who only sees."""
    await add_states(ground, "sinks-disk", "gateway", "kafka")
    for component, status in (("gateway", 409), ("kafka", 409), ("sinks-tape", 404)):
        await ground.post(f"/processors/components/node-1/{component}", status, wanted="stopped")
    await ground.post("/processors/components/node-2/sinks-disk", 404, wanted="stopped")
    await ground.post(SINK, 422, wanted="paused")
    for role in (Role.OFFICER, Role.AUDITOR, Role.SUBJECT):
        ground.become(role)
        await ground.post(SINK, 403, wanted="stopped")
        await ground.get("/processors", 403)
    assert ground.audited == []
    assert await execute(ground, "SELECT * FROM component_wish") == []


async def test_a_supervisor_follows_the_table_and_tells_how_it_stands(ground: Ground) -> None:
    """What the API wished is what the node's supervisor does, within seconds."""
    state = StackState(components={"sinks-disk": ComponentState("sinks-disk", Phase.READY, since_ms=1_700_000_000_000)})
    wishes = Wishes(ground.settings.data)
    following = asyncio.create_task(WishFollower(ground.settings, wishes, state).follow())
    try:
        async with asyncio.timeout(60):
            while not (await ground.get("/processors"))["components"]:
                await asyncio.sleep(0.2)
                await ground.services.overview.read_again()
            await ground.post(SINK, wanted="stopped")
            wish = await wishes.until_stopped("sinks-disk")
            assert wish.by == "operator@console"
            await ground.post(SINK, wanted="running")
            await wishes.until_running("sinks-disk")
    finally:
        following.cancel()
    assert Wishes(ground.settings.data).stops("sinks-disk") is None


async def test_how_much_a_replay_would_be(ground: Ground) -> None:
    """By what is known of envelopes: by time, by agent, from the archive; Kafka's only what it still has."""
    await add_envelopes(ground)
    archive = {"topic": "envelopes.screen", "source": "archive"}
    whole = await ground.post("/replays/estimate", **archive)
    assert (whole["records"], whole["bytes"], whole["agents"]) == (10, 1000, 1)
    middle = await ground.post(
        "/replays/estimate", **archive, since_ms=whole["first_ms"] + 1, until_ms=whole["last_ms"]
    )
    assert middle["records"] == 8
    assert (await ground.post("/replays/estimate", **archive, agents=[str(uuid4())]))["records"] == 0
    assert (await ground.post("/replays/estimate", topic="envelopes.screen"))["records"] == 0  # Kafka has none


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic": "audit"},
        {"topic": "envelopes.gap"},
        {"topic": "envelopes.screen", "processor": "activity"},
        {"topic": "envelopes.screen", "processor": "gaps"},
        {"topic": "envelopes.screen", "since_ms": 5, "until_ms": 5},
        {"topic": "envelopes.screen", "source": "archive", "offsets": [{"partition": 0, "first": 1}]},
        {"topic": "envelopes.screen", "since_ms": 5, "offsets": [{"partition": 0, "first": 1}]},
        {"topic": "envelopes.screen", "offsets": [{"partition": 0, "first": 5, "end": 5}]},
    ],
)
async def test_ranges_that_cannot_be_replayed(ground: Ground, wrong: dict[str, Any]) -> None:
    """Are refused in words, before anything is asked."""
    answer = await ground.post("/replays/estimate", 400, **wrong)
    assert answer["message"]


async def test_the_life_of_a_replay(ground: Ground) -> None:
    """Asked for with a purpose, waiting, cancelled, gone on with; each step audited."""
    await add_envelopes(ground)
    wish = {"topic": "envelopes.screen", "source": "archive", "agents": [AGENT]}
    await ground.post("/replays", 422, **wish)
    run = await ground.post("/replays", 201, **wish, purpose="new language", records_per_s=5)
    assert (run["state"], run["expected_records"], run["actor"]) == ("waiting", 10, "operator@console")
    path = f"/replays/{run['run_id']}"
    await ground.post(f"{path}/resume", 409)
    await ground.post(f"{path}/cancel")
    await ground.services.replays._look()
    [shown] = (await ground.get("/replays"))["replays"]
    assert shown["state"] == "cancelled"
    await ground.post(f"{path}/cancel", 409)
    assert (await ground.post(f"{path}/resume"))["state"] == "waiting"
    await ground.post("/replays/20260101-000000-abcd/cancel", 404)
    assert ground.audited == [
        ("replay", run["run_id"], "done"),
        ("replay cancel", run["run_id"], "done"),
        ("replay resume", run["run_id"], "done"),
    ]


async def test_a_replay_runs_where_mining_is_done(ground: Ground) -> None:
    """On this node if it mines, else on the mining node with the fewest runs; what is in the archive is read here."""
    kafka, archive = Asked("envelopes.screen"), Asked("envelopes.screen", source="archive")

    async def chosen(asked: Asked = kafka) -> str:
        async with ground.services.database() as connection:
            return await choose_node(connection, "master-1", asked)

    assert await chosen() == "master-1"
    for node, state in (("miner-1", "ready"), ("miner-2", "ready"), ("miner-3", "lost")):
        await execute(ground, "INSERT INTO node_state VALUES ($1, 'miner', $2, now())", f"{node}/miner", state)
    await execute(
        ground, "INSERT INTO replay_job (run_id, node_id, request, actor) VALUES ('1', 'miner-1', '{}', 'ann')"
    )
    assert (await chosen(), await chosen(archive)) == ("miner-2", "master-1")
    await execute(ground, "INSERT INTO node_state VALUES ('master-1/miner', 'miner', 'ready', now())")
    assert await chosen() == "master-1"


async def test_a_replay_of_nothing_is_not_begun(ground: Ground) -> None:
    """Nor is one by who may only see."""
    await ground.post("/replays", 409, topic="envelopes.screen", purpose="for nothing")
    ground.become(Role.OFFICER)
    await ground.post("/replays", 403, topic="envelopes.screen", purpose="for nothing")
    assert ground.audited == []


async def test_a_replay_runs_beside_the_gateway(ground: Ground) -> None:
    """From an empty archive it is done at once; the row tells how it ended, and nobody waits for a browser."""
    await add_envelopes(ground, stream="activity")
    wish = {"topic": "envelopes.activity", "processor": "activity", "source": "archive"}
    run = await ground.post("/replays", 201, **wish, purpose="sums anew")
    following = asyncio.create_task(ground.services.replays.follow())
    try:
        async with asyncio.timeout(60):
            shown = run
            while shown["state"] in {"waiting", "running"}:
                await asyncio.sleep(0.3)
                [shown] = (await ground.get("/replays"))["replays"]
    finally:
        following.cancel()
    assert shown["run_id"] == run["run_id"]
    assert shown["state"] in {"done", "failed"}
    assert shown["state"] == "done" or "KEK" in shown["fault"] or "key" in shown["fault"]


async def test_what_a_replay_is_called_with(ground: Ground) -> None:
    """The command line that a person would have typed; one that was begun before is gone on with."""
    replays = Replays(ground.settings, ground.services.database)
    asked = {"topic": "envelopes.screen", "processor": "mine", "source": "kafka", "since_ms": 0, "until_ms": None}
    asked |= {"agents": [AGENT], "offsets": [{"partition": 3, "first": 5, "end": None}]}
    row = {"run_id": "20260101-000000-abcd", "request": json.dumps(asked), "records_per_s": 2.5}
    assert replays._arguments(row) == [
        *("replay", "envelopes.screen", "--as", "20260101-000000-abcd", "--json-progress", "--throttle", "2.5"),
        *("--processor", "mine", "--from", "kafka", "--since", "1970-01-01T00:00:00.000+00:00"),
        *("--agent", AGENT, "--offset", "3:5"),
    ]
    folder = ground.settings.data.store("replay")
    folder.mkdir()
    (folder / "20260101-000000-abcd.json").write_text("{}")
    assert replays._arguments(row)[:3] == ["replay", "resume", "20260101-000000-abcd"]
    assert (await ground.get("/replays"))["replays"] == []  # a note that is none is passed over


async def test_dead_letters_are_listed_without_what_they_hold(ground: Ground) -> None:
    """By reason, topic and stage; several stages that gave one record up are one letter."""
    letter = await publish_letter(ground)
    await publish_letter(ground, stage="sink-disk")
    other = await publish_letter(ground, offset=7, reason="does_not_open", topic="envelopes.screen")
    told = await ground.get("/dead-letters")
    assert {row["id"]: row["stages"] for row in told["letters"]} == {letter: ["mine", "sink-disk"], other: ["mine"]}
    assert told["reasons"] == [{"value": "malformed", "count": 1}, {"value": "does_not_open", "count": 1}]
    assert "what was said" not in json.dumps(told)
    for query in ({"reason": "malformed"}, {"topic": "envelopes.email"}, {"stage": "sink-disk"}):
        assert [row["id"] for row in (await ground.get("/dead-letters", **query))["letters"]] == [letter]
    detail = await ground.get(f"/dead-letters/{letter}")
    assert (detail["fetched"], detail["content"], detail["bytes"]) == (True, None, 13)
    assert detail["malformed"]
    await ground.get("/dead-letters/envelopes.email-9-9", 404)


async def test_giving_up_wants_a_reason(ground: Ground) -> None:
    """It is audited with it, and the letter is settled at once."""
    letter = await publish_letter(ground)
    await ground.post("/dead-letters/discard", 400, ids=[letter])
    await ground.post("/dead-letters/discard", 404, ids=["none-0-0"], purpose="sent by a scanner")
    assert (await ground.post("/dead-letters/discard", ids=[letter], purpose="sent by a scanner"))["settled"] == 1
    assert (await ground.get("/dead-letters"))["letters"] == []
    [row] = (await ground.get("/dead-letters", state="settled"))["letters"]
    assert row["settled"] == "dropped by operator@console"
    await ground.post("/dead-letters/discard", 409, ids=[letter], purpose="again")
    assert ground.audited == [("dead-letter drop", letter, "done")]


async def test_trying_again_publishes_the_record(ground: Ground) -> None:
    """Under its key, with a header that says who had given it up; told before and after."""
    letter = await publish_letter(ground, key=b"the key", stage="mine")
    assert await ground.post("/dead-letters/retry", ids=[letter]) == {"settled": 1, "gone": []}
    [record] = [one async for one in read_records(ground.settings, "envelopes.email", Stretch())]
    assert (record.key, record.value, dict(record.headers)) == (b"the key", b"what was said", {"retry": b"mine"})
    assert [outcome for _, _, outcome in ground.audited] == ["asked", "done"]


async def test_a_record_that_is_gone_stays_a_letter(ground: Ground) -> None:
    """Kafka has it no longer, and its letter never had its value."""
    letter = await publish_letter(ground, value=b"", offset=99)
    assert await ground.post("/dead-letters/retry", ids=[letter]) == {"settled": 0, "gone": [letter]}
    assert [row["id"] for row in (await ground.get("/dead-letters"))["letters"]] == [letter]


async def test_settlements_are_known_from_the_audit(ground: Ground) -> None:
    """What the command line settled on another node is settled here."""
    letter = await publish_letter(ground)
    await execute(
        ground,
        "INSERT INTO audit_entry (kafka_partition, kafka_offset, happened_at, actor, action, target, outcome) "
        "VALUES (0, 0, now(), 'ann@node-2', 'dead-letter drop', $1, 'done')",
        letter,
    )
    [row] = (await ground.get("/dead-letters", state="all"))["letters"]
    assert row["settled"] == "dropped by ann@node-2"
