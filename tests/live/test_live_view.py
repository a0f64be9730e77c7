"""Live viewing on the real stack: an agent under Xvfb is watched and heard through a gateway, and shown that it is."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from infra.settings import Settings
from schemas.canvas import Canvas
from schemas.envelope import EpochFlags, peek
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.live import LiveMessage, dump_viewer_key
from schemas.opening import Opener, PartJoiner
from schemas.records import decode_segment
from tests.console.harness import Console
from tests.live.live_site import PATIENCE_S, Desk, Site, messages, open_desk, open_site, sign_in
from tests.live.operator import psql, until

_MISSING = [program for program in ("Xvfb", "xterm") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

OFFICER, VIEWER = Identity.generate(2048), Identity.generate(2048)
LATENCY_MS = 500


@pytest.fixture(scope="module")
def site(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with the default cipher."""
    with open_site(stack, tmp_path_factory.mktemp("live")) as opened:
        yield opened


@pytest.fixture(scope="module")
def desk(site: Site) -> Iterator[Desk]:
    """An endpoint that records for the server."""
    with open_desk(site, site.folder / "desk") as opened:
        yield opened


@pytest.fixture(scope="module")
def officer(stack: Settings) -> str:
    """An account that may watch everybody."""
    return Console(stack, None).account("officer")  # type: ignore[arg-type]  # no browser is needed for that


async def test_a_screen_is_seen_as_it_happens(site: Site, desk: Desk, officer: str) -> None:
    """Frames come within half a second, open with the viewer's own key and draw a whole picture; the person is told."""
    opener, joiner, canvas, late = Opener([VIEWER]), PartJoiner(), Canvas(), list[float]()
    key = dump_viewer_key(VIEWER.recipient)
    async with sign_in(site, officer) as watcher, watcher.open(desk, "screen", key) as (socket, told):
        assert told["end_to_end"] is False
        async for kind, payload, at_ms in messages(socket, PATIENCE_S):
            if kind is LiveMessage.ENVELOPE:
                assert VIEWER.key_id in peek(payload).epoch.key_ids
                whole = joiner.add(opener.open(payload))
                for frame in decode_segment(StreamKind.SCREEN, whole.plaintext) if whole else []:
                    if late or frame["key_frame"]:  # one that was under way when somebody came is passed over
                        canvas.draw(frame)
                        late.append(at_ms - frame["time_us"] / 1000)
            if len(late) >= 10 and statistics.median(late[-10:]) < LATENCY_MS:
                break
        assert "watched live now" in await asyncio.to_thread(desk.notice)
        assert (await asyncio.to_thread(desk.status))["live"]["screen"]["viewers"] == 1
    assert canvas.pixels.shape[:2] == (800, 1280)
    assert statistics.median(late[-10:]) < LATENCY_MS, late
    until("nobody watches", lambda: not desk.status()["live"])


async def test_who_watched_is_in_the_audit(site: Site, desk: Desk, officer: str, stack: Settings) -> None:
    """When it began, why, and how long it took."""
    async with sign_in(site, officer) as watcher, watcher.open(desk, "screen") as (socket, _):
        await anext(messages(socket, 5))

    def parts() -> set[str]:
        rows = psql(
            stack,
            f"SELECT detail->>'part' FROM audit_entry WHERE target = '{desk.agent_id}' AND actor = '{officer}@console'",
        )
        return {row[0] for row in rows}

    until("the audit has both", lambda: {"begin", "end"} <= parts())


async def heard(site: Site, desk: Desk, officer: str) -> tuple[dict[str, Any], list[bytes], list[float]]:
    """What a listener gets in some seconds: what the ticket said, Opus packets, how late they were."""
    packets, late, sequences = list[bytes](), list[float](), list[int]()
    async with sign_in(site, officer) as watcher, watcher.open(desk, "audio") as (socket, told):
        async for kind, payload, at_ms in messages(socket, PATIENCE_S):
            if kind is LiveMessage.SOUND:
                sequences.append(int.from_bytes(payload[:6], "big"))
                late.append(at_ms - int.from_bytes(payload[6:12], "big"))
                packets.append(payload[12:])
            if len(late) >= 150 and statistics.median(late[-150:]) < LATENCY_MS:
                break
        assert "heard live now" in await asyncio.to_thread(desk.notice)
    assert sequences == list(range(len(sequences)))
    return told, packets, late


