"""Nodes by the API: seen with what is wished of them, drained and taken back, updated; and approved addresses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2 as httpx
import pytest

from gateway.api.access import Role
from gateway.lifecycle import LifecycleLog
from infra.nodes.fleet import Fleet, parse_address, parse_host_key
from infra.settings import Settings
from schemas.records import encode_record
from tests.api.accounts import as_principal, principal_of
from tests.api.ground import Ground, open_ground
from tests.infra.sshd import make_key, make_wheel

pytestmark = pytest.mark.live

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"


@pytest.fixture
async def ground(backing: Settings, tmp_path: Path) -> AsyncIterator[Ground]:
    """The API over nodes of its own: a gateway with an agent, a worker, a sink, and a front without agents."""
    async with open_ground(backing, tmp_path / "data", Role.OPERATOR) as ground:
        connection = await asyncpg.connect(ground.dsn)
        for role, state in (("gateway", "ready"), ("streams-1", "ready"), ("sink-disk", "lost"), ("front", "ready")):
            await connection.execute(
                "INSERT INTO node_state VALUES ($1, $2, $3, now(), '', 'i')", f"node-2/{role}", role, state
            )
        await connection.execute(
            "INSERT INTO agent (agent_id, user_name, first_seen_at, last_seen_at, connected, gateway) "
            "VALUES ($1, 'ann', now(), now(), true, 'node-2/gateway')",
            AGENT,
        )
        await connection.execute(
            "INSERT INTO node_report VALUES ('node-2/gateway', 'i', '1.2', '{\"agents\": 1}', now())"
        )
        await connection.close()
        ground.services.lifecycle = LifecycleLog(asyncio.get_running_loop().time)
        yield ground


def tell(ground: Ground, event: str, subject: str = "node", name: str = "node-2/gateway", **detail: str) -> None:
    """A lifecycle fact comes."""
    fact = {
        "time_ms": 1, "subject": subject, "id": name, "event": event, "role": "", "address": "10.0.0.7",
        "incarnation": "i", "reporter": "node-1/gateway", "detail": detail,
    }  # fmt: skip
    assert ground.services.lifecycle
    ground.services.lifecycle.take(ground.services.lifecycle.next_offset, encode_record("lifecycle_event", fact))


async def nodes(ground: Ground) -> dict[str, Any]:
    return {one["id"]: one for one in (await ground.get("/nodes"))["nodes"]}


async def test_nodes_are_told(ground: Ground) -> None:
    """State, version, load, agents, and whether they can be drained."""
    told = await nodes(ground)
    gateway = told["node-2/gateway"]
    assert (gateway["state"], gateway["version"], gateway["agents"], gateway["load"]) == (
        "ready",
        "1.2",
        1,
        {"agents": 1.0},
    )
    assert {name: one["can_drain"] for name, one in told.items()} == {
        "node-2/gateway": True, "node-2/streams-1": True, "node-2/sink-disk": True, "node-2/front": False,
    }  # fmt: skip
    assert gateway["wish"] is None


async def test_draining_is_wished_and_taken_back(ground: Ground) -> None:
    """With who wished it and why, and audited."""
    ids = ["node-2/gateway", "node-2/streams-1"]
    await ground.post("/nodes/wishes", ids=ids, wanted="drained", reason="new disk")
    wish = (await nodes(ground))["node-2/gateway"]["wish"]
    assert (wish["wanted"], wish["by"], wish["reason"]) == ("drained", "operator", "new disk")
    await ground.post("/nodes/wishes", ids=ids[:1], wanted="serving")
    assert (await nodes(ground))["node-2/gateway"]["wish"]["wanted"] == "serving"
    assert ground.audited == [
        ("drain_node", "node node-2/gateway", "done"),
        ("drain_node", "node node-2/streams-1", "done"),
        ("resume_node", "node node-2/gateway", "done"),
    ]


async def test_what_cannot_be_drained(ground: Ground) -> None:
    """A front, and a node that there is not: nothing is wished of the others either."""
    await ground.post("/nodes/wishes", 400, ids=["node-2/gateway", "node-2/front"], wanted="drained")
    await ground.post("/nodes/wishes", 404, ids=["node-2/gateway", "node-9/gateway"], wanted="drained")
    assert (await nodes(ground))["node-2/gateway"]["wish"] is None
    assert not ground.audited


async def test_what_happened_is_told(ground: Ground) -> None:
    """The newest first, filtered, in pages; names of people only to who may see them."""
    for number in range(5):
        tell(ground, "ready", reason=f"turn {number}")
    tell(ground, "connected", "agent", AGENT, user="ann")
    told = await ground.get("/nodes/history", limit=2)
    assert [one["event"] for one in told["facts"]] == ["connected", "ready"]
    assert told["facts"][0]["detail"]["user"] == "(not yours to see)"
    older = await ground.get("/nodes/history", limit=100, before=told["before"])
    assert ([one["offset"] for one in older["facts"]], older["before"]) == ([3, 2, 1, 0], None)
    assert [one["offset"] for one in (await ground.get("/nodes/history", search="TURN 3"))["facts"]] == [3]
    assert len((await ground.get("/nodes/history", subject="agent"))["facts"]) == 1
    as_principal(ground.services, principal_of(Role.ADMINISTRATOR, persons=None))
    assert (await ground.get("/nodes/history", limit=1))["facts"][0]["detail"]["user"] == "ann"


async def test_what_happens_is_streamed(ground: Ground) -> None:
    """As it happens, and from where a broken connection ended."""
    from gateway.api.nodes.happening import _facts

    tell(ground, "joined")
    tell(ground, "ready")
    assert ground.services.lifecycle
    facts = _facts(ground.services.lifecycle, principal_of(Role.OPERATOR), 1)
    assert b"id: 1\n" in await anext(facts)
    asyncio.get_running_loop().call_later(0.1, tell, ground, "draining")
    told = await asyncio.wait_for(anext(facts), 5)
    assert b"event: fact\nid: 2\n" in told
    assert json.loads(told.split(b"data: ")[1])["event"] == "draining"
    await facts.aclose()


async def test_approved_addresses(ground: Ground) -> None:
    """Added to the table of all nodes and taken out; what still approves an address is said."""
    await ground.post("/nodes/approved", network="10.0.0.7", note="miner-2")
    told = await ground.post("/nodes/approved", network="10.0.0.0/24")
    assert {"network": "10.0.0.7/32", "place": "table", "note": "miner-2"} in told["approved"]
    assert {row["place"] for row in told["approved"]} == {"settings", "table"}
    gone = await ground.post("/nodes/approved/remove", network="10.0.0.7")
    assert gone["says"] == "10.0.0.7/32 is still approved by 10.0.0.0/24 in the table"
    await ground.post("/nodes/approved/remove", 404, network="10.0.0.7")
    await ground.post("/nodes/approved", 400, network="nowhere")
    assert [action for action, _, _ in ground.audited][:2] == ["approve", "approve"]


async def test_a_roll_out_is_begun_and_followed(ground: Ground, tmp_path: Path) -> None:
    """What the command tells is the progress of the job; here the node is away, so it fails, and says so."""
    make_key(tmp_path / "host")
    fleet = Fleet(ground.settings)
    fleet.add(parse_address("node-2", "ssh://me@127.0.0.1:1"), parse_host_key((tmp_path / "host.pub").read_text()))
    assert ground.settings.update.key_file
    make_key(ground.settings.update.key_file)
    wheels = fleet.folder / "wheels"
    wheels.mkdir()
    wheel = make_wheel(wheels, "1.4")
    told = await ground.get("/nodes/update")
    assert ([one["name"] for one in told["nodes"]], told["wheels"][0]["version"]) == (["node-2"], "1.4")
    await ground.post("/nodes/update", 422)
    await ground.post("/nodes/update", 404, names=["node-9"], wheel=wheel.name)
    await ground.post("/nodes/update", 400, wheel="sealstream-9.9-py3-none-any.whl")
    await ground.post("/nodes/update", 422, wheel="../secrets/kek.passphrase")
    await ground.post("/nodes/update", 202, wheel=wheel.name, drain=False, reason="a fix")
    for _ in range(300):
        job = (await ground.get("/nodes/update"))["job"]
        if job["state"] != "running":
            break
        await asyncio.sleep(0.1)
    assert job["state"] == "failed"
    assert "does not answer" in job["message"]
    assert job["progress"]["nodes"]["node-2"]["step"] == "failed"
    assert ("update_nodes", "release sealstream-1.4-py3-none-any.whl", "asked") in ground.audited


async def stop(ground: Ground) -> httpx.Response:
    return await ground.client.delete("/api/v1/nodes/update")


async def test_stopping_what_is_not_under_way(ground: Ground) -> None:
    """Says so."""
    assert (await stop(ground)).status_code == 409


@pytest.mark.parametrize("role", [Role.OFFICER, Role.AUDITOR, Role.SUBJECT])
async def test_who_may_what(ground: Ground, role: Role) -> None:
    """Operators and administrators see and change nodes; others neither."""
    ground.become(role)
    for path in ("", "/history", "/approved", "/update", "/events"):
        await ground.get(f"/nodes{path}", 403)
    await ground.post("/nodes/wishes", 403, ids=["node-2/gateway"], wanted="drained")
    await ground.post("/nodes/approved", 403, network="10.0.0.7")
    await ground.post("/nodes/update", 403, version="1.0")
