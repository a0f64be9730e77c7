"""The agent port over real TLS: what an agent pushes is stored before it is acknowledged, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.agents import AgentLimits
from gateway.policy import Told
from gateway.publisher import Outcome
from schemas.frames import Ack, Drain, Goodbye, GoodbyeCode, NackCode, Ping, Policy, Pong, Welcome
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.topics import MAX_ENVELOPE_BYTES
from tests.gateway.conftest import Stage, open_stage
from tests.gateway.endpoint import Credentials, Endpoint, goodbye_code, nacks, seal_for

QUICK = AgentLimits(
    hello_timeout_s=0.2, handshake_timeout_s=0.5, ping_after_s=0.1, idle_timeout_s=0.4, sweep_interval_s=0.05,
    stuck_timeout_s=0.2, drain_timeout_s=0.5, goodbye_timeout_s=0.5,
)  # fmt: skip


async def test_an_envelope_reaches_its_topic_untouched(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """Value, key and headers of the Kafka record are as the contract says; the Ack follows it."""
    envelope = seal_for(ana.agent_id, identity, StreamKind.SCREEN).seal(b"x" * 5000, capture_ms=5)
    endpoint = await stage.greet(ana)
    endpoint.push(envelope)
    await endpoint.receive_until(1)
    (record,) = [record for record in stage.publisher.records if record.topic == "envelopes.screen"]
    headers = dict(record.headers)
    assert record.value == envelope
    assert record.key == str(ana.agent_id).encode()
    assert headers["content-type"] == b"application/vnd.sealstream.envelope.v1"
    assert (headers["user"], headers["computer"]) == (b"ana", b"desk-7")
    assert headers["received-ms"].isdigit()


async def test_streams_go_to_their_topics(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """Each kind has a topic; the order within one is kept."""
    endpoint = await stage.greet(ana)
    epochs = {kind: seal_for(ana.agent_id, identity, kind) for kind in StreamKind}
    sent = {kind: [epoch.seal(bytes([n]), capture_ms=n) for n in range(3)] for kind, epoch in epochs.items()}
    for kind in StreamKind:
        endpoint.push(*sent[kind])
    await endpoint.receive_until(18)
    assert {kind: stage.stored(f"envelopes.{kind.label}") for kind in StreamKind} == sent


async def test_nothing_is_acknowledged_before_it_is_stored(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """While Kafka holds back there is no Ack; when it stores two of three, the Ack says two."""
    epoch = seal_for(ana.agent_id, identity)
    endpoint = await stage.greet(ana)
    await stage.publisher.flush(5)
    stage.publisher.holding = True
    endpoint.push(*(epoch.seal(b"a", capture_ms=1) for _ in range(3)))
    endpoint.send(Ping(7))
    assert await endpoint.receive() == Pong(7)
    assert stage.publisher.outstanding == 3
    stage.publisher.release(2)
    ack = await endpoint.receive()
    assert isinstance(ack, Ack)
    assert ack.next == 2


async def test_the_ack_is_the_contiguous_prefix(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """A later envelope that is stored first is not acknowledged before the earlier one."""
    epoch = seal_for(ana.agent_id, identity)
    endpoint = await stage.greet(ana)
    await stage.publisher.flush(5)
    stage.publisher.holding = True
    endpoint.push(*(epoch.seal(b"a", capture_ms=1) for _ in range(2)))
    endpoint.send(Ping(1))
    await endpoint.receive()
    stage.publisher._waiting.rotate(1)
    stage.publisher.release(1)
    ack = await endpoint.receive()
    assert isinstance(ack, Ack)
    assert ack.next == 0
    assert ack.credit > endpoint.wire.pushed_bytes
    stage.publisher.release()
    assert [frame for frame in await endpoint.receive_until(2) if isinstance(frame, Ack)][-1].next == 2


async def test_a_second_hello_ends_the_connection(stage: Stage, ana: Credentials) -> None:
    """Hello is legal once."""
    endpoint = await stage.greet(ana)
    hello = Endpoint(endpoint.reader, endpoint.writer).wire.send(ana.hello())
    endpoint.writer.write(hello)
    assert goodbye_code(await endpoint.ending()) == GoodbyeCode.PROTOCOL


async def test_no_common_version(stage: Stage, ana: Credentials) -> None:
    """An agent of another protocol gets told so."""
    endpoint = await stage.connect(ana)
    endpoint.send(ana.hello(versions=[9]))
    assert goodbye_code(await endpoint.ending()) == GoodbyeCode.VERSION


async def test_junk_and_oversize_are_nacked(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """What is no envelope, or too large a one, is refused alone."""
    good = seal_for(ana.agent_id, identity).seal(b"a", capture_ms=1)
    endpoint = await stage.greet(ana)
    endpoint.push(b"junk", good[:-1], good, bytes(MAX_ENVELOPE_BYTES + 1))
    frames = await endpoint.receive_until(4)
    assert [(nack.index, nack.code) for nack in nacks(frames)] == [
        (0, NackCode.MALFORMED), (1, NackCode.MALFORMED), (3, NackCode.TOO_LARGE),
    ]  # fmt: skip
    assert stage.stored("envelopes.keystrokes") == [good]


async def test_what_the_broker_refuses_is_nacked(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """A record that Kafka can never take is settled by a Nack, so that it does not come for ever."""
    endpoint = await stage.greet(ana)
    await stage.publisher.flush(5)
    stage.publisher.holding = True
    endpoint.push(seal_for(ana.agent_id, identity).seal(b"a", capture_ms=1))
    endpoint.send(Ping(1))
    await endpoint.receive()
    stage.publisher.release(outcome=Outcome.REFUSED)
    assert [nack.code for nack in nacks(await endpoint.receive_until(1))] == [NackCode.TOO_LARGE]


async def test_a_failed_delivery_is_never_acknowledged(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """The connection ends without an Ack of it, and nothing stays counted as held."""
    epoch = seal_for(ana.agent_id, identity)
    endpoint = await stage.greet(ana)
    await stage.publisher.flush(5)
    stage.publisher.holding = True
    endpoint.push(*(epoch.seal(b"a", capture_ms=1) for _ in range(3)))
    endpoint.send(Ping(1))
    await endpoint.receive()
    stage.publisher.release(1, Outcome.FAILED)
    stage.publisher.release()
    frames = await endpoint.ending()
    assert goodbye_code(frames) == GoodbyeCode.OVERLOADED
    assert not [frame for frame in frames if isinstance(frame, Ack) and frame.next]
    assert stage.port.budget.held == 0


async def test_byte_by_byte(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """A connection that trickles is served like any other."""
    envelope = seal_for(ana.agent_id, identity).seal(b"abc", capture_ms=1)
    endpoint = await stage.connect(ana)
    for byte in endpoint.wire.send(ana.hello()):
        endpoint.writer.write(bytes([byte]))
        await endpoint.writer.drain()
    assert isinstance(await endpoint.receive(), Welcome)
    for byte in endpoint.wire.push((envelope,)):
        endpoint.writer.write(bytes([byte]))
        await endpoint.writer.drain()
    await endpoint.receive_until(1)
    assert stage.stored("envelopes.keystrokes") == [envelope]
    assert stage.port.budget.held == 0


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, bytes(64), b"\0\0\0\x09\x03" + bytes(8)])
async def test_junk_ends_the_connection(stage: Stage, ana: Credentials, junk: bytes) -> None:
    """Bytes that are no frame, or one out of turn, get a Goodbye."""
    endpoint = await stage.connect(ana)
    endpoint.writer.write(junk)
    assert goodbye_code(await endpoint.ending()) == GoodbyeCode.PROTOCOL
    assert stage.port.connections == 0 or await _until(lambda: stage.port.connections == 0)


async def test_no_certificate_no_connection(stage: Stage, ana: Credentials) -> None:
    """Without a certificate of our CA the handshake fails."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(ana.ca)
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.number, ssl=bare, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert await reader.read(1) == b""
    writer.close()
    assert stage.port.connections == 0


