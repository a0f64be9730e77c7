"""The mirror on port 42001: useful to a bare netcat, closed to who is not approved, never held up by who is slow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from gateway import mirror as mirror_module
from gateway.lifecycle import LifecycleLog
from gateway.metrics import TABLE
from gateway.mirror import Mirror
from gateway.snapshot import SnapshotKeeper, encode_snapshot, read_snapshot
from infra.approved import ApprovedNodes
from infra.metrics import Metrics
from infra.settings import Settings
from schemas.records import encode_record


def fact(event: str, subject_id: str = "node-1/gateway", **changes: object) -> bytes:
    """A lifecycle event as the topic holds it."""
    record: dict[str, Any] = {
        "time_ms": 1_700_000_000_000, "subject": "node", "id": subject_id, "event": event, "role": "gateway",
        "address": "h:1", "incarnation": "a", "reporter": "node-1/gateway", "detail": {},
    }  # fmt: skip
    return encode_record("lifecycle_event", record | changes)


@dataclass
class Clock:
    """A clock that stands."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    """A mirror that listens, and what it reads."""

    events: LifecycleLog
    port: int
    clock: Clock
    metrics: Metrics
    mirror: Mirror
    approved: ApprovedNodes
    topic: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def happen(self, value: bytes) -> None:
        self.topic.append(value)
        self.events.take(len(self.topic) - 1, value)

    async def connect(self, request: bytes = b"from now\n", source: str = "127.0.0.1") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0), limit=1 << 20)
        writer.write(request)
        self.writers.append(writer)
        return reader


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock, metrics = Clock(), Metrics(TABLE)
    events = LifecycleLog(clock, kept=4)

    async def read_back(start: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
        if not opened.topic:
            raise KafkaConnectionError
        for offset in range(start, end):
            yield offset, opened.topic[offset]

    approved = ApprovedNodes(Settings(node={"data_dir": tmp_path, "approved": ["127.0.0.1"]}))
    mirror = Mirror(events, read_back, approved, metrics, node_id="node-1/gateway")
    opened = Scene(events, await mirror.listen("0.0.0.0", 0), clock, metrics, mirror, approved)
    yield opened
    await mirror.close()


async def lines(reader: asyncio.StreamReader, count: int) -> list[dict[str, Any]]:
    """The next `count` lines."""
    async with asyncio.timeout(60):
        return [json.loads(await reader.readline()) for _ in range(count)]


async def test_a_bare_connection_gets_state_and_then_events(scene: Scene) -> None:
    """Who says nothing gets the head line, every node, every connected agent, and what happens from then on."""
    scene.happen(fact("joined"))
    scene.happen(fact("ready"))
    scene.happen(fact("connected", "6f1c", subject="agent", detail={"user": "ana"}))
    scene.happen(fact("connected", "7a00", subject="agent"))
    scene.happen(fact("disconnected", "7a00", subject="agent"))
    scene.events.caught_up()
    reader = await scene.connect(b"\n")
    head, node, agent = await lines(reader, 3)
    assert head == {
        "line": "mirror", "node": "node-1/gateway", "next_offset": 5, "kafka": "connected", "age_s": 0.0,
        "agents_connected": 1,
    }  # fmt: skip
    assert (node["line"], node["node_id"], node["state"]) == ("node", "node-1/gateway", "ready")
    assert (agent["line"], agent["agent_id"], agent["user"]) == ("agent", "6f1c", "ana")
    scene.happen(fact("draining"))
    (event,) = await lines(reader, 1)
    assert (event["line"], event["offset"], event["event"]) == ("event", 5, "draining")
    assert event["time"] == "2023-11-14T22:13:20.000+00:00"


async def test_silence_and_a_closed_input_are_taken_as_nothing_asked(scene: Scene) -> None:
    """`nc HOST 42001 < /dev/null` closes its side at once, and is served all the same."""
    scene.happen(fact("joined"))
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    writer.write_eof()
    head, node = await lines(reader, 2)
    assert (head["line"], node["state"]) == ("mirror", "joined")
    scene.happen(fact("ready"))
    assert (await lines(reader, 1))[0]["event"] == "ready"


async def test_from_an_offset(scene: Scene) -> None:
    """From memory where it is, read back from Kafka where it is not, and live after that: no offset is left out."""
    for number in range(10):
        scene.happen(fact("joined", f"n{number}"))
    assert scene.events.oldest == 6
    for start in (0, 3, 7, 10):
        reader = await scene.connect(b"from start\n" if start == 0 else b"from %d\n" % start)
        offsets = [line["offset"] for line in (await lines(reader, 1 + 10 - start))[1:]]
        assert offsets == list(range(start, 10))


async def test_from_now(scene: Scene) -> None:
    """No state, no past."""
    scene.happen(fact("joined"))
    reader = await scene.connect(b"from now\n")
    await lines(reader, 1)
    scene.happen(fact("ready"))
    assert (await lines(reader, 1))[0]["offset"] == 1


async def test_who_is_not_approved_gets_nothing(scene: Scene) -> None:
    """Another address is closed on before a byte is said."""
    scene.happen(fact("joined"))
    with contextlib.suppress(ConnectionError):
        reader = await scene.connect(source="127.0.0.2")
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_who_is_approved_later_is_served_and_who_is_taken_off_is_cut_off(scene: Scene, tmp_path: Path) -> None:
    """The list holds live, for new readers and for those that are there; others stay."""
    (tmp_path / "approved").write_text("127.0.0.2\n")
    scene.approved.reload()
    stays, goes = await scene.connect(), await scene.connect(source="127.0.0.2")
    await lines(stays, 1)
    await lines(goes, 1)
    (tmp_path / "approved").unlink()
    scene.approved.reload()
    scene.mirror.drop_unapproved()
    assert await asyncio.wait_for(goes.read(), 5) == b""
    scene.happen(fact("joined"))
    assert (await lines(stays, 1))[0]["line"] == "event"


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\n", b"from yesterday\n", b"x" * 500, b"from -1\n"])
async def test_another_request_is_told_so(scene: Scene, request_: bytes) -> None:
    """One line that says what is wrong, and the end."""
    reader = await scene.connect(request_)
    assert (await lines(reader, 1))[0]["line"] == "error"
    assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_without_kafka_it_serves_what_it_knows(scene: Scene) -> None:
    """And says how old that is."""
    scene.happen(fact("joined"))
    scene.events.caught_up()
    scene.events.lost()
    scene.clock.now += 90
    head, node = await lines(await scene.connect(b"\n"), 2)
    assert (head["kafka"], head["age_s"]) == ("away", 90.0)
    assert node["state"] == "joined"


async def test_when_nothing_happens_it_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a dead connection shows."""
    monkeypatch.setattr(mirror_module, "ALIVE_INTERVAL_S", 0.01)
    reader = await scene.connect()
    assert [line["line"] for line in await lines(reader, 3)] == ["mirror", "alive", "alive"]


