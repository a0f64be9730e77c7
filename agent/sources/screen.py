"""The person's screens: looked at when something was drawn, and told as what changed.

Never shows a window that the policy excludes, nor anything while the policy says no.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.sources.blanking import EXCLUDED, blank_all, blank_windows, has_exclusions
from agent.sources.desktop import Desktop, DesktopThread, Window, open_desktop
from schemas.kinds import StreamKind
from schemas.tiles import FrameEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.policy import Policy
    from agent.source import CurrentPolicy, Emit
    from schemas.records import Record
    from schemas.rectangle import Rectangle

SETTLE_S = 0.04
"""Programs draw in several strokes: a look waits so long for the rest."""

CHECK_S = 10.0
"""A look without being told of a change, to find a server that does not tell."""

BLIND_S = 0.9
"""Between looks at a server that does not tell of changes."""

WAIT_S = 1.0
"""The policy may have changed: asked at least so often."""


class ScreenSource:
    """Records every display of one desktop; `open_desktop` says which."""

    kind = StreamKind.SCREEN
    name = "screen"

    def __init__(self, opens: Callable[[], Desktop] = open_desktop) -> None:
        self._opens = opens
        self._desktop: Desktop | None = None
        self._renewed = True

    def renew(self) -> None:
        """The next frame of each display will be a key frame, and comes at once."""
        self._renewed = True
        desktop = self._desktop
        if desktop is not None:
            desktop.wake()

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Until cancelled; raises `UnavailableError` when the desktop is not there, or no longer."""
        desktop_thread = DesktopThread(self._opens, self.name)
        async with desktop_thread as desktop:
            camera = Camera(desktop)
            self._desktop, self._renewed = desktop, True
            try:
                while True:
                    renewed, self._renewed = self._renewed, False
                    for frame in await desktop_thread.call(camera.look, policy(), renewed=renewed):
                        if policy().allows(self.kind):
                            await emit(frame)
            finally:
                self._desktop = None


class Camera:
    """Looks at a desktop, in one thread, at the pace that its changes and the policy ask for."""

    def __init__(self, desktop: Desktop, clock: Callable[[], float] = time.monotonic) -> None:
        self._desktop = desktop
        self._clock = clock
        self._encoders: dict[int, FrameEncoder] = {}
        self._displays: list[Rectangle] = []
        self._looked_at = -CHECK_S
        self._key_at = 0.0
        self._tells = True
        self._told = False
        self._policy: Policy | None = None

    def look(self, policy: Policy, *, renewed: bool = False) -> list[Record]:
        """Wait until a look is due, a second at most, and take it: frames of the displays that changed."""
        if not policy.allows(StreamKind.SCREEN):
            self._encoders.clear()  # what comes after a pause is whole
            self._desktop.wait_change(WAIT_S)
            return []
        before, self._policy = self._policy, policy
        if renewed or self._clock() - self._key_at >= policy.key_frame_interval_s:
            self._encoders.clear()
        elif policy != before:
            self._told = True  # other windows may be shown now
        elif not self._due(1 / policy.max_frames_per_second):
            return []
        return self._take(policy)

    def _due(self, interval_s: float) -> bool:
        """Whether there may be something new to see, and it is not too early to look."""
        pause_s = interval_s if self._tells else max(interval_s, BLIND_S)
        early_s = self._looked_at + pause_s - self._clock()
        if early_s > 0:
            time.sleep(min(early_s, WAIT_S))
            return False
        changed = self._desktop.wait_change(WAIT_S) if self._tells else None
        if changed is None:
            self._tells = False
            return True
        if changed:
            self._told = True
            time.sleep(SETTLE_S)
            return True
        return self._clock() - self._looked_at > CHECK_S

    def _take(self, policy: Policy) -> list[Record]:
        told, self._told = self._told, False
        if self._tells:
            told |= bool(self._desktop.wait_change(0))  # what is drawn from here on is for the next look
        displays = list(self._desktop.displays())
        whole = displays != self._displays or not self._encoders
        if whole:
            self._displays = displays
            self._encoders = {number: FrameEncoder(number) for number in range(len(displays))}
            self._key_at = self._clock()
        frames = [frame for number in self._encoders if (frame := self._frame(number, policy)) is not None]
        self._looked_at = self._clock()
        if frames and not (told or whole) and self._tells:
            self._told = bool(self._desktop.wait_change(0))
            self._tells = self._told  # it changed, and nobody told: from now on look without being told
        return frames

    def _frame(self, number: int, policy: Policy) -> Record | None:
        area = self._displays[number]
        time_us = time.time_ns() // 1000
        if has_exclusions(policy):
            pixels, front = self._grab_allowed(area, policy)
        else:
            pixels, front = self._desktop.grab(area), self._desktop.front()
        application, title = (front.application, front.title) if front else ("", "")
        return self._encoders[number].encode(
            pixels, area.width, area.height, time_us=time_us, application=application, title=title
        )

    def _grab_allowed(self, area: Rectangle, policy: Policy) -> tuple[bytearray, Window | None]:
        before = self._desktop.shown()
        pixels = self._desktop.grab(area)
        lookings = (before, self._desktop.shown())
        front = self._desktop.front()
        blanked = blank_windows(pixels, area, lookings, policy)
        if front is None or not policy.excludes(front.application, front.title):
            return pixels, front
        if not blanked and len(self._displays) == 1:
            blank_all(pixels)  # it is in front and yet not found: show nothing
        return pixels, Window(EXCLUDED, "")
