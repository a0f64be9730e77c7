"""An agent of the first version and today's gateway, and the reverse, from recorded bytes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.clock import SystemClock
from agent.endpoint import make_hello
from agent.gap import Mark
from agent.link import Ended, Link, LinkEvents
from agent.memory_spool import MemorySpool
from agent.policy import Policy as AgentPolicy
from agent.settings import UplinkSettings
from schemas.envelope import peek
from schemas.frames import Frame, Goodbye, GoodbyeCode, Hello, Ping, Policy, Pong, Push, Welcome
from schemas.kinds import StreamKind
from schemas.wire import Connection, Role
from tests.compat.recorded import recorded
from tests.gateway.conftest import Stage
from tests.gateway.endpoint import Credentials, Endpoint

TALK = recorded("wire")
AGENT = UUID(TALK["agent_id"])
STEPS: list[tuple[str, str, bytes]] = [(row["from"], row["frame"], bytes.fromhex(row["hex"])) for row in TALK["frames"]]


def said(by: str, *names: str) -> list[bytes]:
    """What that side said, as it said it: all of it, or the frames of these names."""
    return [data for side, name, data in STEPS if side == by and (not names or name in names)]


def body(data: bytes) -> dict[str, Any]:
    """The object of a JSON frame."""
    return dict(json.loads(data[5:]))


def with_more(data: bytes, **fields: object) -> bytes:
    """A JSON frame with fields that nobody knows."""
    payload = data[4:5] + json.dumps({**body(data), **fields}).encode()
    return len(payload).to_bytes(4, "big") + payload


@pytest.fixture
def ana(pki: Path, tmp_path: Path) -> Credentials:
    """The recorded agent's certificate."""
    return Credentials.make(tmp_path, pki / "ca.pem", AGENT)


def replay(piece: int) -> Iterator[tuple[str, list[Frame]]]:
    """Both sides by today's protocol; each hears the recorded bytes in pieces of that size, and sends as recorded."""
    sides = {"agent": Connection(Role.AGENT), "gateway": Connection(Role.GATEWAY)}
    for speaker, _, data in STEPS:
        hearer = sides["gateway" if speaker == "agent" else "agent"]
        frames = [frame for at in range(0, len(data), piece) for frame in hearer.receive(data[at : at + piece])]
        for frame in frames:
            sides[speaker].push(frame.envelopes) if isinstance(frame, Push) else sides[speaker].send(frame)
        yield speaker, frames


HEARD = [(speaker, frame) for speaker, frames in replay(1 << 20) for frame in frames]
PUSHES = [frame.envelopes for _, frame in HEARD if isinstance(frame, Push)]
SAID_BY_GATEWAY = list(zip([frame for by, frame in HEARD if by == "gateway"], said("gateway"), strict=True))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_every_recorded_frame_is_understood(piece: int) -> None:
    """In any pieces, on both sides, in the order in which they were said; nothing new is needed anywhere."""
    heard = [frame for _, frames in replay(piece) for frame in frames]
    assert [type(frame).__name__ for frame in heard] == [name for _, name, _ in STEPS]
    hello = next(frame for frame in heard if isinstance(frame, Hello))
    assert (hello.agent_id, hello.user, hello.versions) == (str(AGENT), "ana", [1])
    welcome = next(frame for frame in heard if isinstance(frame, Welcome))
    assert (welcome.gateway, welcome.asks) == ("node-1/gateway", [])
    envelopes = [envelope for frame in heard if isinstance(frame, Push) for envelope in frame.envelopes]
    assert [peek(one).record.kind for one in envelopes] == [StreamKind.KEYSTROKES] * 2 + [StreamKind.EMAIL] * 2
    assert AgentPolicy.from_json(welcome.policy).organisation == "Example Ltd"


async def test_an_old_agents_bytes_are_acknowledged_over_tls(stage: Stage, ana: Credentials) -> None:
    """Byte for byte as it would send them: stored untouched, acknowledged, answered; asked for nothing it lacks."""
    endpoint = await Endpoint.connect(ana, stage.number)
    endpoint.wire.send(make_hello(str(AGENT), [], 1))  # only this side's state: the bytes are the recorded ones
    endpoint.writer.write(said("agent", "Hello")[0])
    assert isinstance(await endpoint.receive(), Welcome)
    for number, (push, data) in enumerate(zip(PUSHES, said("agent", "Push"), strict=True), 1):
        endpoint.wire.push(push)
        endpoint.writer.write(data)
        await endpoint.receive_until(2 * number)
    endpoint.writer.write(said("agent", "Ping")[0])
    assert await endpoint.receive() == Pong(77)
    assert stage.stored("envelopes.keystrokes") == list(PUSHES[0])
    assert stage.stored("envelopes.email") == list(PUSHES[1])
    endpoint.writer.write(said("agent", "Goodbye")[0])
    assert await endpoint.ending() == []


