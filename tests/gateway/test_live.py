"""Live viewing through the gateway: who may, what they get, what the agent is asked, and what is left in the audit."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.live import port as live_port
from gateway.live import room
from gateway.live.sound import open_port
from gateway.live.tickets import Ticket, Tickets
from gateway.policy import Told
from schemas.audio_packet import AudioSealer, Suite
from schemas.errors import ConfigError, MalformedError, UnavailableError
from schemas.frames import AudioOpen, LiveStart, LiveStop
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.live import Listen, Watch, dump_viewer_key
from schemas.opening import Opener
from schemas.seal import Epoch
from tests.agent.patience import wait_until
from tests.gateway.endpoint import Credentials, Endpoint
from tests.gateway.live_stage import POLICY, LiveStage, Viewer, open_live_stage, receive_frame, state

SERVER, VIEWER, OTHER = (Identity.generate(2048) for _ in range(3))
KEY = dump_viewer_key(VIEWER.recipient)


@pytest.fixture
async def stage(pki: Path, tmp_path: Path) -> AsyncIterator[LiveStage]:
    """Both ports, with ordinary settings."""
    async with open_live_stage(pki, tmp_path) as opened:
        yield opened


def epoch_for(agent: Credentials, *identities: Identity, kind: StreamKind = StreamKind.SCREEN, **more: bool) -> Epoch:
    recipients = [identity.recipient for identity in identities]
    return Epoch.begin(agent_id=agent.agent_id.bytes, kind=kind, recipients=recipients, created_ms=1, **more)


async def refused(viewer: Viewer) -> str:
    """Why a viewer was sent away."""
    told = await viewer.status("refused")
    with pytest.raises(ConnectionClosed):
        await viewer.message()
    assert viewer.socket.close_code == live_port.REFUSED
    return str(told["reason"])


async def test_a_viewer_gets_the_envelopes_that_are_for_them_sealed(stage: LiveStage, ana: Credentials) -> None:
    """Those of the screen to whose epoch their key was added, as they were pushed; Kafka has all of them."""
    endpoint = await stage.greet(ana)
    viewer = await stage.watch(ana, viewer_key=KEY)
    start = await receive_frame(endpoint, LiveStart)
    assert Watch.from_detail(start.detail) == Watch((KEY,), 1, 60, fresh=True)
    endpoint.send(state())
    await viewer.status("state", state="on")
    before, live = epoch_for(ana, SERVER), epoch_for(ana, SERVER, VIEWER)
    mail = epoch_for(ana, SERVER, VIEWER, kind=StreamKind.EMAIL)
    pushed = [before.seal(b"old", capture_ms=1), mail.seal(b"mail", capture_ms=1), live.seal(b"new", capture_ms=1)]
    endpoint.push(*pushed)
    envelope = await viewer.content()
    assert envelope == pushed[2]
    assert Opener([VIEWER]).open(envelope).plaintext == b"new"
    await endpoint.receive_until(3)
    assert len([r for r in stage.publisher.records if r.topic.startswith("envelopes.")]) == 3


async def test_what_is_out_of_sight_is_not_sent(
    stage: LiveStage, ana: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view goes on, for others too; in sight again it begins with a whole frame that the agent is asked for."""
    monkeypatch.setattr(room, "FRESH_S", 0.05)
    endpoint = await stage.greet(ana)
    viewer = await stage.watch(ana, viewer_key=KEY)
    other = await stage.watch(ana, viewer_key=KEY)
    epoch = epoch_for(ana, SERVER, VIEWER)
    envelopes = [epoch.seal(bytes((number,)), capture_ms=1) for number in range(3)]
    while Watch.from_detail((await receive_frame(endpoint, LiveStart)).detail).viewers < 2:
        pass
    for words in ('{"hold": true}', '{"hold": true}', '{"ping": 1}'):
        await viewer.socket.send(words)
    await viewer.status("pong")
    endpoint.push(envelopes[0])
    assert await other.content() == envelopes[0]
    await viewer.socket.send('{"hold": false}')
    await viewer.status("behind")
    start = await receive_frame(endpoint, LiveStart)
    assert Watch.from_detail(start.detail) == Watch((KEY,), 2, 60, fresh=True)
    endpoint.push(*envelopes[1:])
    assert [await viewer.content() for _ in envelopes[1:]] == envelopes[1:]


