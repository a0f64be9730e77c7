"""What can be heard at the endpoint: Opus packets of 20 ms, and how long it was quiet.

Never opens the microphone while the policy does not allow it, and never keeps sound that is not encoded.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from agent.sources.sound_feed import BLOCK_MS, BLOCK_SAMPLES, SAMPLE_RATE, Feed, load_av, microphone
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.source import CurrentPolicy, Emit, Tap
    from schemas.records import Record

BIT_RATE = 24_000
QUIET_PEAK = 130
"""A block whose loudest sample is below this, of 32,767, is quiet: -48 dB."""

QUIET_AFTER_BLOCKS = 20
"""So many quiet blocks, and it is silence: 0.4 s, longer than the pauses within words."""

QUIET_TOLD_BLOCKS = 250
"""Silence is told after 5 s at most, so that it is seen as silence and not as a hole."""

QUIET_TAP_BLOCKS = 10
"""Who listens live is told of it five times a second."""

WAIT_S = 0.5
"""The policy may have changed: asked so often."""

MAX_DRIFT_US = 100_000
BLOCK_US = BLOCK_MS * 1000


class Encoder:
    """Opus by libopus, 24 kbit/s, mono."""

    def __init__(self) -> None:
        av = load_av()
        self._av = av
        codec: Any = av.CodecContext.create("libopus", "w")
        codec.sample_rate, codec.layout, codec.format = SAMPLE_RATE, "mono", "s16"
        codec.bit_rate, codec.time_base = BIT_RATE, Fraction(1, SAMPLE_RATE)
        codec.options = {"application": "voip", "frame_duration": str(BLOCK_MS), "packet_loss": "5"}
        codec.open()
        self._codec = codec
        self._samples = 0

    def encode(self, block: bytes) -> list[bytes]:
        """The packets that a block completes: one, but for the first."""
        frame = self._av.AudioFrame(format="s16", layout="mono", samples=BLOCK_SAMPLES)
        frame.planes[0].update(block)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._samples, Fraction(1, SAMPLE_RATE)
        self._samples += BLOCK_SAMPLES
        return [bytes(packet) for packet in self._codec.encode(frame)]


class AudioSource:
    """Records the sound of one feed, by default the microphone. Who listens live puts a tap into `taps`."""

    kind = StreamKind.AUDIO
    name = "audio"

    def __init__(self, feed: Feed = microphone, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.taps: set[Tap] = set()
        self._feed = feed
        self._now_us = now_us

    def renew(self) -> None:
        """Each packet stands by itself, or nearly so."""

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Until cancelled; raises `UnavailableError` when nothing can be heard here."""
        load_av()
        while True:
            if not policy().allows(self.kind):
                await asyncio.sleep(WAIT_S)
                continue
            async with contextlib.aclosing(self._feed()) as blocks:
                await self._record(blocks, emit, policy)

    async def _record(self, blocks: Any, emit: Emit, policy: CurrentPolicy) -> None:
        """Until the policy says no, or the feed ends."""
        pen = _Pen(Encoder(), self.taps)
        at_us = self._now_us() - BLOCK_US
        async for block in blocks:
            if not policy().allows(self.kind):
                break
            at_us += BLOCK_US
            if abs(self._now_us() - BLOCK_US - at_us) > MAX_DRIFT_US:
                at_us = self._now_us() - BLOCK_US
            for event in pen.take(block, at_us):
                await emit(event)
        for event in pen.finish():
            await emit(event)


class _Pen:
    """Blocks become events: sound is encoded, silence is a length of time."""

    def __init__(self, encoder: Encoder, taps: set[Tap]) -> None:
        self._encoder = encoder
        self._taps = taps
        self._quiet = 0
        self._silent_since_us: int | None = None
        self._until_us = 0

    def take(self, block: bytes, at_us: int) -> list[Record]:
        """The events that a block completes."""
        self._quiet = self._quiet + 1 if peak(block) < QUIET_PEAK else 0
        if self._quiet > QUIET_AFTER_BLOCKS:
            return self._take_silence(at_us)
        events = self.finish()
        for packet in self._encoder.encode(block):
            self._tell(packet, at_us)
            events.append(_event(at_us, BLOCK_US, packet))
        return events

    def finish(self) -> list[Record]:
        """The silence that is over, if there is one."""
        since, self._silent_since_us = self._silent_since_us, None
        return [] if since is None else [_event(since, self._until_us - since, b"")]

    def _take_silence(self, at_us: int) -> list[Record]:
        if (self._quiet - QUIET_AFTER_BLOCKS) % QUIET_TAP_BLOCKS == 1:
            self._tell(b"", at_us)
        long = self._silent_since_us is not None and at_us - self._silent_since_us >= QUIET_TOLD_BLOCKS * BLOCK_US
        events = self.finish() if long else []
        if self._silent_since_us is None:
            self._silent_since_us = at_us
        self._until_us = at_us + BLOCK_US
        return events

    def _tell(self, packet: bytes, at_us: int) -> None:
        for tap in list(self._taps):
            tap(packet, at_us // 1000)


def peak(block: bytes) -> int:
    """The loudest sample of a block, 0 to 32,768."""
    samples = array.array("h", block)
    if sys.byteorder == "big":
        samples.byteswap()
    loudest = max(samples)
    return max(loudest, -min(samples))


def _event(time_us: int, duration_us: int, data: bytes) -> Record:
    return {
        "time_us": time_us,
        "codec": "opus",
        "sample_rate": SAMPLE_RATE,
        "channels": 1,
        "duration_us": duration_us,
        "data": data,
    }