async def test_sound_is_heard_as_it_happens(site: Site, desk: Desk, officer: str) -> None:
    """Opus that decodes to the tone, silence that is told, in little time."""
    told, packets, late = await heard(site, desk, officer)
    assert told["cipher"] == "chacha20-poly1305"
    check_tone(packets)
    assert any(not packet for packet in packets)
    assert statistics.median(late[-150:]) < LATENCY_MS


def check_tone(packets: list[bytes]) -> None:
    decoder: Any = av.CodecContext.create("libopus", "r")
    frames = [frame for packet in packets if packet for frame in decoder.decode(av.Packet(packet))]
    blocks = [frame.to_ndarray().reshape(frame.samples, -1)[:, 0] for frame in frames]
    loud = [block for block in blocks if abs(block).max() > (4000 if block.dtype.kind == "i" else 0.12)]
    assert len(loud) > 40
    middle = loud[len(loud) // 2]
    crossings = ((middle[:-1] < 0) & (middle[1:] >= 0)).sum() * 48_000 / len(middle)
    assert crossings == pytest.approx(440, abs=60)


async def test_blowfish_carries_the_same_sound(stack: Settings, tmp_path: Path, officer: str) -> None:
    """The datasheet's cipher, where the server's setting says so."""
    with (
        open_site(stack, tmp_path / "site", LIVE__AUDIO_CIPHER="blowfish") as site,
        open_desk(site, tmp_path / "desk") as desk,
    ):
        told, packets, _ = await heard(site, desk, officer)
        assert told["cipher"] == "blowfish"
        check_tone(packets)


async def test_an_end_to_end_screen_stays_sealed_to_the_officer(stack: Settings, tmp_path: Path, officer: str) -> None:
    """The viewer's key, which the server names, is in no epoch; the officer's KEK opens what comes."""
    kek_file = tmp_path / "kek.pem"
    kek_file.write_bytes(OFFICER.recipient.to_pem())
    opener = Opener([OFFICER])
    with open_site(stack, tmp_path / "site") as site:
        site.set_policy(end_to_end=["screen"])
        with open_desk(site, tmp_path / "desk", kek_file) as desk:
            key = dump_viewer_key(VIEWER.recipient)
            async with sign_in(site, officer) as watcher, watcher.open(desk, "screen", key) as (socket, told):
                assert told["end_to_end"] is True
                coming = messages(socket, 5, LiveMessage.ENVELOPE, 4)
                got = [payload async for kind, payload, _ in coming if kind is LiveMessage.ENVELOPE]
    assert len(got) >= 4
    for envelope in got:
        epoch = peek(envelope).epoch
        assert epoch.flags & EpochFlags.END_TO_END
        assert epoch.key_ids == (OFFICER.key_id,)
    frames = [frame for one in got for frame in decode_segment(StreamKind.SCREEN, opener.open(one).plaintext)]
    assert any(frame["key_frame"] for frame in frames)


async def test_what_is_not_allowed_says_why(site: Site, desk: Desk, officer: str, stack: Settings) -> None:
    """Who may not, whom there is not, what the policy does not list."""
    async with sign_in(site, officer) as watcher:
        blank = {"agent": desk.agent_id, "what": "screen", "purpose": " "}
        assert (await watcher.client.post("/api/v1/live", json=blank)).status_code == 422
        strange = Desk("", desk.directory, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
        assert (await watcher.ask(strange, "screen")).status_code == 404
        assert (await watcher.ask(desk, "screen", "AAAA")).json()["error"] == "bad_viewer_key"
        listed = (await watcher.client.get("/api/v1/live")).json()
        assert any(one["agent"] == desk.agent_id and one["screen"] and one["audio"] for one in listed["agents"])
    operator = Console(stack, None).account("operator")  # type: ignore[arg-type]
    async with sign_in(site, operator) as watcher:
        assert (await watcher.ask(desk, "screen")).status_code == 403
        assert (await watcher.client.get("/api/v1/live")).status_code == 403
    psql(stack, "INSERT INTO team (name) VALUES ('of nobody') ON CONFLICT DO NOTHING")
    nobody = Console(stack, None).account("officer", "--team", "of nobody", name="teamless")  # type: ignore[arg-type]
    async with sign_in(site, nobody) as watcher:
        assert (await watcher.ask(desk, "screen")).status_code == 404
        assert json.loads((await watcher.client.get("/api/v1/live")).text)["agents"] == []