async def test_connected_and_disconnected_are_told(stage: Stage, ana: Credentials) -> None:
    """The lifecycle topic learns who came, from where, and that it went."""
    endpoint = await stage.greet(ana)
    endpoint.send(Goodbye(0, "bye"))
    await endpoint.ending()
    await _until(lambda: len(stage.lifecycle()) == 2)
    came, went = stage.lifecycle()
    assert (came["event"], went["event"]) == ("connected", "disconnected")
    assert came["id"] == went["id"] == str(ana.agent_id)
    assert came["detail"]["user"] == "ana"
    assert came["detail"]["suite"].startswith("TLS_")


async def test_a_newer_connection_replaces_the_older(stage: Stage, ana: Credentials) -> None:
    """An agent whose old connection is half dead is served on its new one."""
    old = await stage.greet(ana)
    new = await stage.greet(ana)
    assert goodbye_code(await old.ending()) == GoodbyeCode.DONE
    new.send(Ping(3))
    assert await new.receive() == Pong(3)
    await stage.publisher.flush(5)
    assert [fact["event"] for fact in stage.lifecycle()] == ["connected", "connected"]


async def test_a_revoked_agent_may_not_connect(pki: Path, ana: Credentials) -> None:
    """It is refused right after the handshake, and audited."""
    async with open_stage(pki, revoked=frozenset({str(ana.agent_id)})) as stage:
        endpoint = await stage.connect(ana)
        assert goodbye_code(await endpoint.ending()) == GoodbyeCode.REFUSED
        await stage.publisher.flush(5)
        assert stage.audit()[0]["detail"]["where"] == "revoked"


