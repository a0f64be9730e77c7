"""A real desktop of its own, on a virtual display: terminal, browser and editor, used by keys as a person uses them.

Never touches a process or a display that it did not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from schemas.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = ("Xvfb", "openbox", "xdotool", "xterm", "chromium", "mousepad")
"""What has to be installed; all are packages of Debian of (nearly) the same names."""

_CHROMIUM = (
    "chromium", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
    "--disable-crash-reporter", "--disable-dev-shm-usage", "--password-store=basic", "--disable-infobars",
    "--test-type", "--disable-extensions",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider",
)  # fmt: skip
_START_S = 30.0
_STOP_S = 5.0


class Desktop:
    """Use it as `async with Desktop() as desktop`; the display's name is then `desktop.display`.

    Everything that the programs write goes to a directory that is removed at the end.
    """

    def __init__(self, size: tuple[int, int] = (1920, 1080), *, window_manager: bool = True) -> None:
        self._size = size
        self._window_manager = window_manager
        self._directory = tempfile.TemporaryDirectory(prefix="sealstream-desktop-", ignore_cleanup_errors=True)
        self.home = Path(self._directory.name)
        self.display = ""
        self._processes: list[asyncio.subprocess.Process] = []
        self._terminal = ""
        self._pages = 0
        self._texts = 0

    async def __aenter__(self) -> Self:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise ConfigError(f"a desktop needs {', '.join(missing)}: install them with apt-get install")
        try:
            await self._start_display()
            if self._window_manager:
                await self.start("openbox")
                await self._until_managed()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End what was started, the last first."""
        while self._processes:
            await _end(self._processes.pop())
        self._directory.cleanup()

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        """Start a program on this desktop; it ends with it."""
        with (self.home / "programs.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(),
                cwd=self.home, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        return process

    async def close(self, process: asyncio.subprocess.Process) -> None:
        """End one program that was started here."""
        self._processes.remove(process)
        await _end(process)

    async def open_terminal(self, title: str = "Terminal", command: Sequence[str] = ()) -> str:
        """An xterm with a shell, or that command; its window."""
        shell = list(command) or ["bash", "--norc", "--noprofile"]
        await self.start(
            "xterm", "-fa", "DejaVu Sans Mono", "-fs", "12", "-geometry", "90x24+40+60", "-bg", "white", "-fg", "black",
            "-T", title, "-xrm", "XTerm*allowTitleOps: false", "-e", *shell,
        )  # fmt: skip
        return await self.find(title)

    async def type_in_terminal(self, text: str) -> None:
        """Type a line and Enter into the terminal, which is opened first if there is none."""
        if not self._terminal:
            self._terminal = await self.open_terminal()
        await self.activate(self._terminal)
        await self.type(text)
        await self.press("Return")

    async def open_page(self, html: str, title: str) -> str:
        """Show a page in the browser, in a tab of its own once it is open; its window. `title` is the page's title."""
        self._pages += 1
        page = self.home / f"page-{self._pages}.html"
        page.write_text(html, encoding="utf-8")
        width, height = self._size
        place = (f"--window-size={width * 2 // 3},{height * 3 // 4}", f"--window-position={width // 4},{height // 8}")
        await self.start(*_CHROMIUM, f"--user-data-dir={self.home / 'chromium'}", *place, page.as_uri())
        window = await self.find(title)
        await self.activate(window)
        return window

    async def fill_form(self, *texts: str, submit: bool = False) -> None:
        """Type into the field that has the focus (`autofocus`), and each further text into the field after it."""
        for number, text in enumerate(texts):
            if number:
                await self.press("Tab")
            await self.type(text)
        if submit:
            await self.press("Return")

    async def edit_text(self, text: str, name: str = "") -> str:
        """Type into a new file in the text editor; its window."""
        self._texts += 1
        file = self.home / (name or f"note-{self._texts}.txt")
        file.touch()
        await self.start("mousepad", "--disable-server", str(file))
        window = await self.find(file.name)
        await self.activate(window)
        await self.type(text)
        return window

    async def find(self, title: str) -> str:
        """The window whose title contains that; waits for it to be shown."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            found = (await self._xdotool("search", "--onlyvisible", "--name", title, quiet=True)).split()
            if found:
                return found[-1]
            if self._window_manager:  # openbox may sit on a window's wish to be shown until another event comes
                await self._xdotool("set_desktop", "0", quiet=True)
            await asyncio.sleep(0.1)
        raise LocalError(f"no window {title!r} came up within {_START_S:.0f} s: {self._last_words()}")

    async def activate(self, window: str) -> None:
        """Bring a window to the front, and wait until it has the keyboard."""
        verb = "windowactivate" if self._window_manager else "windowfocus"
        await self._xdotool(verb, "--sync", window)

    async def type(self, text: str, delay_ms: int = 15) -> None:
        """Type as a person does: key by key, to the window in front."""
        for number, line in enumerate(text.split("\n")):
            if number:
                await self.press("Return")
            if line:
                await self._xdotool("type", "--delay", str(delay_ms), "--", line, timeout_s=_START_S + len(line))

    async def press(self, *keys: str) -> None:
        """Press keys, such as `Return` or `ctrl+w`."""
        await self._xdotool("key", *keys)

    async def resize(self, width: int, height: int) -> None:
        """Give the display another resolution, up to the one that it began with."""
        await asyncio.to_thread(_resize, self.display, width, height)

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY")
        }
        return {
            **kept, "DISPLAY": self.display, "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home), "PS1": "$ ",
            "NO_AT_BRIDGE": "1", "GSETTINGS_BACKEND": "memory", "LANG": "C.UTF-8",
        }  # fmt: skip

    async def _start_display(self) -> None:
        readable, writable = os.pipe()
        width, height = self._size
        try:
            process = await asyncio.create_subprocess_exec(
                "Xvfb", "-displayfd", str(writable), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp",
                "-noreset", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL, pass_fds=(writable,), start_new_session=True,
            )  # fmt: skip
            self._processes.append(process)
            os.close(writable)
            writable = -1
            answer = await asyncio.wait_for(asyncio.to_thread(_read_line, readable), _START_S)
        finally:
            os.close(readable)
            if writable >= 0:
                os.close(writable)
        if not answer.strip().isdigit():
            raise LocalError("Xvfb did not start")
        self.display = f":{int(answer)}"

    async def _until_managed(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if (await self._xdotool("get_num_desktops", quiet=True)).strip().isdigit():
                return
            await asyncio.sleep(0.05)
        raise LocalError(f"openbox did not start: {self._last_words()}")

    async def _xdotool(self, *arguments: str, quiet: bool = False, timeout_s: float = _START_S) -> str:
        process = await asyncio.create_subprocess_exec(
            "xdotool", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self._environment(),
        )  # fmt: skip
        try:
            output, complaint = await asyncio.wait_for(process.communicate(), timeout_s)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise LocalError(f"xdotool {arguments[0]} did not come back within {timeout_s:.0f} s") from None
        if process.returncode and not quiet:
            raise LocalError(f"xdotool {arguments[0]}: {complaint.decode(errors='replace').strip()}")
        return output.decode(errors="replace")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return (self.home / "programs.log").read_text(errors="replace")[-300:]
        return ""


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started: they share a process group of its number."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_S)
            if number == signal.SIGTERM:
                await asyncio.sleep(0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _read_line(descriptor: int) -> bytes:
    """All of it: a server that cannot write the line's end gives up."""
    line = b""
    while not line.endswith(b"\n") and (more := os.read(descriptor, 16)):
        line += more
    return line


def _resize(display: str, width: int, height: int) -> None:
    from Xlib.display import Display

    connection = Display(display)
    try:
        root: Any = connection.screen().root
        known = root.xrandr_get_screen_resources()
        name = f"{width}x{height}"
        timing = (60 * (width + 256) * (height + 28), width + 40, width + 168, width + 256, 0)
        vertical = (height + 1, height + 5, height + 28)
        mode = (0, width, height, *timing, *vertical, len(name), 0)
        number = root.xrandr_create_mode(mode, name).mode
        control: Any = connection
        control.xrandr_add_output_mode(known.outputs[0], number)
        control.xrandr_set_crtc_config(known.crtcs[0], known.config_timestamp, 0, 0, number, 1, [known.outputs[0]])
        root.xrandr_set_screen_size(width, height, width // 4, height // 4)
        connection.sync()
    finally:
        connection.close()