async def test_end_to_end_screens_are_forwarded_as_they_are(stage: LiveStage, ana: Credentials) -> None:
    """Sealed to the officer alone; what was captured long before is left out."""
    endpoint = await stage.greet(ana)
    viewer = await stage.watch(ana, viewer_key=KEY)
    start = await receive_frame(endpoint, LiveStart)
    assert start.detail["fresh"]
    sealed = epoch_for(ana, OTHER, end_to_end=True)
    old, new = sealed.seal(b"a", capture_ms=1), sealed.seal(b"b", capture_ms=live_port.now_ms())
    endpoint.push(old, new)
    assert await viewer.content() == new


async def test_each_who_comes_and_goes_is_told_to_the_agent(stage: LiveStage, ana: Credentials) -> None:
    """All keys each time; a stop after the last; and the audit has how long each one watched."""
    endpoint = await stage.greet(ana)
    one = await stage.watch(ana, viewer_key=KEY)
    assert (await receive_frame(endpoint, LiveStart)).detail["viewers"] == 1
    two = await stage.watch(ana, viewer_key=dump_viewer_key(OTHER.recipient))
    detail = (await receive_frame(endpoint, LiveStart)).detail
    assert set(detail["viewer_keys"]) == {KEY, dump_viewer_key(OTHER.recipient)}
    assert stage.hub.viewers(str(ana.agent_id), "screen") == 2
    await one.socket.close()
    assert (await receive_frame(endpoint, LiveStart)).detail["viewer_keys"] == [dump_viewer_key(OTHER.recipient)]
    await two.socket.close()
    assert (await receive_frame(endpoint, LiveStop)).detail == {"stream": "screen"}
    await wait_until(lambda: len(stage.audit()) == 2)
    entry = stage.audit()[-1]
    assert (entry["action"], entry["actor"], entry["purpose"]) == ("watch", "otto@console", "a test")
    assert entry["detail"]["persons"] == "ana"
    assert float(entry["detail"]["seconds"]) >= 0
    assert entry["detail"]["reason"] == "the viewer left"


async def test_a_viewer_stays_while_the_agent_is_away_and_goes_on_when_it_is_back(
    stage: LiveStage, ana: Credentials
) -> None:
    """The new connection is asked at once."""
    endpoint = await stage.greet(ana)
    viewer = await stage.watch(ana, viewer_key=KEY)
    await receive_frame(endpoint, LiveStart)
    await endpoint.close()
    await viewer.status("state", state="away")
    endpoint = await stage.greet(ana)
    assert (await receive_frame(endpoint, LiveStart)).detail["fresh"]
    await viewer.status("state", state="asked")
    endpoint.send(state(state="refused", reason="recording is paused"))
    assert (await viewer.status("state", state="refused"))["reason"] == "recording is paused"


async def test_what_an_agent_says_of_what_nobody_asked_is_nothing(stage: LiveStage, ana: Credentials) -> None:
    """Neither of another stream, nor before anybody came."""
    endpoint = await stage.greet(ana)
    endpoint.send(state("email"))
    endpoint.send(state())
    endpoint.push(epoch_for(ana, SERVER).seal(b"a", capture_ms=1))
    await endpoint.receive_until(1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"until_ms": 1}, "expired"),
        ({"agent_id": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"}, "not connected"),
        ({"origin": "https://other.example.org"}, "another site"),
        ({"origin": "https://console.example.org:8443"}, "another site"),
    ],
)
async def test_a_ticket_that_is_not_good_shows_nothing(
    stage: LiveStage, ana: Credentials, changes: dict[str, object], reason: str
) -> None:
    """And the viewer is told why."""
    await stage.greet(ana)
    assert reason in await refused(await stage.watch(ana, **changes))


@pytest.mark.parametrize("first", ["", "{}", '{"ticket": 1}', '{"ticket": "a.b"}', '{"ticket": "é"}', "[" * 5000])
async def test_what_is_no_ticket_is_refused(stage: LiveStage, first: str) -> None:
    """Whatever it is."""
    assert await refused(await stage.open(first))


async def test_bytes_are_no_ticket(stage: LiveStage) -> None:
    """The connection ends."""
    viewer = await stage.open(b"\0\1")
    with pytest.raises((ConnectionClosed, AssertionError)):
        await viewer.content()


