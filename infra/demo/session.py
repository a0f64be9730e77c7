"""A person at a recorded shell: types into `sealstream agent record -- bash` through a terminal of its own.

Never types what the recorded shell did not ask for: each line waits for the prompt before it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schemas.errors import LocalError

if TYPE_CHECKING:
    from infra.demo.shell import Shell

PROMPT = b"demo$ "
_WAIT_S = 30.0
_KEY_S = 0.02


async def record_session(shell: Shell, lines: Sequence[str]) -> None:
    """Type `lines` into a recorded bash, then leave it."""
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = await shell.start(
            "agent", "record", "--", "env", f"PS1={PROMPT.decode()}", "bash", "--norc", "--noprofile", terminal=theirs
        )  # fmt: skip
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    screen = _Screen(ours)
    try:
        for line in [*lines, "exit"]:
            await screen.wait_for(PROMPT)
            for key in line + "\r":
                os.write(ours, key.encode())
                await asyncio.sleep(_KEY_S)
        await asyncio.wait_for(process.wait(), _WAIT_S)
    finally:
        screen.close()
        if process.returncode is None:
            process.terminate()
            await process.wait()


class _Screen:
    """What the recorded terminal shows."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._read)

    def _read(self) -> None:
        try:
            self._shown += os.read(self._terminal, 65_536)
        except BlockingIOError:
            return
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self._terminal)
        self._more.set()

    async def wait_for(self, text: bytes) -> None:
        """Wait until `text` is shown, and forget all up to it."""
        try:
            async with asyncio.timeout(_WAIT_S):
                while text not in self._shown:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            shown = self._shown.decode(errors="replace")
            raise LocalError(f"the recorded shell did not show its prompt; it showed: {shown}") from None
        self._shown = self._shown.partition(text)[2]

    def close(self) -> None:
        """Let the terminal go."""
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)
