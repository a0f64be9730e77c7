"""Sound: what is loud becomes Opus, what is quiet a length of time, and nothing is heard that may not be."""

from __future__ import annotations

import array
import asyncio
import contextlib
import math
import sys
import wave
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from agent.catalogue import make_sources
from agent.settings import SourceSettings
from agent.source import Hearable
from agent.sources import sound_feed
from agent.sources.audio import QUIET_AFTER_BLOCKS, AudioSource, peak
from agent.sources.sound_feed import BLOCK_BYTES, BLOCK_MS, BLOCK_SAMPLES, SAMPLE_RATE
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment
from tests.agent.sources.conftest import EVERYTHING, Told

HEARS = replace(EVERYTHING, streams=frozenset({"audio"}))
LOUD = array.array("h", [int(12_000 * math.sin(n * 2 * math.pi * 440 / SAMPLE_RATE)) for n in range(BLOCK_SAMPLES)])
QUIET = bytes(BLOCK_BYTES)


class Room:
    """A feed of blocks that were said before, and a clock that stands with them."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = blocks
        self.opened = 0
        self.now_us = 1_000_000

    async def feed(self) -> AsyncGenerator[bytes, None]:
        self.opened += 1
        for block in self.blocks:
            self.now_us += BLOCK_MS * 1000
            yield block
        await asyncio.Event().wait()


async def hear(room: Room, told: Told, until: Any) -> AudioSource:
    source = AudioSource(room.feed, lambda: room.now_us)
    source.taps.add(lambda packet, time_ms: taps.append((packet, time_ms)))
    taps.clear()
    task = asyncio.create_task(source.run(told.emit, told.current_policy))
    try:
        await told.until(until)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return source


taps: list[tuple[bytes, int]] = []


@pytest.fixture
def told() -> Told:
    told = Told()
    told.policy = HEARS
    return told


async def test_sound_is_opus_that_can_be_heard_again(told: Told) -> None:
    """Fifty packets a second, of the schema, and the tone is in them; whoever taps gets the same."""
    await hear(Room(*[LOUD.tobytes()] * 50), told, lambda: len(told.events) == 50)
    assert decode_segment(StreamKind.AUDIO, encode_segment(StreamKind.AUDIO, told.events)) == told.events
    assert [event["time_us"] for event in told.events[:3]] == [1_000_000, 1_020_000, 1_040_000]
    assert [packet for packet, _ in taps] == [event["data"] for event in told.events]
    assert sum(len(event["data"]) for event in told.events) < 50 * 130
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoded = [frame for event in told.events for frame in decoder.decode(av.Packet(event["data"]))]
    loudest = abs(decoded[-1].to_ndarray()).max()
    assert loudest > (3000 if "16" in decoded[-1].format.name else 0.1)


async def test_silence_is_a_length_of_time(told: Told) -> None:
    """Not encoded, and told when it is over; who taps is told five times a second."""
    blocks = [LOUD.tobytes()] * 2 + [QUIET] * (QUIET_AFTER_BLOCKS + 30) + [LOUD.tobytes()]
    await hear(Room(*blocks), told, lambda: len(told.events) == 2 + QUIET_AFTER_BLOCKS + 2)
    silence = told.events[-2]
    assert silence["data"] == b""
    assert silence["duration_us"] == 30 * BLOCK_MS * 1000
    assert silence["time_us"] + silence["duration_us"] == told.events[-1]["time_us"]
    assert sum(packet == b"" for packet, _ in taps) == 3


async def test_long_silence_is_told_in_pieces(told: Told) -> None:
    """So that it is not taken for a hole."""
    await hear(Room(*[QUIET] * 700), told, lambda: sum(event["data"] == b"" for event in told.events) == 2)
    spans = [(event["time_us"], event["duration_us"]) for event in told.events if not event["data"]]
    assert spans[0][0] + spans[0][1] == spans[1][0]
    assert spans[0][1] == 5_000_000


async def test_the_microphone_is_closed_while_the_policy_says_no(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even opened; and it is closed when the policy changes."""
    monkeypatch.setattr("agent.sources.audio.WAIT_S", 0.01)
    told.policy = replace(HEARS, paused=True)
    room = Room(*[LOUD.tobytes()] * 5)
    task = asyncio.create_task(AudioSource(room.feed, lambda: room.now_us).run(told.emit, told.current_policy))
    await asyncio.sleep(0.05)
    assert room.opened == 0
    told.policy = HEARS
    await told.until(lambda: room.opened == 1 and len(told.events) == 5)
    task.cancel()
    await asyncio.wait([task])


async def test_a_file_is_played_at_the_pace_of_time(tmp_path: Path) -> None:
    """Any rate, again and again."""
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(b"\1\0" * 2 * 800)  # 50 ms
    (source,) = make_sources(SourceSettings(run=("audio",), audio_file=str(path)), tmp_path)
    assert isinstance(source, Hearable)
    started = asyncio.get_running_loop().time()
    async with contextlib.aclosing(sound_feed.file(path)) as blocks:
        got = [block async for _, block in _first(blocks, 5)]
    assert {len(block) for block in got} == {BLOCK_BYTES}
    assert asyncio.get_running_loop().time() - started >= 0.09


async def _first(blocks: AsyncGenerator[bytes, None], count: int) -> AsyncGenerator[tuple[int, bytes], None]:
    number = 0
    async for block in blocks:
        yield number, block
        number += 1
        if number == count:
            return


async def test_a_file_that_is_no_sound_says_so(tmp_path: Path) -> None:
    """With its name."""
    path = tmp_path / "notes.txt"
    path.write_text("not a sound")
    with pytest.raises(UnavailableError, match=r"notes\.txt"):
        await anext(sound_feed.file(path))


async def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UnavailableError, match="pip install"):
        await anext(sound_feed.microphone())
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UnavailableError, match="pip install"):
        await AudioSource().run(told.emit, told.current_policy)


def test_the_peak_is_the_loudest_sample() -> None:
    """Of either sign."""
    assert peak(array.array("h", [3, -32_768, 5]).tobytes()) == 32_768
    assert peak(array.array("h", [3, 7]).tobytes()) == 7
