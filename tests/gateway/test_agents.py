"""The agent port over real TLS: what an agent pushes is stored before it is acknowledged, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

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


async def test_credit_runs_out_when_kafka_is_slow(pki: Path, ana: Credentials, identity: Identity) -> None:
    """An agent that has used its credit may push no more until something is stored."""
    epoch = seal_for(ana.agent_id, identity)
    async with open_stage(pki, budget=8 << 20) as stage:
        endpoint = await stage.greet(ana)
        await stage.publisher.flush(5)
        stage.publisher.holding = True
        envelopes = []
        while endpoint.wire.credit_left > 600_000:
            envelopes.append(epoch.seal(bytes(500_000), capture_ms=1))
            endpoint.push(envelopes[-1])
        assert stage.port.budget.held <= 8 << 20
        endpoint.send(Ping(1))
        await endpoint.receive()
        stage.publisher.release()
        await endpoint.receive_until(len(envelopes))
        assert endpoint.wire.credit_left >= MAX_ENVELOPE_BYTES


async def test_beyond_credit_ends_that_connection_alone(
    stage: Stage, enrol: Callable[[], Credentials], identity: Identity
) -> None:
    """Who pushes more than its credit gets a Goodbye; its neighbour does not notice."""
    bad, good = enrol(), enrol()
    greedy, modest = await stage.greet(bad), await stage.greet(good)
    await stage.publisher.flush(5)
    stage.publisher.holding = True
    epoch = seal_for(bad.agent_id, identity)
    greedy.wire.credit = 1 << 40
    for _ in range(30):
        greedy.push(epoch.seal(bytes(900_000), capture_ms=1))
    assert goodbye_code(await greedy.ending()) == GoodbyeCode.PROTOCOL
    stage.publisher.holding = False
    stage.publisher.release()
    modest.push(seal_for(good.agent_id, identity).seal(b"a", capture_ms=1))
    await modest.receive_until(1)


async def test_another_agents_envelope_is_refused_and_audited(
    stage: Stage, enrol: Callable[[], Credentials], identity: Identity
) -> None:
    """It is nacked, never stored, and told once in the audit; what follows is stored."""
    ana, eve = enrol(), enrol()
    forged = seal_for(ana.agent_id, identity)
    endpoint = await stage.greet(eve)
    own = seal_for(eve.agent_id, identity).seal(b"own", capture_ms=1)
    endpoint.push(forged.seal(b"a", capture_ms=1), own, forged.seal(b"a", capture_ms=1))
    frames = await endpoint.receive_until(3)
    assert [(nack.index, nack.code) for nack in nacks(frames)] == [(0, NackCode.NOT_YOURS), (2, NackCode.NOT_YOURS)]
    assert stage.stored("envelopes.keystrokes") == [own]
    await stage.publisher.flush(5)
    (entry,) = stage.audit()
    assert (entry["action"], entry["target"], entry["outcome"]) == ("connect", str(eve.agent_id), "refused")
    assert entry["detail"]["claimed"] == str(ana.agent_id)


async def test_hello_must_name_the_certificates_agent(stage: Stage, ana: Credentials) -> None:
    """Another name gets Goodbye and an audit entry, and no lifecycle fact."""
    endpoint = await stage.connect(ana)
    endpoint.send(ana.hello(agent_id=str(uuid4())))
    assert goodbye_code(await endpoint.ending()) == GoodbyeCode.NOT_IDENTIFIED
    await stage.publisher.flush(5)
    assert len(stage.audit()) == 1
    assert stage.lifecycle() == []


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


async def test_who_says_nothing_is_let_go(pki: Path, ana: Credentials) -> None:
    """No Hello: Goodbye. A Hello and then silence: a Ping, and then Goodbye."""
    async with open_stage(pki, limits=QUICK) as stage:
        silent = await stage.connect(ana)
        assert goodbye_code(await silent.ending()) == GoodbyeCode.TIMEOUT
        endpoint = await stage.greet(ana)
        frames = await endpoint.ending()
        assert isinstance(frames[0], Ping)
        assert goodbye_code(frames) == GoodbyeCode.TIMEOUT


async def test_who_does_not_read_is_let_go(pki: Path, ana: Credentials, identity: Identity) -> None:
    """An agent that pushes and never reads its answers costs a bounded buffer, and then its connection."""
    epoch = seal_for(ana.agent_id, identity)
    async with open_stage(pki, limits=QUICK) as stage:
        endpoint = await stage.greet(ana)
        endpoint.writer.transport.pause_reading()
        pings = endpoint.wire.send(Ping(1)) * 20_000
        endpoint.push(epoch.seal(b"a", capture_ms=1))
        while stage.port.connections:
            endpoint.writer.write(pings)
            await asyncio.sleep(0.01)
            if endpoint.writer.transport.is_closing():
                break
        assert await _until(lambda: stage.port.connections == 0)


async def test_a_full_house_turns_away(pki: Path, enrol: Callable[[], Credentials]) -> None:
    """Beyond the limit a connection is closed before any TLS is spent on it."""
    async with open_stage(pki, limits=AgentLimits(max_connections=1)) as stage:
        await stage.greet(enrol())
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await stage.connect(enrol())
        assert stage.count("gateway_turned_away_total", "full") == 1


async def test_stalled_handshakes_keep_nobody_out(pki: Path, ana: Credentials) -> None:
    """Peers that open connections and say nothing give way to an agent."""
    async with open_stage(pki, limits=AgentLimits(max_handshakes=4, handshake_timeout_s=30)) as stage:
        stalled = [await asyncio.open_connection("127.0.0.1", stage.number) for _ in range(8)]
        endpoint = await stage.greet(ana)
        endpoint.send(Ping(3))
        assert await endpoint.receive() == Pong(3)
        for _, writer in stalled:
            writer.close()


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


async def test_memory_is_bounded_and_shared(pki: Path, enrol: Callable[[], Credentials], identity: Identity) -> None:
    """When the budget is used up nobody is read any more; when it is free again everybody is."""
    async with open_stage(pki, budget=4 << 20) as stage:
        agents = [enrol() for _ in range(8)]
        endpoints = [await stage.greet(agent) for agent in agents]
        await stage.publisher.flush(5)
        stage.publisher.holding = True
        for agent, endpoint in zip(agents, endpoints, strict=True):
            endpoint.push(seal_for(agent.agent_id, identity).seal(bytes(1_000_000), capture_ms=1))
        assert await _until(lambda: stage.port.budget.full and stage.port.budget.waiting > 0)
        assert stage.port.budget.held < (4 << 20) + 8 * 256 * 1024
        stage.publisher.holding = False
        stage.publisher.release()
        for endpoint in endpoints:
            await endpoint.receive_until(1)
        assert stage.port.budget.held == 0
        assert len(stage.stored("envelopes.keystrokes")) == 8


async def _until(fact: Callable[[], bool]) -> bool:
    """Wait for a fact of the port that no frame tells of; at most ten seconds."""
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110 - the port tells nobody
            await asyncio.sleep(0.005)
    return True