async def test_policy_changes_are_told(stage: Stage, ana: Credentials) -> None:
    """A connected agent gets the new policy at once."""
    endpoint = await stage.greet(ana)
    stage.told.append(Told({"version": 2, "streams": []}, ["PEM"]))
    stage.port.tell_policy()
    assert await endpoint.receive() == Policy({"version": 2, "streams": []}, ["PEM"])


async def test_drain_acknowledges_what_is_under_way(pki: Path, ana: Credentials, identity: Identity) -> None:
    """Drain comes first, then the Ack of what was stored meanwhile, then Goodbye."""
    epoch = seal_for(ana.agent_id, identity)
    async with open_stage(pki) as stage:
        endpoint = await stage.greet(ana)
        await stage.publisher.flush(5)
        stage.publisher.holding = True
        endpoint.push(epoch.seal(b"a", capture_ms=1))
        endpoint.send(Ping(1))
        await endpoint.receive()
        draining = asyncio.create_task(stage.port.drain())
        assert isinstance(await endpoint.receive(), Drain)
        stage.publisher.release()
        frames = await endpoint.ending()
        await draining
        assert [frame.next for frame in frames if isinstance(frame, Ack)] == [1]
        assert goodbye_code(frames) == GoodbyeCode.DRAINING


async def test_drain_leaves_what_is_not_stored_unacknowledged(pki: Path, ana: Credentials, identity: Identity) -> None:
    """When Kafka does not answer in time, the agent keeps the envelope: it hears no Ack."""
    async with open_stage(pki, limits=QUICK) as stage:
        endpoint = await stage.greet(ana)
        await stage.publisher.flush(5)
        stage.publisher.holding = True
        endpoint.push(seal_for(ana.agent_id, identity).seal(b"a", capture_ms=1))
        draining = asyncio.create_task(stage.port.drain())
        frames = await endpoint.ending()
        await draining
        assert not [frame for frame in frames if isinstance(frame, Ack)]
        assert goodbye_code(frames) == GoodbyeCode.DRAINING


async def test_gaps_and_repeats_are_counted(stage: Stage, ana: Credentials, identity: Identity) -> None:
    """A hole in an epoch shows in the metrics, and is stored all the same; so is what comes twice."""
    epoch = seal_for(ana.agent_id, identity)
    first, _lost, third = (epoch.seal(b"a", capture_ms=1) for _ in range(3))
    endpoint = await stage.greet(ana)
    endpoint.push(first, third, first)
    await endpoint.receive_until(3)
    assert stage.count("gateway_sequence_gaps_total") == 1
    assert stage.count("gateway_repeated_total") == 1
    assert stage.stored("envelopes.keystrokes") == [first, third, first]


async def _until(fact: Callable[[], bool]) -> bool:
    """Wait for a fact of the port that no frame tells of; at most ten seconds."""
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - the port tells nobody
            await asyncio.sleep(0.005)
    return True