async def test_a_ticket_is_good_once(stage: LiveStage, ana: Credentials) -> None:
    """A second websocket with it is refused."""
    await stage.greet(ana)
    text = json.dumps({"ticket": stage.tickets.issue(stage.ticket(ana))})
    await (await stage.open(text)).status("state")
    assert "used" in await refused(await stage.open(text))


async def test_who_is_no_browser_says_no_origin(stage: LiveStage, ana: Credentials) -> None:
    """A ticket that was got without a page is good without one."""
    await stage.greet(ana)
    text = json.dumps({"ticket": stage.tickets.issue(stage.ticket(ana, origin=""))})
    await (await stage.open(text, origin=None)).status("state")


async def test_no_ticket_in_time_ends_the_connection(
    pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that says nothing holds no place."""
    monkeypatch.setattr(live_port, "TICKET_S", 0.05)
    async with open_live_stage(pki, tmp_path) as stage:
        url = f"wss://127.0.0.1:{stage.live_number}{live_port.PATH}"
        assert "ticket" in await refused(Viewer(await connect(url, ssl=stage.trust)))


async def test_there_are_so_many_places_and_no_more(
    pki: Path, tmp_path: Path, ana: Credentials, enrol: Callable[[], Credentials]
) -> None:
    """For one agent, and for all."""
    async with open_live_stage(pki, tmp_path, viewers=2, viewers_each=1) as stage:
        await stage.greet(ana)
        await (await stage.watch(ana)).status("state")
        assert "no more" in await refused(await stage.watch(ana))
        heard = await stage.watch(ana, what="audio")
        await heard.status("state")
        ben = enrol()
        await stage.greet(ben)
        assert "later" in await refused(await stage.watch(ben))


async def test_a_policy_that_does_not_list_it_ends_it(
    stage: LiveStage, ana: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start, and in the midst of it."""
    monkeypatch.setattr(live_port, "CHECK_S", 0.05)
    await stage.greet(ana)
    viewer = await stage.watch(ana)
    await viewer.status("state")
    stage.told.append(Told({**POLICY, "live": ["audio"]}, []))
    assert "does not allow" in (await viewer.status("over"))["reason"]
    assert "does not allow" in await refused(await stage.watch(ana))
    stage.told.append(Told({**POLICY, "streams": []}, []))
    assert "does not record" in stage.hub.allows("screen")
    stage.told.append(Told({**POLICY, "paused": True}, []))
    assert "nothing is recorded" in stage.hub.allows("screen")


async def test_signing_out_ends_the_view(stage: LiveStage, ana: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time of a check."""
    monkeypatch.setattr(live_port, "CHECK_S", 0.05)
    await stage.greet(ana)
    viewer = await stage.watch(ana)
    await viewer.status("state")
    stage.lives.append(False)
    assert (await viewer.status("over"))["reason"] == "you are signed out, or may not see them any more"


async def test_the_longest_time_ends_the_view(pki: Path, tmp_path: Path, ana: Credentials) -> None:
    """Whatever is seen."""
    async with open_live_stage(pki, tmp_path, session_s=0.1) as stage:
        await stage.greet(ana)
        assert "longest" in (await (await stage.watch(ana)).status("over"))["reason"]


async def test_the_time_is_told_to_who_asks(stage: LiveStage, ana: Credentials) -> None:
    """What is not understood is passed over."""
    await stage.greet(ana, time_ms=live_port.now_ms() + 90_000)
    viewer = await stage.watch(ana)
    assert (await viewer.status("state"))["ahead_ms"] == pytest.approx(90_000, abs=2000)
    for text in ("junk", "{}", '{"ping": "x"}', '{"ping": 12.5}'):
        await viewer.socket.send(text)
    told = await viewer.status("pong")
    assert told["ping"] == 12.5
    assert told["server_ms"] == pytest.approx(live_port.now_ms(), abs=2000)


async def test_a_viewer_who_does_not_read_begins_anew(pki: Path, tmp_path: Path, ana: Credentials) -> None:
    """What waits is dropped at the limit, the agent is asked for a whole frame, and others are not held up."""
    async with open_live_stage(pki, tmp_path, queue_bytes=1 << 20) as stage:
        endpoint = await stage.greet(ana)
        view = stage.hub.enter(stage.ticket(ana, viewer_key=KEY))
        await receive_frame(endpoint, LiveStart)
        epoch = epoch_for(ana, SERVER, VIEWER)
        for number in range(4):
            endpoint.push(epoch.seal(bytes(400_000), capture_ms=1))
            await endpoint.receive_until(number + 1) if number < 3 else None
        assert (await receive_frame(endpoint, LiveStart)).detail["fresh"]
        assert stage.count("behind") == 1
        assert view.dropped == 3
        stage.hub.leave(view)
        stage.hub.leave(view)


async def heard(endpoint: Endpoint) -> tuple[Listen, AudioSealer]:
    """What an agent is told when somebody wants to hear it."""
    listen = Listen.from_detail((await receive_frame(endpoint, AudioOpen)).detail)
    return listen, AudioSealer(listen.suite, listen.stream_id, listen.key, listen.salt)


@pytest.mark.parametrize("cipher", ["chacha20-poly1305", "blowfish"])
async def test_sound_comes_by_udp_and_goes_on_to_the_listener(
    pki: Path, tmp_path: Path, ana: Credentials, cipher: str
) -> None:
    """In the suite of the setting; what is forged, repeated or from elsewhere is counted and dropped."""
    async with open_live_stage(pki, tmp_path, audio_cipher=cipher) as stage:
        endpoint = await stage.greet(ana)
        listener = await stage.watch(ana, what="audio")
        listen, sealer = await heard(endpoint)
        assert listen.suite == (Suite.BLOWFISH_CTR_HMAC_SHA256 if cipher == "blowfish" else Suite.CHACHA20_POLY1305)
        with udp(listen.port) as agent, udp(listen.port, "127.0.0.2") as stranger:
            first, second = sealer.seal(b"opus 0", 1000), sealer.seal(b"opus 1", 1020)
            stranger.send(first)
            for packet in (second, second, first[:-1] + bytes([first[-1] ^ 1]), b"short", first):
                agent.send(packet)
            assert await listener.content() == (1).to_bytes(6, "big") + (1020).to_bytes(6, "big") + b"opus 1"
            assert await listener.content() == (0).to_bytes(6, "big") + (1000).to_bytes(6, "big") + b"opus 0"
        events = ("sound", "sound_repeated", "sound_forged", "sound_length", "sound_other_sender")
        assert [stage.count(event) for event in events] == [2, 1, 1, 1, 1]
        await listener.socket.close()
        await receive_frame(endpoint, LiveStop)
        with udp(listen.port) as late, pytest.raises(ConnectionRefusedError):  # noqa: PT012 - the second send tells
            late.send(first)
            await asyncio.sleep(0.05)
            late.send(first)


async def test_an_agent_that_comes_back_gets_another_key(stage: LiveStage, ana: Credentials) -> None:
    """Its sequence begins anew: never twice under one key."""
    endpoint = await stage.greet(ana)
    listener = await stage.watch(ana, what="audio")
    before, _ = await heard(endpoint)
    await endpoint.close()
    await listener.status("state", state="away")
    after, sealer = await heard(await stage.greet(ana))
    assert before.key != after.key
    with udp(after.port) as agent:
        agent.send(sealer.seal(b"again", 1))
        assert (await listener.content())[12:] == b"again"


def udp(port: int, source: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def test_ports_for_sound_are_of_the_range_and_free() -> None:
    """When none is, that is told."""
    with open_port("127.0.0.1", 40_000, 40_020) as sock:
        number = sock.getsockname()[1]
        assert 40_000 <= number <= 40_020
        with pytest.raises(UnavailableError, match=r"\[live\]"):
            open_port("127.0.0.1", number, number)


def test_tickets_of_another_process_are_good_and_of_another_key_are_not(tmp_path: Path) -> None:
    """The key is made once, whoever is first; a damaged one is told."""
    path = tmp_path / "secrets" / "live.key"
    one, two, other = Tickets(path), Tickets(path), Tickets(tmp_path / "other.key")
    for tickets in (one, two, other):
        tickets.load()
    assert path.stat().st_mode & 0o077 == 0
    ticket = Ticket(*["x"] * 12, until_ms=2000)
    assert two.check(one.issue(ticket), 1000) == ticket
    with pytest.raises(MalformedError, match="not one of ours"):
        other.check(one.issue(ticket), 1000)
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="damaged"):
        Tickets(path).load()
    with pytest.raises(ConfigError, match="not loaded"):
        Tickets(path).issue(ticket)
