"""Being watched and heard: only as the policy says, while it is asked for, sealed to the right people, and shown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.clock import ManualClock
from agent.key_sets import KeySets
from agent.keyring import Keyring
from agent.live import Live
from agent.memory_spool import MemorySpool
from agent.policy import MAX_FRAMES_PER_SECOND, Policy
from agent.recorder import Recorder
from agent.settings import RecorderSettings
from agent.source import CurrentPolicy, Emit, Tap
from schemas.audio_packet import AudioOpener, Suite
from schemas.envelope import EpochFlags, peek
from schemas.errors import MalformedError
from schemas.frames import AudioOpen, LiveStart, LiveState, LiveStop
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.live import Listen, Watch, dump_viewer_key
from schemas.opening import Opener
from schemas.records import Record
from schemas.tiles import FrameEncoder
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until
from tests.agent.test_agent import Windows, running, window

SERVER, OFFICER, VIEWER, OTHER = (Identity.generate(2048) for _ in range(4))
POLICY = Policy(version=1, streams=frozenset({"screen", "audio"}), live=frozenset({"screen", "audio"}))


class Screen:
    """A source of screens that notes when it is to begin anew."""

    kind = StreamKind.SCREEN
    name = "screen"

    def __init__(self) -> None:
        self.renewed = 0

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        await asyncio.Event().wait()

    def renew(self) -> None:
        self.renewed += 1


class Microphone:
    """A source of sound that can be heard."""

    kind = StreamKind.AUDIO
    name = "audio"

    def __init__(self) -> None:
        self.taps: set[Tap] = set()

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        await asyncio.Event().wait()

    def renew(self) -> None:
        """Nothing."""


class Sign:
    """What stands on the person's screen."""

    def __init__(self) -> None:
        self.text = ""

    def show(self, text: str) -> None:
        self.text = text


class Way:
    """The connection by which it was asked for."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, frame: LiveState) -> None:
        self.told.append(frame.detail)

    @property
    def last(self) -> tuple[str, str]:
        return self.told[-1]["state"], self.told[-1]["reason"]


class Stage:
    """A recorder and what watches it; time moves when the test says so."""

    def __init__(self, kek_file: Path, policy: Policy = POLICY) -> None:
        self.clock = ManualClock()
        self.spool = MemorySpool()
        keyring = Keyring([SERVER.recipient], kek_file, KeySets(""))
        settings = RecorderSettings(segment_ms=1000)
        self.recorder = Recorder(
            agent_id=bytes(16), settings=settings, spool=self.spool, keyring=keyring, policy=policy, clock=self.clock
        )
        self.screen, self.microphone = Screen(), Microphone()
        self.emit = self.recorder.emit_for(self.screen)
        self.sign, self.way = Sign(), Way()
        self.live = Live(self.recorder, [self.screen, self.microphone], self.clock, self.sign)

    def watch(self, *viewers: Identity, fresh: bool = False, lease_s: float = 60) -> None:
        keys = tuple(dump_viewer_key(viewer.recipient) for viewer in viewers)
        watch = Watch(keys, max(1, len(viewers)), lease_s, fresh)
        self.live.take(LiveStart(watch.to_detail()), self.way)

    async def frame(self) -> bytes:
        """Record one; the envelope of it, which must be there at once."""
        before = self.spool.backlog().envelopes
        await self.emit(picture(self.clock.now_us()))
        assert self.spool.backlog().envelopes == before + 1
        return self.envelopes[-1]

    @property
    def envelopes(self) -> list[bytes]:
        self.spool.rewind()
        return [lent.envelope for lent in self.spool.take(1 << 30)]

    def apply(self, policy: Policy) -> None:
        self.recorder.apply(policy)
        self.live.check()


def picture(time_us: int) -> Record:
    """A key frame of one dot."""
    frame = FrameEncoder(0).encode(bytearray(64 * 64 * 4), 64, 64, time_us=time_us, application="", title="")
    assert frame is not None
    return frame


def opens(identity: Identity, envelope: bytes) -> bool:
    return Opener([identity]).can_open(peek(envelope).epoch)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """One that records screens for the server."""
    stage = Stage(tmp_path / "kek.pem")
    yield stage
    stage.live.drop()
    await stage.recorder.close()


async def test_a_viewer_opens_what_comes_from_now_on_and_nothing_else(stage: Stage) -> None:
    """Their key is in the epochs of their viewing alone; the server's is in all; each frame is sealed at once."""
    await stage.emit(picture(1))
    stage.watch(VIEWER)
    assert stage.screen.renewed
    seen = await stage.frame()
    assert opens(VIEWER, seen)
    assert Opener([VIEWER]).open(seen).plaintext
    stage.live.take(LiveStop({"stream": "screen"}), stage.way)
    await stage.emit(picture(2))
    await stage.recorder.flush()
    before, *_, after = stage.envelopes
    assert not opens(VIEWER, before)
    assert not opens(VIEWER, after)
    assert all(opens(SERVER, envelope) for envelope in stage.envelopes)