async def test_what_an_old_agent_requires_is_still_said(stage: Stage, ana: Credentials) -> None:
    """Each field of the recorded Welcome and Policy is in today's, of the same type: an old agent refuses less."""
    endpoint = await Endpoint.connect(ana, stage.number)
    endpoint.writer.write(said("agent", "Hello")[0])
    length = int.from_bytes(await endpoint.reader.readexactly(4), "big")
    today = json.loads((await endpoint.reader.readexactly(length))[1:])
    before = body(said("gateway", "Welcome")[0])
    assert {name: type(value) for name, value in before.items()}.items() <= {
        name: type(value) for name, value in today.items()
    }.items()
    policy = dataclasses.asdict(Policy({}, [], {}))
    assert body(said("gateway", "Policy")[0]).keys() <= policy.keys()


async def test_unknown_fields_are_passed_over_on_both_sides(stage: Stage, ana: Credentials) -> None:
    """A later agent says more in its Hello, a later gateway more in its Welcome: both go on."""
    endpoint = await Endpoint.connect(ana, stage.number)
    endpoint.wire.send(make_hello(str(AGENT), [], 1))
    endpoint.writer.write(with_more(said("agent", "Hello")[0], mood={"of": ["the", 1]}, versions=[1, 2]))
    assert isinstance(await endpoint.receive(), Welcome)
    agent = Connection(Role.AGENT)
    agent.send(make_hello(str(AGENT), [], 1))
    (welcome,) = agent.receive(with_more(said("gateway", "Welcome")[0], mood=None, asks=["backlog", "the weather"]))
    assert isinstance(welcome, Welcome)


@pytest.mark.parametrize(
    ("versions", "says"),
    [([0], "this agent is too old"), ([], "this agent is too old"), ([2, 3], "this server is too old")],
)
async def test_a_version_that_is_not_spoken_is_refused_in_words(
    stage: Stage, ana: Credentials, versions: list[int], says: str
) -> None:
    """Goodbye with the code of versions, and a reason that says which side is to be updated."""
    endpoint = await Endpoint.connect(ana, stage.number)
    endpoint.wire.send(make_hello(str(AGENT), [], 1))
    endpoint.writer.write(with_more(said("agent", "Hello")[0], versions=versions))
    (goodbye,) = await endpoint.ending()
    assert isinstance(goodbye, Goodbye)
    assert goodbye.code == GoodbyeCode.VERSION
    assert says in goodbye.reason


class OldGateway:
    """Says what the recorded gateway said, each frame once that has come which it answers."""

    def __init__(self) -> None:
        self.heard: list[Frame] = []

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: the Welcome, then up to its Ping what followed the first envelopes, then the rest."""
        wire, steps = Connection(Role.GATEWAY), iter(SAID_BY_GATEWAY)
        while data := await reader.read(65536):
            for frame in wire.receive(data):
                self.heard.append(frame)
                if not isinstance(frame, Hello | Push):
                    continue
                for said_, step in steps:
                    wire.send(said_)
                    writer.write(step)
                    if isinstance(said_, Welcome | Ping):
                        break
        writer.close()


async def test_todays_agent_at_an_old_gateway() -> None:
    """It takes acks, a refusal, a policy and its leave, and says nothing that a gateway of then did not know."""
    old = OldGateway()
    server = await asyncio.start_server(old.attend, "127.0.0.1", 0)
    spool, welcomes, policies = MemorySpool(), list[Welcome](), list[Policy]()
    acked = asyncio.Event()

    def take(frame: Policy) -> None:
        policies.append(frame)
        acked.set()  # it follows the first Ack

    settings = UplinkSettings(ping_s=60, silence_s=120, connect_timeout_s=30)
    hello, events = make_hello(str(AGENT), ["email"], 1), LinkEvents(welcomes.append, take)
    link = Link(hello, spool, settings, SystemClock(), events)
    append(spool, StreamKind.KEYSTROKES, PUSHES[0])
    port = server.sockets[0].getsockname()[1]
    await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", port)
    async with asyncio.timeout(30):
        running = asyncio.create_task(link.run())
        await acked.wait()
        append(spool, StreamKind.EMAIL, PUSHES[1])
        ended: Ended = await running
    server.close()
    assert (ended.drained, ended.server) == (True, "10.0.0.8:10000")
    assert (policies[0].policy["version"], welcomes[0].asks) == (4, [])
    assert {type(frame).__name__ for frame in old.heard} <= {"Hello", "Push", "Ping", "Pong", "Goodbye"}
    assert [frame.envelopes for frame in old.heard if isinstance(frame, Push)] == PUSHES
    assert spool.backlog().envelopes == 0


def append(spool: MemorySpool, kind: StreamKind, envelopes: tuple[bytes, ...]) -> None:
    """As a recorder does."""
    for number, envelope in enumerate(envelopes):
        spool.append(envelope, Mark(kind, bytes([kind]) * 32, number, 0, 0))


async def test_a_person_reads_why_the_server_refuses() -> None:
    """An old gateway that says little: the agent's own words say what to do."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        payload = bytes([13]) + json.dumps({"code": 4, "reason": "no common version"}).encode()
        writer.write(len(payload).to_bytes(4, "big") + payload)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    events = LinkEvents(lambda _: None, lambda _: None)
    link = Link(make_hello(str(AGENT), [], 1), MemorySpool(), UplinkSettings(), SystemClock(), events)
    port = server.sockets[0].getsockname()[1]
    await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", port)
    async with asyncio.timeout(30):
        ended = await link.run()
    server.close()
    assert ended.code == GoodbyeCode.VERSION
    assert "update the older one" in ended.reason
