"""The sign on the person's own screen that they are watched or heard: a small window above all others.

Never takes the keyboard away, and never stands in a person's way for good: a click moves it to the other corner. It
cannot be closed while somebody watches.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from Xlib import X, error
from Xlib.display import Display as Connection

if TYPE_CHECKING:
    from PIL.Image import Image

log = structlog.get_logger()

MARGIN = 16
PADDING = 10
DOT = 10
FONT_SIZE, LINE = 15, 22
BACKGROUND, FOREGROUND, MARK = "#1b1e24", "#f4f5f7", "#e5484d"

RAISE_AGAIN_S = 1.0
"""A window that covers the sign is left above it for so long: two that both want to be on top would fight."""

_GONE = (error.ConnectionClosedError, error.DisplayError, error.XError, OSError)


class X11Sign:
    """Shows a text on an X display, from a thread of its own. `display` as in DISPLAY, which it is by default.

    Where there is no display, or it goes away, nothing is shown: status and notice tell it all the same.
    """

    def __init__(self, display: str = "") -> None:
        self._display = display or os.environ.get("DISPLAY", "")
        self._texts: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def show(self, text: str) -> None:
        """Show it, in place of what was shown; nothing when empty. Never waits."""
        if not self._display:
            return
        self._texts.put(text)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"\0")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sign", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            text = self._texts.get()
            if not text:
                continue
            try:
                with contextlib.closing(Connection(self._display)) as connection:
                    _Window(connection).keep(text, self._texts, self._woken)
            except _GONE as fault:
                log.warning("live_sign_unavailable", display=self._display, reason=type(fault).__name__)


class _Window:
    """The window itself, in its thread. Its text is drawn here: a server without fonts shows it too."""

    def __init__(self, connection: Any) -> None:
        connection.set_error_handler(lambda *_: None)
        self._connection = connection
        self._screen = connection.screen()
        self._window: Any = None
        self._ink: Any = None
        self._picture: Image | None = None
        self._left = False
        self._covered = False
        self._raised_at = 0.0

    def keep(self, text: str, texts: queue.SimpleQueue[str], woken: int) -> None:
        """Show it, and each text that comes after, until there is none."""
        while text:
            self._picture = draw_sign(text)
            self._place()
            while texts.empty():
                self._answer()
                self._wait(woken)
            text = texts.get()

    def _wait(self, woken: int) -> None:
        """For something to answer, or a text, or for the moment to rise above what covers us."""
        if not self._connection.pending_events():
            select.select([self._connection.fileno(), woken], [], [], RAISE_AGAIN_S)
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        if self._covered:
            self._raise()

    def _answer(self) -> None:
        while self._connection.pending_events():
            event = self._connection.next_event()
            if event.type == X.Expose:
                self._draw()
            elif event.type == X.ButtonPress:
                self._left = not self._left
                self._place()
            elif event.type == X.VisibilityNotify:
                self._covered = event.state != X.VisibilityUnobscured

    def _place(self) -> None:
        """Make the window as large as its picture, and put it into its corner."""
        assert self._picture is not None
        if self._window is None:
            self._make()
        width, height = self._picture.size
        x = MARGIN if self._left else max(0, self._screen.width_in_pixels - width - MARGIN)
        self._window.configure(x=x, y=MARGIN, width=width, height=height, stack_mode=X.Above)
        self._window.map()
        self._draw()

    def _make(self) -> None:
        self._window = self._screen.root.create_window(
            0,
            0,
            1,
            1,
            0,
            self._screen.root_depth,
            override_redirect=True,
            event_mask=X.ExposureMask | X.ButtonPressMask | X.VisibilityChangeMask,
        )
        self._window.set_wm_name("You are being watched or heard")
        self._window.set_wm_class("sealstream-sign", "Sealstream")
        self._ink = self._window.create_gc()

    def _draw(self) -> None:
        self._window.put_pil_image(self._ink, 0, 0, self._picture)
        self._connection.flush()

    def _raise(self) -> None:
        now = time.monotonic()
        if now - self._raised_at >= RAISE_AGAIN_S:
            self._raised_at = now
            self._window.configure(stack_mode=X.Above)
            self._connection.flush()


def draw_sign(text: str) -> Image:
    """A picture of the lines of `text`, each with a red dot before it."""
    from PIL import Image, ImageDraw, ImageFont  # only who is watched needs it

    font = ImageFont.load_default(FONT_SIZE)
    lines = text.splitlines()
    width = int(max(font.getlength(line) for line in lines)) + 3 * PADDING + DOT
    picture = Image.new("RGB", (width, LINE * len(lines) + 2 * PADDING), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        middle = PADDING + number * LINE + LINE // 2
        pen.ellipse((PADDING, middle - DOT // 2, PADDING + DOT, middle + DOT // 2), fill=MARK)
        pen.text((2 * PADDING + DOT, middle), line, font=font, fill=FOREGROUND, anchor="lm")
    return picture
