"""The journey: what is typed on an endpoint is found by its words, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest
import uvloop

from agent.sources.terminal import TerminalSource
from infra.stack.ports import choose_port
from schemas.envelope import peek
from schemas.kinds import StreamKind
from tests.journey import Endpoint, Readers, Road, Server, open_journey

SEED = 20261123


def pytest_asyncio_loop_factories():
    """The gateway runs on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def https_port() -> int:
    return choose_port("https")


class Script:
    """A source that tells the events that it was given, at the speed that the recorder takes them."""

    name = "script"

    def __init__(self, kind: StreamKind, events) -> None:
        self.kind = kind
        self._events = events
        self.renewed = 0

    def renew(self) -> None:
        self.renewed += 1

    async def run(self, emit, policy) -> None:
        for number, event in enumerate(self._events):
            await emit(event)
            if number % 8 == 0:
                await asyncio.sleep(0)


def message(number: int) -> dict:
    """One mail of many."""
    return {
        "time_us": time.time_ns() // 1000,
        "message_id": f"<{number}@example.com>",
        "folder": "INBOX",
        "sender": "helen@example.com",
        "recipients": ["ana@example.com"],
        "subject": f"letter{number}",
        "sent_ms": None,
        "text": f"the invoice invoice{number} is overdue " + "x" * (number * 37 % 900),
        "attachments": [],
        "size": 100,
    }


async def type_at_a_terminal(endpoint: Endpoint, command: list[str]) -> TerminalSource:
    """Run a command under a real PTY, recorded."""
    keyboard, terminal = os.openpty()
    source = TerminalSource(command, stdin=terminal, stdout=terminal)
    try:
        await source.run(endpoint.recorder.emit_for(source), endpoint.recorder.current_policy)
    finally:
        os.close(keyboard)
        os.close(terminal)
    return source


async def record_mail(endpoint: Endpoint, numbers: range) -> None:
    source = Script(StreamKind.EMAIL, [message(number) for number in numbers])
    await source.run(endpoint.recorder.emit_for(source), endpoint.recorder.current_policy)


async def travel(server: Server, road: Road, directory: Path, chance: random.Random) -> tuple[Endpoint, Readers]:
    """Enrol, record while the server is away, restart, record while connections break; then read all of it."""
    identity, policy = await Endpoint.enrol(directory, server.settings)
    offline = await Endpoint.start(directory, identity, policy)
    await type_at_a_terminal(offline, ["printf", "the heron flies at dusk\\r\\n"])
    await record_mail(offline, range(100))
    await offline.close()

    road.cuts = [chance.randrange(1500, 20_000) for _ in range(5)]
    road.deaf_at = sorted(chance.sample(range(20, 140), 5))
    online = await Endpoint.start(directory, identity, policy)
    online.connect()
    await record_mail(online, range(100, 200))
    await type_at_a_terminal(online, ["printf", "the otter swims at dawn\\r\\n"])
    online.recorder.renew()
    await asyncio.wait_for(online.recorder.close(), 10)
    await online.acknowledged()
    await online.close()

    readers = Readers(server.publisher, server.identity)
    await readers.read_all()
    return online, readers


async def test_words_are_found_whatever_breaks_on_the_way(tmp_path: Path, https_port: int) -> None:
    """Every word is found once, with its agent, stream and time; nothing is lost, and nothing is there twice."""
    began_ms = time.time_ns() // 1_000_000
    async with open_journey(tmp_path / "server", https_port) as (server, road):
        endpoint, readers = await travel(server, road, tmp_path / "agent", random.Random(SEED))
    ended_ms = time.time_ns() // 1_000_000

    assert road.lost == 10, "no connection broke: the test tested nothing"
    documents = readers.documents().values()
    assert not readers.dead()
    assert {document["agent_id"] for document in documents} == {endpoint.identity.agent_id}
    assert {(document["user"], document["computer"]) for document in documents} == {("ana", "desk-7")}
    assert all(began_ms <= document["time_ms"] <= ended_ms for document in documents)
    mails = sorted(
        int(document["title"].removeprefix("letter")) for document in documents if document["stream"] == "email"
    )
    assert mails == list(range(200))
    terminals = [document["text"] for document in documents if document["stream"] == "keystrokes"]
    assert sorted(terminals) == ["the heron flies at dusk", "the otter swims at dawn"]

    envelopes = readers.envelopes()
    assert all(len(set(copies)) == 1 for copies in envelopes.values())
    chains: dict[bytes, list[int]] = {}
    for identity in envelopes:
        chains.setdefault(identity.epoch_id, []).append(identity.sequence)
    assert all(sorted(chain) == list(range(len(chain))) for chain in chains.values())
    assert any(len(copies) > 1 for copies in envelopes.values()), "no envelope was sent again: the test tested nothing"


async def test_nothing_is_readable_on_the_way(tmp_path: Path, https_port: int) -> None:
    """Neither the spool nor what the broker holds shows a word of what was recorded."""
    async with open_journey(tmp_path / "server", https_port) as (server, _):
        identity, policy = await Endpoint.enrol(tmp_path / "agent", server.settings)
        endpoint = await Endpoint.start(tmp_path / "agent", identity, policy)
        await record_mail(endpoint, range(5))
        await endpoint.recorder.close()
        await endpoint.spool.flush()
        at_rest = b"".join(path.read_bytes() for path in (tmp_path / "agent/spool").rglob("*") if path.is_file())
        endpoint.connect()
        await endpoint.acknowledged()
        await endpoint.close()
        stored = [record for record in server.publisher.records if record.topic == "envelopes.email"]
    assert stored
    assert peek(stored[0].value).record.kind is StreamKind.EMAIL
    for data in (at_rest, *(record.value for record in stored)):
        assert b"invoice" not in data
        assert b"helen" not in data


async def test_what_the_policy_does_not_list_is_never_recorded(tmp_path: Path, https_port: int) -> None:
    """The server's policy holds whatever a source emits."""
    async with open_journey(tmp_path / "server", https_port) as (server, _):
        (tmp_path / "server/policy.json").write_text('{"streams": ["keystrokes"]}')
        server.policy.reload()
        identity, policy = await Endpoint.enrol(tmp_path / "agent", server.settings)
        endpoint = await Endpoint.start(tmp_path / "agent", identity, policy)
        endpoint.connect()
        await record_mail(endpoint, range(5))
        await type_at_a_terminal(endpoint, ["printf", "allowed\\r\\n"])
        await endpoint.recorder.close()
        await endpoint.acknowledged()
        await endpoint.close()
        topics = {record.topic for record in server.publisher.records}
    assert endpoint.recorder.refused == 5
    assert "envelopes.keystrokes" in topics
    assert "envelopes.email" not in topics
