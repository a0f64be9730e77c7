"""Many endpoints in one process, each with a screen on which something moves: for walls of live screens.

Run as a process of its own: `python -m tests.live.wall TOKEN COUNT DIRECTORY`; they enrol below the directory, as
`0001` and so on. SIGTERM ends it; a line with such a number on its input ends that one alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from agent.agent import Agent
from agent.clock import SystemClock
from agent.fleet import enrol_fleet
from agent.installation import open_installation
from agent.source import CurrentPolicy, Emit
from schemas.enrolment import EnrolmentToken
from schemas.kinds import StreamKind
from schemas.tiles import FrameEncoder, bgra_of

SIZE = (1280, 800)
PERIOD_S = 0.5
COLOURS = ("#204a87", "#4e9a06", "#a40000", "#c17d11", "#5c3566", "#2e3436")


class Moving:
    """A display with a name and a clock on it: only the clock's line changes."""

    kind = StreamKind.SCREEN
    name = "screen"

    def __init__(self, told: str, number: int) -> None:
        self._picture = Image.new("RGB", SIZE, "white")
        self._draw = ImageDraw.Draw(self._picture)
        self._draw.rectangle((0, 0, SIZE[0], 160), fill=COLOURS[number % len(COLOURS)])
        self._draw.text((40, 40), told, "white", font_size=64)
        for line in range(12):
            self._draw.text((40, 320 + 36 * line), f"{line}: what somebody wrote on {told}", "black", font_size=24)
        self._told = told
        self._encoder = FrameEncoder(0)
        self._wake = asyncio.Event()

    def renew(self) -> None:
        """The next frame is whole, and comes at once."""
        self._encoder = FrameEncoder(0)
        self._wake.set()

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Until cancelled."""
        while True:
            if policy().allows(self.kind):
                self._draw.rectangle((40, 200, 900, 290), fill="white")
                self._draw.text((40, 200), f"{time.time():.1f}", "black", font_size=72)
                frame = self._encoder.encode(
                    bgra_of(self._picture),
                    *SIZE,
                    time_us=time.time_ns() // 1000,
                    application="Editor",
                    title=f"notes of {self._told}",
                )
                if frame is not None:
                    await emit(frame)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._wake.wait()


async def _run(directory: Path, number: int) -> None:
    parts = await open_installation(directory, SystemClock())
    user = f"person-{directory.name}"
    source = Moving(f"{user} on {directory.name}", number)
    await Agent(replace(parts, user=user, computer=directory.name), [source]).run()


async def _main(token: str, count: int, directory: Path) -> None:
    directories = await enrol_fleet(directory, count, EnrolmentToken.parse(token), SystemClock())
    running = {one.name: asyncio.create_task(_run(one, number)) for number, one in enumerate(directories)}
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)

    def end_one() -> None:
        running[sys.stdin.readline().strip()].cancel()

    loop.add_reader(sys.stdin, end_one)
    await ended.wait()
    for task in running.values():
        task.cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
