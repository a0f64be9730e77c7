"""What the person has in front, and whether they are there: spans of time with a window's names.

Never names a window that the policy excludes: of that, only the time is told.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from agent.sources.blanking import EXCLUDED
from agent.sources.desktop import Desktop, DesktopThread, open_desktop
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.policy import Policy
    from agent.source import CurrentPolicy, Emit
    from schemas.records import Record

LOOK_S = 0.5
"""Between two looks; so exact are the spans."""

SPAN_US = 10_000_000
"""A span is told after so long, also when nothing changed: little is lost when the agent is killed."""

BREAK_US = 5_000_000
"""More than this between two looks: the machine slept, or its clock was set. That time is nobody's."""


class Scene(NamedTuple):
    """What is in front at one moment; `kind` is focus or idle."""

    kind: str
    application: str
    title: str
    pid: int | None


class SpanTracker:
    """Joins looks into spans. Spans never overlap; together they are the time that was watched."""

    def __init__(self) -> None:
        self._scene: Scene | None = None
        self._since_us = 0
        self._until_us = 0

    def observe(self, scene: Scene, now_us: int) -> list[Record]:
        """A look; the spans that it ends."""
        ended: list[Record] = []
        if self._scene is not None and not 0 <= now_us - self._until_us <= BREAK_US:
            ended += self.finish()
        if self._scene is None:
            self._scene, self._since_us = scene, now_us
        self._until_us = now_us
        if scene != self._scene or now_us - self._since_us >= SPAN_US:
            ended += self.finish()
            self._scene, self._since_us = scene, now_us
        return ended

    def finish(self) -> list[Record]:
        """End the span that is open, at the last look."""
        scene, self._scene = self._scene, None
        duration_us = self._until_us - self._since_us
        if scene is None or duration_us <= 0:
            return []
        return [{"time_us": self._since_us, "duration_us": duration_us, "path": "", **scene._asdict()}]


class ActivitySource:
    """Tells the spans of one desktop. A person is idle from `policy.idle_after_s` after the last key or movement on."""

    kind = StreamKind.ACTIVITY
    name = "activity"

    def __init__(self, opens: Callable[[], Desktop] = open_desktop) -> None:
        self._opens = opens

    def renew(self) -> None:
        """Nothing to do: each span stands by itself."""

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Until cancelled; raises `UnavailableError` when the desktop is not there, or no longer."""
        spans = SpanTracker()
        try:
            thread = DesktopThread(self._opens, self.name)
            async with thread as desktop:
                while True:
                    now = policy()
                    if now.allows(self.kind):
                        scene = await thread.call(see, desktop, now)
                        ended = spans.observe(scene, time.time_ns() // 1000)
                    else:
                        ended = spans.finish()
                    for span in ended:
                        await emit(span)
                    await asyncio.sleep(LOOK_S)
        finally:
            for span in spans.finish():
                await emit(span)


def see(desktop: Desktop, policy: Policy) -> Scene:
    """One look at what is in front."""
    front = desktop.front()
    kind = "idle" if desktop.idle_s() >= policy.idle_after_s else "focus"
    if front is None:
        return Scene(kind, "", "", None)
    if policy.excludes(front.application, front.title):
        return Scene(kind, EXCLUDED, "", None)
    return Scene(kind, front.application, front.title, front.pid or None)
