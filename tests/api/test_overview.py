"""The overview by the API: whole for who may see it, without what is away, live, and ended with the session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, patch
from uuid import uuid4

import pytest

from gateway.api import overview, sse
from gateway.api.access import Role
from gateway.lifecycle import LifecycleLog
from gateway.ops import sampler
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.records import encode_record
from tests.api.accounts import principal_of
from tests.api.ground import Ground
from tests.api.operations import add_states, execute, open_operations

if TYPE_CHECKING:
    from gateway.ops.stores import Tables
    from sinks.postgresql.connection import Connection

pytestmark = pytest.mark.live

AGENT = str(uuid4())


@pytest.fixture
async def ground(backing: Settings, tmp_path: Path) -> AsyncIterator[Ground]:
    """The API over stores of its own."""
    async with open_operations(backing, tmp_path / "data") as ground:
        yield ground


def tell(log: LifecycleLog, event: str, **values: object) -> None:
    """A fact of the lifecycle topic."""
    fact = {"time_ms": 1_700_000_000_000, "subject": "agent", "id": AGENT, "event": event, "role": "", "address": ""}
    fact |= {"incarnation": "1", "reporter": "node-1/gateway", "detail": {"user": "ann", "computer": "desk"}, **values}
    log.take(log.next_offset, encode_record("lifecycle_event", fact))


async def test_the_picture_of_an_installation(ground: Ground) -> None:
    """Agents, streams with what came in, stores with their sizes, components with what is wished."""
    log = ground.services.lifecycle = LifecycleLog(lambda: 0.0)
    tell(log, "connected", detail={"user": "ann", "computer": "desk", "tls": "TLSv1.2", "forward_secret": "no"})
    await add_states(ground, "sinks-disk", "kafka")
    await execute(
        ground,
        "INSERT INTO envelope SELECT $1, decode(md5('x'), 'hex'), n, 'screen', now(), now() - interval '20 s', 100, "
        "false, 0, n FROM generate_series(1, 60) n",
        AGENT,
    )
    told = await ground.get("/overview")
    assert (told["agents"]["known"], told["agents"]["connected"]) == (1, 1)
    screen = next(row for row in told["streams"] if row["stream"] == "screen")
    assert (screen["envelopes_per_s"], screen["bytes_per_s"]) in {(1.0, 100.0), (0.0, 0.0)}  # the step may not be over
    assert len(screen["history"]["bytes"]) == 60
    assert [row["component"] for row in told["components"]] == ["kafka", "sinks-disk"]
    assert [row["stoppable"] for row in told["components"]] == [False, True]
    assert told["storage"]["postgresql_bytes"] > 0
    assert told["storage"]["elasticsearch_bytes"] is not None
    assert told["storage"]["disk_free_bytes"] > 0
    assert (told["dead_letters"], told["away"]) == (0, [])
    assert any("forward secrecy" in problem["title"] for problem in told["problems"])


async def test_who_may_see_it(ground: Ground) -> None:
    """All but a recorded person."""
    for role in (Role.ADMINISTRATOR, Role.OPERATOR, Role.OFFICER, Role.AUDITOR):
        ground.become(role)
        await ground.get("/overview")
    ground.become(Role.SUBJECT)
    await ground.get("/overview", 403)
    await ground.get("/overview/events", 403)


async def test_names_are_for_those_who_may_see_them(ground: Ground) -> None:
    """An operator without a scope sees that agents went away, and not whose."""
    log = ground.services.lifecycle = LifecycleLog(lambda: 0.0)
    now_ms = 1_900_000_000_000
    with patch("gateway.ops.sampler.now_ms", return_value=now_ms):
        tell(log, "connected", time_ms=now_ms - 2000)
        tell(log, "disconnected", time_ms=now_ms - 1000)
        told = await ground.get("/overview")
    [row] = told["agents"]["went_silent"]
    assert (row["agent_id"], row["person"], row["computer"]) == (AGENT, "", "")
    assert told["agents"]["silent"] == 1


async def test_a_store_that_is_away_is_one_line(ground: Ground) -> None:
    """The rest still comes."""
    fault = UnavailableError("PostgreSQL does not answer: ConnectionRefusedError")
    with patch.object(sampler, "read_tables", AsyncMock(side_effect=fault)):
        told = await ground.get("/overview")
    [away] = told["away"]
    assert (away["store"], away["fault"]) == ("PostgreSQL", "does not answer: ConnectionRefusedError")
    assert told["storage"]["elasticsearch_status"] in {"green", "yellow"}
    assert any(problem["tone"] == "bad" and "PostgreSQL" in problem["title"] for problem in told["problems"])
    assert told["dead_letters"] is None


async def test_gaps_are_counted_by_day(ground: Ground) -> None:
    """With the newest of them."""
    await execute(
        ground,
        "INSERT INTO gap (agent_id, gap_id, noticed_at, stream, reason) "
        "SELECT $1, n::text, now() - n * interval '20 hours', 'screen', 'spool full' FROM generate_series(1, 4) n",
        AGENT,
    )
    gaps = (await ground.get("/overview"))["gaps"]
    assert gaps["last_day"] == 1
    assert sum(day["count"] for day in gaps["days"]) == 4
    assert [row["reason"] for row in gaps["recent"]] == ["spool full"] * 4
    assert all(row["from_ms"] == row["until_ms"] == row["noticed_ms"] for row in gaps["recent"])


async def test_a_gap_says_from_when_to_when_it_was(ground: Ground) -> None:
    """As the player has it: it was noticed later than it was."""
    await execute(
        ground,
        "INSERT INTO gap (agent_id, gap_id, noticed_at, stream, reason, detail) VALUES ($1, '1', now(), 'screen', "
        """'agent_killed', '{"from_us": "1700000000123456", "until_us": "1700000060000000"}')""",
        AGENT,
    )
    [row] = (await ground.get("/overview"))["gaps"]["recent"]
    assert (row["from_ms"], row["until_ms"]) == (1_700_000_000_123, 1_700_000_060_000)


async def test_events_come_and_end_with_the_server(ground: Ground) -> None:
    """One sampler serves all who look; the stream ends when the server stops."""
    principal = principal_of(Role.OPERATOR, persons=None)
    first, second = (overview._pictures(ground.services, principal) for _ in range(2))
    one, other = await anext(first), await anext(second)
    assert one.startswith(b"event: overview\nid: ")
    assert json.loads(one.split(b"data: ")[1])["node"] == ground.settings.node.id
    assert json.loads(other.split(b"data: ")[1])["node"] == ground.settings.node.id
    assert await anext(first) != one
    ground.services.overview.stop()
    assert [event async for event in first] in ([], [event async for event in second])
    assert ground.services.overview.closed


def parts_of(event: bytes) -> dict[str, tuple[int | None, bool]]:
    """Of each part when it was read, and whether it is being read for the first time."""
    told = json.loads(event.split(b"data: ")[1])
    return {one["part"]: (one["read_ms"], one["measuring"]) for one in told["parts"]}


async def test_who_looks_first_waits_for_no_store(ground: Ground) -> None:
    """What this process knows comes at once, and each part as it is read: one that is slow holds up no other."""
    log = ground.services.lifecycle = LifecycleLog(lambda: 0.0)
    tell(log, "connected")
    answers, read = asyncio.Event(), sampler.read_tables

    async def read_late(connection: Connection) -> Tables:
        await answers.wait()
        return await read(connection)

    with patch.object(sampler, "read_tables", read_late):
        pictures = overview._pictures(ground.services, principal_of(Role.OPERATOR, persons=None))
        first = await anext(pictures)
        assert set(parts_of(first).values()) == {(None, True)}
        assert json.loads(first.split(b"data: ")[1])["agents"]["connected"] == 1
        event = first
        while sum(measuring for _, measuring in parts_of(event).values()) > 1:
            event = await anext(pictures)
        assert parts_of(event)["tables"] == (None, True)
        assert parts_of(event)["readers"][0]
        answers.set()
        while parts_of(event)["tables"][1]:
            event = await anext(pictures)
        assert json.loads(event.split(b"data: ")[1])["dead_letters"] == 0
        await pictures.aclose()


async def test_what_was_known_before_is_told_with_its_age(ground: Ground) -> None:
    """Nobody looked for a while: the last picture is there at once, and its parts say from when they are."""
    with patch.object(sampler, "LINGER_S", 0.0):
        before = {one["part"]: one["read_ms"] for one in (await ground.get("/overview"))["parts"]}
        running = ground.services.overview._running
        assert running
        await asyncio.wait([running])
        pictures = overview._pictures(ground.services, principal_of(Role.OPERATOR, persons=None))
        first = await anext(pictures)
        await pictures.aclose()
    assert parts_of(first) == {part: (read_ms, True) for part, read_ms in before.items()}
    assert json.loads(first.split(b"data: ")[1])["dead_letters"] == 0


async def test_events_end_with_the_session(ground: Ground) -> None:
    """Whose session was revoked is told so, and sees nothing more."""

    async def ever() -> AsyncIterator[bytes]:
        while True:
            yield sse.HEARTBEAT

    principal = principal_of(Role.OPERATOR)
    with (
        patch.object(sse, "LIVES_EVERY_S", 0),
        patch.object(ground.services.desk.identities, "lives", return_value=False),
    ):
        told = [part async for part in sse.stream(ground.services, principal, ever()).body_iterator]
    assert told == [b"retry: 2000\n\n", sse.event("end", '{"reason":"signed_out"}', 0)]


async def test_missing_key_files_are_told(ground: Ground) -> None:
    """The server's KEK is registered by a migration, and this node does not have it."""
    await execute(ground, "INSERT INTO node_kek VALUES ('node-2', 'server.pem'), ('node-3', 'other.pem')")
    told = set((await ground.get("/overview"))["keks_missing"])
    assert told == {
        *("server.pem on node-1", "server.pub.pem on node-1"),
        *("server.pub.pem on node-2", "server.pem on node-3", "server.pub.pem on node-3"),
    }


async def test_every_gateway_tells_how_it_acknowledges(ground: Ground) -> None:
    """The others by what they told lately; what is old is left out."""
    await execute(
        ground,
        "INSERT INTO node_report (node_id, incarnation, version, load, told_at) VALUES "
        """('node-2/gateway', '1', '1', '{"ack_per_s": 9, "ack_p50_ms": 1.5, "ack_p99_ms": 400}', now()), """
        """('node-3/gateway', '1', '1', '{"ack_p50_ms": 1, "ack_p99_ms": 2}', now() - interval '1 hour')""",
    )
    told = await ground.get("/overview")
    assert told["acks"] == [{"node": "node-2/gateway", "per_s": 9, "p50_ms": 1.5, "p99_ms": 400}]
    assert any("node-2/gateway acknowledges slowly" in problem["title"] for problem in told["problems"])
