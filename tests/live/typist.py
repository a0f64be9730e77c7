"""A person at a real terminal: types into a program under a PTY, and waits for what it shows.

Never looks at anything but the screen.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Self

PATIENCE_S = 30.0


class Typist:
    """Use it as `with Typist(command, environment) as typist`; what is still there at the end is killed."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._screen = ""
        self._pid = 0
        self._terminal = -1
        self._code: int | None = None

    def __enter__(self) -> Self:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execvpe(self._command[0], list(self._command), dict(self._environment))
        return self

    def __exit__(self, *_: object) -> None:
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def type(self, text: str) -> None:
        """Key by key."""
        for key in text:
            os.write(self._terminal, key.encode())
            time.sleep(0.01)

    def await_text(self, text: str) -> None:
        """Wait until that is shown; what was shown before it is forgotten."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self._screen:
            assert time.monotonic() < deadline, f"{text!r} was not shown; the screen shows {self._screen[-500:]!r}"
            self._look(0.2)
        self._screen = self._screen.partition(text)[2]

    def await_end(self) -> int:
        """Wait for the command's end; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._code is None:
            assert time.monotonic() < deadline, f"it does not end; the screen shows {self._screen[-500:]!r}"
            self._look(0.1)
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def _look(self, within_s: float) -> None:
        readable, _, _ = select.select([self._terminal], [], [], within_s)
        if readable:
            try:
                self._screen += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                time.sleep(within_s)
