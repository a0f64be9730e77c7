"""Making traces from sources, and playing them back as any number of simulated agents.

Never plays faster than its recorder takes: where it falls behind, it says by how much.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from PIL import Image

from agent.sources.trace import Trace, TraceWriter, place_in_time
from schemas.canvas import Canvas
from schemas.kinds import StreamKind
from schemas.tiles import FrameEncoder, bgra_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from agent.source import CurrentPolicy, Emit, Source
    from schemas.records import Record


class TraceSource:
    """One stream of a trace as a source. Give all streams of one simulated agent the same `starts_at` (monotonic s)."""

    name = "trace"

    def __init__(
        self, trace: Trace, kind: StreamKind, *, speed: float = 1.0, loops: int = 1, starts_at: float | None = None
    ) -> None:
        if speed <= 0:
            raise ValueError("a trace is played at a speed over 0")
        self.kind = kind
        self.behind_s = 0.0
        """How much later than it should the last event was taken."""
        self._trace = trace
        self._speed = speed
        self._loops = loops
        self._starts_at = starts_at
        self._renewed = False

    def renew(self) -> None:
        """Before the next frame of a display, the whole of it is sent."""
        self._renewed = True

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Until the last loop of the trace has ended; `loops` of 0 never end."""
        starts_at = time.monotonic() if self._starts_at is None else self._starts_at
        loop = 0
        while self._loops == 0 or loop < self._loops:
            await self._play(starts_at, emit, policy)
            starts_at += max(self._trace.duration_us / 1e6, 0.001) / self._speed
            loop += 1

    async def _play(self, starts_at: float, emit: Emit, policy: CurrentPolicy) -> None:
        start_us = time.time_ns() // 1000 + int((starts_at - time.monotonic()) * 1e6)
        screens = _Screens(self._trace)
        for number, (_, event) in enumerate(self._trace.events(self.kind)):
            due_s = starts_at + event["time_us"] / 1e6 / self._speed - time.monotonic()
            await asyncio.sleep(max(due_s, 0))
            self.behind_s = max(-due_s, 0.0)
            if not policy().allows(self.kind):
                self._renewed = True
                continue
            if self.kind is StreamKind.SCREEN:
                if self._renewed:
                    screens.renew()
                    self._renewed = False
                event = screens.whole(number, event)  # noqa: PLW2901 - the same moment, told whole
            await emit(place_in_time(event, start_us, self._speed))


class _Screens:
    """Makes a frame whole where the frames before it were not sent."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._sent: set[int] = set()

    def renew(self) -> None:
        """No display has been sent."""
        self._sent.clear()

    def whole(self, number: int, frame: Record) -> Record:
        """The frame, the `number`th of the trace, as it must be sent."""
        display = frame["display"]
        if frame["key_frame"] or display in self._sent:
            self._sent.add(display)
            return frame
        self._sent.add(display)
        picture = Image.fromarray(self._draw(number, display))
        words = {name: frame[name] for name in ("time_us", "application", "title")}
        key = FrameEncoder(display).encode(bgra_of(picture), picture.width, picture.height, **words)
        return key if key is not None else frame

    def _draw(self, until: int, display: int) -> NDArray[np.uint8]:
        canvas = Canvas()
        for number, (_, frame) in enumerate(self._trace.events(StreamKind.SCREEN)):
            if number > until:
                break
            if frame["display"] == display and canvas.takes(frame):
                canvas.draw(frame)
        return canvas.pixels


def simulate_agents(
    trace: Trace, agents: int, *, speed: float = 1.0, loops: int = 1, spread_s: float = 0.0
) -> list[list[TraceSource]]:
    """For each simulated agent its sources, one a stream. `spread_s`: their starts are spread over so many seconds."""
    now = time.monotonic()
    starts = [now + spread_s * number / agents for number in range(agents)]
    return [
        [TraceSource(trace, kind, speed=speed, loops=loops, starts_at=start) for kind in trace.kinds]
        for start in starts
    ]


async def record_trace(
    path: Path, sources: Sequence[Source], policy: CurrentPolicy, *, title: str = "",
    clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> None:  # fmt: skip
    """Record what the sources tell into a trace file, until they end or this is cancelled; the file is whole then."""
    with path.open("wb") as file, TraceWriter(file, started_us=clock_us(), title=title) as writer:

        async def run(source: Source) -> None:
            async def emit(event: Record) -> None:
                writer.append(source.kind, event)

            await source.run(emit, policy)

        async with asyncio.TaskGroup() as group:
            for source in sources:
                group.create_task(run(source))