async def test_who_comes_and_goes_makes_a_new_epoch_each_time(stage: Stage) -> None:
    """Nobody opens a frame that was not for them."""
    stage.watch(VIEWER)
    one = await stage.frame()
    stage.watch(VIEWER, OTHER)
    both = await stage.frame()
    stage.watch(OTHER)
    other = await stage.frame()
    assert [opens(VIEWER, frame) for frame in (one, both, other)] == [True, True, False]
    assert [opens(OTHER, frame) for frame in (one, both, other)] == [False, True, True]


async def test_the_same_viewers_again_are_a_lease_and_no_new_epoch(stage: Stage) -> None:
    """Unless a frame that stands by itself is wanted, nothing begins anew."""
    stage.watch(VIEWER, lease_s=10)
    one, renewed = await stage.frame(), stage.screen.renewed
    await stage.clock.advance(9)
    stage.watch(VIEWER, lease_s=10)
    await stage.clock.advance(9)
    two = await stage.frame()
    assert peek(one).epoch.epoch_id == peek(two).epoch.epoch_id
    assert stage.screen.renewed == renewed
    stage.watch(VIEWER, fresh=True, lease_s=10)
    assert stage.screen.renewed == renewed + 1
    await stage.clock.advance(10)
    assert stage.live.status() == {}
    assert stage.way.last == ("off", "the server asked for no more")


async def test_an_end_to_end_screen_gets_no_key_that_the_server_names(tmp_path: Path) -> None:
    """Its epochs are sealed to the officers' KEKs alone, watched or not, however often it is asked."""
    kek_file = tmp_path / "kek.pem"
    kek_file.write_bytes(OFFICER.recipient.to_pem())
    stage = Stage(kek_file, replace(POLICY, end_to_end=frozenset({"screen"})))
    for viewers in ([VIEWER], [VIEWER, SERVER], []):
        stage.watch(*viewers, fresh=True)
        epoch = peek(await stage.frame()).epoch
        assert epoch.flags & EpochFlags.END_TO_END
        assert epoch.key_ids == (OFFICER.key_id,)
    assert stage.way.last == ("on", "")
    assert stage.sign.text


async def test_sealing_end_to_end_from_now_on_shuts_the_viewer_out(tmp_path: Path) -> None:
    """A policy that changes while somebody watches takes their key out with the server's."""
    kek_file = tmp_path / "kek.pem"
    kek_file.write_bytes(OFFICER.recipient.to_pem())
    stage = Stage(kek_file)
    stage.watch(VIEWER)
    assert opens(VIEWER, await stage.frame())
    stage.apply(replace(POLICY, version=2, end_to_end=frozenset({"screen"})))
    assert peek(await stage.frame()).epoch.key_ids == (OFFICER.key_id,)


async def test_a_watched_screen_is_looked_at_as_often_as_any_may_be(stage: Stage) -> None:
    """While it lasts, and not above what no policy may exceed."""
    assert stage.recorder.current_policy().max_frames_per_second == 1
    stage.watch(VIEWER)
    assert stage.recorder.current_policy().max_frames_per_second == MAX_FRAMES_PER_SECOND
    stage.live.drop()
    assert stage.recorder.current_policy().max_frames_per_second == 1


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (replace(POLICY, live=frozenset({"audio"})), "the policy does not allow live screen"),
        (replace(POLICY, streams=frozenset({"audio"})), "the policy does not record screen"),
        (replace(POLICY, paused=True), "recording is paused"),
    ],
)
async def test_what_the_policy_does_not_allow_is_refused_and_ended(stage: Stage, policy: Policy, reason: str) -> None:
    """From the start, and in the midst of it."""
    stage.watch(VIEWER)
    assert "watched live" in stage.sign.text
    stage.apply(policy)
    assert stage.way.last == ("off", reason)
    assert stage.sign.text == ""
    stage.watch(VIEWER)
    assert stage.way.last == ("refused", reason)
    assert stage.live.status() == {}