async def test_a_slow_reader_is_dropped_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read loses its connection; who does misses nothing meanwhile."""
    monkeypatch.setattr(mirror_module, "WRITE_TIMEOUT_S", 0.05)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(stuck, ("127.0.0.1", scene.port))
    await loop.sock_sendall(stuck, b"from now\n")
    reader = await scene.connect()
    await lines(reader, 1)
    dropped = scene.metrics.counter("gateway_mirror_dropped_total")
    offset = 0
    async with asyncio.timeout(30):
        while not dropped._value.get():
            scene.happen(fact("joined", detail={"reason": "x" * 100_000}))
            (event,) = await lines(reader, 1)
            assert event["offset"] == offset
            offset += 1
    stuck.close()


async def test_what_is_no_lifecycle_event_is_passed_over(scene: Scene) -> None:
    """A foreign record in the topic stops nothing."""
    reader = await scene.connect()
    await lines(reader, 1)
    scene.happen(b"junk")
    scene.happen(fact("joined"))
    assert (await lines(reader, 1))[0]["offset"] == 1


async def test_a_name_cannot_command_the_terminal_that_shows_it(scene: Scene) -> None:
    """Control characters that an endpoint put into its name, those beyond ASCII too, arrive escaped at `nc`."""
    reader = await scene.connect()
    await reader.readline()
    scene.happen(fact("connected", "6f1c", subject="agent", detail={"user": "\x1b[2J\x9b2J é"}))
    async with asyncio.timeout(60):
        line = await reader.readline()
    assert line.rstrip(b"\n").decode("ascii").isprintable()
    assert json.loads(line)["detail"]["user"] == "\x1b[2J\x9b2J é"


async def test_nobody_stays_connected_to_a_gateway_that_was_killed(scene: Scene) -> None:
    """When a gateway is lost, the agents that were connected to it are no longer shown as connected."""
    scene.happen(fact("joined"))
    scene.happen(fact("connected", "6f1c", subject="agent"))
    scene.happen(fact("lost"))
    head, node = await lines(await scene.connect(b"\n"), 2)
    assert (head["agents_connected"], node["state"]) == (0, "lost")


async def test_a_reader_that_is_a_moment_ahead_is_not_sent_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes from a mirror that had read further gets what comes next, and nothing twice."""
    monkeypatch.setattr(mirror_module, "AHEAD_S", 0.01)
    scene.happen(fact("joined"))
    scene.events.caught_up()
    reader = await scene.connect(b"from 2\n")
    await lines(reader, 1)
    scene.happen(fact("ready"))
    scene.happen(fact("draining"))
    scene.events.caught_up()
    scene.events.caught_up()
    line: dict[str, Any] = {"line": "alive"}
    while line["line"] == "alive":
        (line,) = await lines(reader, 1)
    assert (line["line"], line["offset"]) == ("event", 2)


