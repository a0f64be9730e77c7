"""What sources may ask of a person's desktop, whatever system draws it.

Never says what may be recorded: that is the policy's to say and the source's to heed.
"""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.rectangle import Rectangle

P = ParamSpec("P")
R = TypeVar("R")


class Window(NamedTuple):
    """A window by the names that people and policies call it; `pid` is 0 where it is not known."""

    application: str
    title: str
    pid: int = 0


class ShownWindow(NamedTuple):
    """A window on the screen, frame included. `opaque`: nothing of what is below shows through."""

    window: Window
    area: Rectangle
    opaque: bool
    popup: bool
    """A menu, tooltip or dialog: it belongs to another window of the same process."""


class Desktop(Protocol):
    """One connection to a desktop, used from one thread, except for `wake`.

    Every method raises `UnavailableError` when the desktop is gone; then it is of no further use.
    """

    def displays(self) -> Sequence[Rectangle]:
        """The displays, the first one first."""

    def grab(self, area: Rectangle) -> bytearray:
        """Its pixels, 4 bytes each, blue first, in memory that is not used again."""

    def wait_change(self, timeout_s: float) -> bool | None:
        """Whether something was drawn since the last call: waits for it. None when this desktop cannot tell."""

    def front(self) -> Window | None:
        """The window that has the person's input."""

    def shown(self) -> Sequence[ShownWindow]:
        """Windows on the screen, the lowest first."""

    def idle_s(self) -> float:
        """Since the person last typed or moved the pointer."""

    def wake(self) -> None:
        """Make `wait_change` return now; from any thread."""

    def close(self) -> None:
        """Let go of it."""


def open_desktop(display: str | None = None) -> Desktop:
    """The person's desktop; raises `UnavailableError` when there is none. X11 is what there is so far."""
    from agent.sources.x11 import X11Desktop  # an endpoint without a screen needs no X11

    return X11Desktop(display)


class DesktopThread:
    """A desktop in a thread of its own, so that the event loop never waits for it."""

    def __init__(self, opens: Callable[[], Desktop], name: str) -> None:
        self._opens = opens
        self._thread = ThreadPoolExecutor(1, name)
        self._desktop: Desktop | None = None

    async def __aenter__(self) -> Desktop:
        try:
            self._desktop = await self.call(self._opens)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self._desktop

    async def __aexit__(self, *_: object) -> None:
        desktop, self._desktop = self._desktop, None
        if desktop is not None:
            desktop.wake()
            self._thread.submit(desktop.close)
        self._thread.shutdown(wait=False)

    async def call(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Call it in the desktop's thread."""
        call = functools.partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
