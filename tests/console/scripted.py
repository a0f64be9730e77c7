"""Two minutes of a person's day, played by a real agent as if they had just passed: the same at every run.

Never waits for the time that it tells of: what is recorded says itself when it happened.

Run as a process of its own: `python -m tests.console.scripted DIRECTORY PERSON COMPUTER BASE_MS`; the directory is an
enrolled agent's. It ends when the server has everything.
"""

from __future__ import annotations

import asyncio
import math
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from agent.agent import Agent, Parts
from agent.clock import SystemClock
from agent.gap import Gap, GapReason
from agent.installation import open_installation
from agent.source import CurrentPolicy, Emit
from agent.sources.audio import Encoder
from agent.sources.sound_feed import BLOCK_MS, BLOCK_SAMPLES, SAMPLE_RATE
from schemas.kinds import StreamKind
from schemas.records import Record
from schemas.tiles import FrameEncoder, bgra_of

SIZE = (960, 600)
SECOND_SIZE = (480, 300)
GAP_S = (20.0, 40.0)
IDLE_S = (60.0, 100.0)
END_S = 110.0
SOUND_S = (0.0, 10.0)
WORD = "lantern"
GAP_DETAIL = "the display went away"
PACE_S = 0.07


def frame_times() -> list[float]:
    """When the first display changed, in seconds from the beginning."""
    stretches = ((0.0, GAP_S[0]), (GAP_S[1], IDLE_S[0]), (IDLE_S[1], END_S))
    return [at / 2 for begin, end in stretches for at in range(int(begin * 2), int(end * 2))]


def mark_of(number: int) -> tuple[int, int, int]:
    """The colour of a frame's upper left corner: which frame it is."""
    return number, 40, 200


def frame_at(second: float) -> int:
    """The number of the frame that is to be seen then."""
    return max(number for number, at in enumerate(frame_times()) if at <= second)


class Scripted:
    """A source that has its events by heart: `(second, event)`, oldest first."""

    def __init__(self, kind: StreamKind, script: list[tuple[float, Any]], base_us: int) -> None:
        self.kind = kind
        self.name = kind.label
        self._script = script
        self._base_us = base_us
        self._encoders: dict[int, FrameEncoder] = {}

    def renew(self) -> None:
        """What comes next stands by itself."""
        self._encoders.clear()

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """All of it, a second's events at once."""
        while not policy().allows(self.kind):  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.1)
        second = 0
        for at, event in self._script:
            if int(at) != second:
                second = int(at)
                await asyncio.sleep(PACE_S)
            await emit(self._told(at, event))

    def _told(self, at: float, event: Any) -> Record:
        time_us = self._base_us + int(at * 1_000_000)
        if self.kind is not StreamKind.SCREEN:
            return {**event, "time_us": time_us}
        display, picture = event
        encoder = self._encoders.setdefault(display, FrameEncoder(display))
        frame = encoder.encode(
            bgra_of(picture), *picture.size, time_us=time_us, application="Editor", title="letter.txt - Editor"
        )
        assert frame is not None
        return frame


def screens() -> list[tuple[float, Any]]:
    """A page that says its own number, and a second display that changes once."""
    script: list[tuple[float, Any]] = []
    for number, at in enumerate(frame_times()):
        picture = Image.new("RGB", SIZE, "white")
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, 0, 63, 63), fill=mark_of(number))
        draw.text((100, 100), f"The {WORD} delivery, look {number}", "black", font_size=40)
        script.append((at, (0, picture)))
    for at, colour in ((0.0, "navy"), (10.0, "darkgreen")):
        script.append((at, (1, Image.new("RGB", SECOND_SIZE, colour))))
    return sorted(script, key=lambda one: one[0])