async def test_a_reader_of_a_topic_that_is_no_more_is_told_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An offset that the topic does not have, also after reading to its end again: `reset`, and all there is."""
    monkeypatch.setattr(mirror_module, "AHEAD_S", 0.01)
    scene.happen(fact("joined"))
    scene.events.caught_up()
    reader = await scene.connect(b"from 41\n")
    await lines(reader, 1)
    scene.events.caught_up()
    scene.events.caught_up()
    line: dict[str, Any] = {"line": "alive"}
    while line["line"] == "alive":
        (line,) = await lines(reader, 1)
    (event,) = await lines(reader, 1)
    assert (line["line"], event["line"], event["offset"]) == ("reset", "event", 0)


async def test_readers_follow_into_a_topic_that_was_made_anew(scene: Scene) -> None:
    """What was known of the old one is forgotten, and offsets begin again for who is connected."""
    scene.happen(fact("joined", "old/gateway"))
    scene.happen(fact("ready", "old/gateway"))
    reader = await scene.connect()
    await lines(reader, 1)
    scene.topic.clear()
    scene.events.begin_anew("another")
    scene.happen(fact("joined", "new/gateway"))
    reset, event = await lines(reader, 2)
    assert (reset["line"], event["offset"], event["id"]) == ("reset", 0, "new/gateway")
    assert list(scene.events.nodes) == ["new/gateway"]


async def test_a_mirror_that_starts_without_kafka_serves_what_was_known_before(scene: Scene, tmp_path: Path) -> None:
    """State, the newest events and their age come from the snapshot of the process before."""
    scene.happen(fact("joined"))
    scene.happen(fact("connected", "6f1c", subject="agent", detail={"user": "ana"}))
    scene.events.caught_up()
    path = tmp_path / "lifecycle.snapshot"
    keeper = SnapshotKeeper(path, lambda: scene.events.snapshot("lifecycle"))
    keeper.write(scene.events.snapshot("lifecycle"))
    known = read_snapshot(path, "lifecycle")
    assert known is not None
    assert known.heard_at_s is not None

    later = known.heard_at_s + 3600
    after = LifecycleLog(Clock(5.0), wall_clock_s=lambda: later)
    after.restore(known)
    assert (after.age_s(), after.connected, after.next_offset) == (3600.0, False, 2)
    assert after.state_lines() == scene.events.state_lines()
    assert after.lines_from(0) == scene.events.lines_from(0)


async def test_an_age_is_never_negative(scene: Scene) -> None:
    """A snapshot of a time to come, as after a clock was set back, has an age that nobody knows."""
    scene.events.caught_up()
    known = scene.events.snapshot("lifecycle")
    assert known.heard_at_s is not None
    earlier = known.heard_at_s - 10
    after = LifecycleLog(Clock(), wall_clock_s=lambda: earlier)
    after.restore(known)
    assert after.age_s() is None


@pytest.mark.parametrize("cut", [0, 1, 30, 90, 150, -1])
async def test_a_damaged_snapshot_is_not_trusted(scene: Scene, tmp_path: Path, cut: int) -> None:
    """Wherever it ends or a byte is another; nor one of another topic. The mirror then begins with nothing."""
    scene.happen(fact("joined"))
    scene.events.caught_up()
    whole = encode_snapshot(scene.events.snapshot("lifecycle"))
    path = tmp_path / "lifecycle.snapshot"
    path.write_bytes(whole)
    assert read_snapshot(path, "lifecycle") is not None
    assert read_snapshot(path, "other.lifecycle") is None
    path.write_bytes(whole[:cut])
    assert read_snapshot(path, "lifecycle") is None
    path.write_bytes(whole[:cut] + bytes([whole[cut] ^ 1]) + (whole[cut:][1:]))
    assert read_snapshot(path, "lifecycle") is None


async def test_one_process_of_a_node_writes_the_snapshot(scene: Scene, tmp_path: Path) -> None:
    """Of two that share a data directory; the other one does when the first has ended."""
    scene.events.caught_up()
    path = tmp_path / "run" / "lifecycle.snapshot"
    first, second = (SnapshotKeeper(path, lambda: scene.events.snapshot("lifecycle")) for _ in range(2))
    keeping = asyncio.create_task(first.keep())
    await asyncio.sleep(0)
    first.write(scene.events.snapshot("lifecycle"))
    written = path.read_bytes()
    scene.happen(fact("joined"))
    second.write(scene.events.snapshot("lifecycle"))
    assert path.read_bytes() == written
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert path.read_bytes() != written  # the last word of the one that ends
    scene.happen(fact("ready"))
    second.write(scene.events.snapshot("lifecycle"))
    known = read_snapshot(path, "lifecycle")
    assert known is not None
    assert known.next_offset == 2
