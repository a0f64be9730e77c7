"""A desktop that an X11 server draws: pixels by mss, everything else by python-xlib.

Never trusts what windows say about themselves to be well formed, and never outlives a server that went away.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import mss
from mss.exception import ScreenShotError
from Xlib import error
from Xlib.display import Display as Connection
from Xlib.ext import damage

from agent.sources.x11_windows import front_window, shown_windows
from schemas.errors import UnavailableError
from schemas.rectangle import Rectangle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.sources.desktop import ShownWindow, Window

P = ParamSpec("P")
R = TypeVar("R")

_GONE = (error.ConnectionClosedError, error.DisplayError, ScreenShotError, OSError, error.XError)


def _unless_gone(method: Callable[P, R]) -> Callable[P, R]:
    """X11's many ways of saying that the server is not there, as the one error that sources raise."""

    @functools.wraps(method)
    def guarded(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return method(*arguments, **named)
        except _GONE as fault:
            raise UnavailableError(f"the X display does not answer: {type(fault).__name__}") from fault

    return guarded


class X11Desktop:
    """`Desktop` on X11. `display` as in DISPLAY, which it is by default."""

    def __init__(self, display: str | None = None) -> None:
        name = display or os.environ.get("DISPLAY", "")
        if not name:
            raise UnavailableError("there is no X display: DISPLAY is not set")
        self._connection, self._pixels = _connect(name)
        self._connection.set_error_handler(lambda *_: None)  # windows vanish while we ask: their errors are no news
        self._root: Any = self._connection.screen().root
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._damage = self._watch_damage()
        self._pointer: object = None
        self._moved_at = time.monotonic()

    @_unless_gone
    def displays(self) -> Sequence[Rectangle]:
        """One for each monitor; where the server does not know monitors, the whole of it."""
        size = self._root.get_geometry()
        whole = Rectangle(0, 0, size.width, size.height)
        with contextlib.suppress(AttributeError, error.XError):
            monitors = self._root.xrandr_get_monitors().monitors
            cut = [_cut(Rectangle(m.x, m.y, m.width_in_pixels, m.height_in_pixels), whole) for m in monitors]
            distinct = list(dict.fromkeys(area for area in cut if area.width > 0 and area.height > 0))
            return distinct or [whole]
        return [whole]

    @_unless_gone
    def grab(self, area: Rectangle) -> bytearray:
        """Its pixels, BGRX."""
        place = {"left": area.x, "top": area.y, "width": area.width, "height": area.height}
        return self._pixels.grab(place).raw

    @_unless_gone
    def wait_change(self, timeout_s: float) -> bool | None:
        """By the DAMAGE extension; each call starts afresh, so look at the pixels after it."""
        if not self._connection.pending_events():
            select.select([self._connection.fileno(), self._woken], [], [], max(timeout_s, 0))
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        changed = False
        while self._connection.pending_events():
            changed |= type(self._connection.next_event()).__name__ == "DamageNotify"
        if self._damage is None:
            return None
        if changed:
            self._connection.damage_subtract(self._damage)
            self._connection.flush()
        return changed

    @_unless_gone
    def front(self) -> Window | None:
        """By the window manager's word, or where the keys go when there is none."""
        return front_window(self._connection, self._root)

    @_unless_gone
    def shown(self) -> Sequence[ShownWindow]:
        """Top-level windows with their frames, by the server's own stacking."""
        return shown_windows(self._connection, self._root)

    @_unless_gone
    def idle_s(self) -> float:
        """By the MIT-SCREEN-SAVER extension; without it, since the pointer or a key was last seen to change."""
        if self._connection.has_extension("MIT-SCREEN-SAVER"):
            return float(self._root.screensaver_query_info().idle) / 1000
        pointer = self._root.query_pointer()
        now = (pointer.root_x, pointer.root_y, pointer.mask, tuple(self._connection.query_keymap()))
        if now != self._pointer:
            self._pointer, self._moved_at = now, time.monotonic()
        return time.monotonic() - self._moved_at

    def wake(self) -> None:
        """End a `wait_change`."""
        with contextlib.suppress(OSError):
            os.write(self._wake, b"\0")

    def close(self) -> None:
        """Close both connections."""
        with contextlib.suppress(*_GONE):
            self._pixels.close()
        with contextlib.suppress(*_GONE):
            self._connection.close()
        os.close(self._woken)
        os.close(self._wake)

    @_unless_gone
    def _watch_damage(self) -> Any:
        """The server tells when anything is drawn; None where it cannot."""
        if not self._connection.has_extension("DAMAGE"):
            return None
        self._connection.damage_query_version()
        watch = self._root.damage_create(damage.DamageReportNonEmpty)
        self._connection.sync()
        return watch


@_unless_gone
def _connect(name: str) -> tuple[Any, mss.MSS]:
    connection = Connection(name)
    try:
        return connection, mss.MSS(display=name)
    except BaseException:
        connection.close()
        raise


def _cut(area: Rectangle, whole: Rectangle) -> Rectangle:
    x, y = max(area.x, 0), max(area.y, 0)
    return Rectangle(x, y, min(area.right, whole.right) - x, min(area.bottom, whole.bottom) - y)