def terminal() -> list[tuple[float, Any]]:
    """A shell in which a word is echoed and a password is typed."""
    base = {
        "session": "0b6f1f0e-5f0a-4d7e-9a53-0a7d1b2c3d4e", "data": b"", "masked": False, "columns": 60, "rows": 12,
        "exit_code": None, "title": "", "alternate": False,
    }  # fmt: skip

    def told(kind: str, data: bytes = b"", **more: Any) -> dict[str, Any]:
        return {**base, "kind": kind, "data": data, **more}

    script: list[tuple[float, Any]] = [(1.0, told("start", b"bash")), (1.1, told("output", b"ready> "))]
    for number, letter in enumerate(f"echo {WORD}\r"):
        at = 2 + number / 10
        script.append((at, told("input", letter.encode())))
        script.append((at + 0.01, told("output", b"\r\n" if letter == "\r" else letter.encode())))
    script += [
        (4.0, told("output", f"{WORD}\r\nready> ".encode())),
        (5.0, told("output", b"\x1b[31mPassword:\x1b[0m ")),
        (5.5, told("input", masked=True)),
        (6.0, told("output", b"\r\nwelcome\r\nready> ")),
        (12.0, told("output", b"exit\r\n")),
        (12.1, told("end", exit_code=0)),
    ]
    return script


def mails() -> list[tuple[float, Any]]:
    """One message with an attachment."""
    mail = {
        "message_id": "<1@example.com>", "folder": "INBOX", "sender": "helen@example.com", "sent_ms": None,
        "recipients": ["ann@example.com"], "subject": f"About the {WORD}", "size": 4096,
        "text": f"Dear Ann,\n\nthe {WORD} comes on Monday.\n\nHelen\n",
        "attachments": [
            {"name": "offer.pdf", "content_type": "application/pdf", "size": 2048, "sha256": bytes(32)},
        ],
    }  # fmt: skip
    return [(3.0, mail)]


def activity() -> list[tuple[float, Any]]:
    """Two applications, and a while in which nobody typed."""
    spans = [
        (0.0, GAP_S[0], "focus", "Editor"), (GAP_S[1], IDLE_S[0], "focus", "Browser"),
        (*IDLE_S, "idle", "Browser"), (IDLE_S[1], END_S, "focus", "Editor"),
    ]  # fmt: skip
    return [
        (begin, {"duration_us": int((end - begin) * 1e6), "kind": kind, "application": application,
                 "title": f"a window of {application}", "path": "", "pid": None})
        for begin, end, kind, application in spans
    ]  # fmt: skip


def sounds() -> list[tuple[float, Any]]:
    """A tone."""
    return list(_packets())


def _packets() -> Iterator[tuple[float, Any]]:
    encoder = Encoder()
    event = {"codec": "opus", "sample_rate": SAMPLE_RATE, "channels": 1, "duration_us": BLOCK_MS * 1000}
    for number in range(int((SOUND_S[1] - SOUND_S[0]) * 1000 / BLOCK_MS)):
        turns = (2 * math.pi * 440 * (number * BLOCK_SAMPLES + n) / SAMPLE_RATE for n in range(BLOCK_SAMPLES))
        samples = [int(12_000 * math.sin(turn)) for turn in turns]
        for packet in encoder.encode(struct.pack(f"<{BLOCK_SAMPLES}h", *samples)):
            yield SOUND_S[0] + number * BLOCK_MS / 1000, {**event, "data": packet}


SCRIPTS = {
    StreamKind.SCREEN: screens,
    StreamKind.KEYSTROKES: terminal,
    StreamKind.EMAIL: mails,
    StreamKind.ACTIVITY: activity,
    StreamKind.AUDIO: sounds,
}


async def play(directory: Path, person: str, computer: str, base_ms: int) -> None:
    """Everything, until the server has it."""
    parts: Parts = await open_installation(directory, SystemClock())
    base_us = base_ms * 1000
    begin, end = (base_us + int(second * 1_000_000) for second in GAP_S)
    sources = [Scripted(kind, make(), base_us) for kind, make in SCRIPTS.items()]
    parts.spool.owe(Gap("screen", GapReason.CAPTURE_FAILED, from_us=begin, until_us=end, detail=GAP_DETAIL))
    agent = Agent(replace(parts, user=person, computer=computer), sources)
    await agent.run(until=_played(parts))


async def _played(parts: Parts) -> None:
    """Every source has ended and everything was acknowledged, or patience is over."""
    deadline = time.monotonic() + 90
    await asyncio.sleep(END_S * PACE_S + 4)
    while parts.spool.backlog().envelopes and time.monotonic() < deadline:  # noqa: ASYNC110  # nothing announces it
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