@pytest.mark.parametrize("detail", [{}, {"stream": "email"}, {"stream": "screen", "viewer_keys": ["?"]}])
async def test_what_is_not_understood_is_refused(stage: Stage, detail: dict[str, Any]) -> None:
    """And answered, and nothing is watched."""
    stage.live.take(LiveStart(detail), stage.way)
    assert stage.way.last[0] == "refused"
    stage.live.take(LiveStop({"stream": "email"}), stage.way)
    assert stage.way.last[0] == "refused"
    stage.live.take(AudioOpen({}), stage.way)
    assert stage.way.told[-1]["stream"] == "audio"
    assert stage.live.status() == {}


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """Where a gateway would take sound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        yield listening


def listen(
    port: socket.socket, stream_id: int = 1, suite: Suite = Suite.CHACHA20_POLY1305, lease_s: float = 60
) -> Listen:
    return Listen(port.getsockname()[1], stream_id, suite, bytes(range(32)), bytes(range(12)), 1, lease_s)


@pytest.mark.parametrize("suite", list(Suite))
async def test_what_is_heard_arrives_sealed_in_the_suite_that_was_named(
    stage: Stage, port: socket.socket, suite: Suite
) -> None:
    """Each packet in its turn; and the person is told."""
    stage.live.take(AudioOpen(listen(port, suite=suite).to_detail()), stage.way)
    assert stage.sign.text == "You are being heard live now"
    assert stage.way.told == [{"stream": "audio", "state": "on", "reason": ""}]
    (tap,) = stage.microphone.taps
    opener = AudioOpener(suite, 1, bytes(range(32)), bytes(range(12)))
    for number in range(3):
        tap(b"opus %d" % number, 1000 + number)
        packet = opener.open(port.recv(2000))
        assert packet == (number, 1000 + number, b"opus %d" % number)
    stage.live.take(LiveStop({"stream": "audio"}), stage.way)
    assert not stage.microphone.taps
    tap(b"late", 1)


async def test_another_session_replaces_the_one_before_and_the_same_goes_on(stage: Stage, port: socket.socket) -> None:
    """The same stream id is a lease: its sequence does not begin anew under the same key."""
    stage.live.take(AudioOpen(listen(port).to_detail()), stage.way)
    (first,) = stage.microphone.taps
    first(b"", 1)
    stage.live.take(AudioOpen(listen(port, lease_s=10).to_detail()), stage.way)
    assert stage.microphone.taps == {first}
    stage.live.take(AudioOpen(listen(port, stream_id=2, lease_s=10).to_detail()), stage.way)
    assert stage.microphone.taps.isdisjoint({first})
    assert len(stage.microphone.taps) == 1
    await stage.clock.advance(11)
    assert not stage.microphone.taps


async def test_sound_that_nobody_takes_is_lost_without_a_word(stage: Stage, port: socket.socket) -> None:
    """A port that is closed is no reason to stop recording."""
    detail = listen(port).to_detail()
    port.close()
    stage.live.take(AudioOpen(detail), stage.way)
    (tap,) = stage.microphone.taps
    for _ in range(10):
        tap(b"opus", 1)


def test_a_policy_lists_as_live_what_can_be() -> None:
    """Email is not watched."""
    with pytest.raises(MalformedError):
        Policy.from_json({"live": ["email"]})
    assert Policy.from_json({}).live == {"screen"}


async def test_the_whole_agent_says_that_it_is_watched(tmp_path: Path) -> None:
    """Over a real connection: state to the gateway, words in status and notice, an end when the connection is lost."""
    async with FakeGateway(tmp_path / "pki", SERVER) as gateway, running(
        gateway, tmp_path / "agent", [Screen(), Windows()]
    ) as stage:  # fmt: skip
        await wait_until(lambda: bool(gateway.hellos))
        assert gateway.hellos[0].detail["live"] == "screen"
        await wait_until(lambda: stage.agent.uplink.status.state == "connected")
        key = dump_viewer_key(VIEWER.recipient)
        gateway.connections[-1].send(LiveStart(Watch((key,), 2).to_detail()))
        await wait_until(lambda: bool(gateway.live))
        assert gateway.live[0].detail == {"stream": "screen", "state": "on", "reason": ""}
        assert "Your screen is being watched live now, by 2 people." in stage.agent.notice()
        assert stage.agent.status()["live"]["screen"]["viewers"] == 2
        await stage.agent.recorder.emit_for(Windows())(window("a title"))
        gateway.connections[-1].abort()
        await wait_until(lambda: stage.agent.status()["live"] == {})
