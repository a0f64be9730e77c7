"""A command under a terminal of its own, and the person's terminal while it is handed through.

Never keeps the command's end open after the command has ended: the last of its output would have no end.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import struct
import termios
import tty
from typing import TYPE_CHECKING, NamedTuple

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READ_BYTES = 65536
_SIZE = struct.Struct("HHHH")
_COUNT = struct.Struct("i")
_IFLAG, _OFLAG, _LFLAG, _CC = 0, 1, 3, 6


class TerminalSize(NamedTuple):
    """Columns and rows."""

    columns: int
    rows: int


class TerminalMode(NamedTuple):
    """How the terminal treats what is typed.

    `canonical`: the kernel hands over whole lines; `echo`: the kernel shows what is typed. A shell's own line
    editor has both off and shows by itself.
    """

    canonical: bool
    echo: bool


class PseudoTerminal:
    """A running command and our end of its terminal. Its end is a session of its own, as at a login."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: TerminalSize,
        attributes: list[int | list[bytes | int]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        environment = dict(os.environ if environment is None else environment)
        if shutil.which(command[0], path=environment.get("PATH")) is None:
            raise ConfigError(f"there is no command {command[0]!r} to record")
        self.master, self._slave = os.openpty()
        if attributes is not None:
            termios.tcsetattr(self._slave, termios.TCSANOW, attributes)
        self.resize(size)
        self.pid = _spawn(command, os.ttyname(self._slave), environment)
        os.set_blocking(self.master, False)
        self.exit_code: int | None = None

    def resize(self, size: TerminalSize) -> None:
        """Give the terminal another size; the command in front gets SIGWINCH from the kernel."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, _SIZE.pack(size.rows, size.columns, 0, 0))

    def mode(self) -> TerminalMode:
        """How input is treated just now."""
        try:
            flags = termios.tcgetattr(self.master)[_LFLAG]
        except termios.error:  # the other end is gone: nobody reads, nothing is shown
            return TerminalMode(canonical=True, echo=False)
        return TerminalMode(bool(flags & termios.ICANON), bool(flags & termios.ECHO))

    def unread(self) -> int:
        """Bytes typed that the command has not yet taken; of an unfinished line none."""
        if self._slave < 0:
            return 0
        try:
            answer = fcntl.ioctl(self._slave, termios.FIONREAD, bytes(_COUNT.size))
        except OSError:
            return 0
        return int(_COUNT.unpack(answer)[0])

    def end_of_file(self) -> bytes:
        """What a person would type to end the input: Ctrl-D, unless the terminal is set otherwise."""
        try:
            return bytes(termios.tcgetattr(self.master)[_CC][termios.VEOF])
        except (termios.error, TypeError):
            return b"\x04"

    def read(self) -> bytes | None:
        """Output that is there now; None when there is none yet; empty when there will be no more."""
        try:
            return os.read(self.master, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise

    def write(self, data: bytes) -> int:
        """Type `data`; the number of bytes that the terminal took."""
        try:
            return os.write(self.master, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno == errno.EIO:
                return len(data)  # nobody is left to read it
            raise

    def poll(self) -> bool:
        """Whether the command has ended; sets `exit_code` (128 and the signal's number when one ended it)."""
        if self.exit_code is not None:
            return True
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        code = os.waitstatus_to_exitcode(status)
        self.exit_code = code if code >= 0 else 128 - code
        return True

    def close_far_end(self) -> None:
        """After the command has ended: only now can its output have an end."""
        os.close(self._slave)
        self._slave = -1

    def signal(self, number: int) -> None:
        """Signal the command and whatever is in front of its terminal."""
        if self.exit_code is not None:
            return
        groups = {self.pid}
        with contextlib.suppress(OSError):
            groups.add(os.tcgetpgrp(self.master))
        for group in groups - {0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
                os.killpg(group, signal.SIGCONT)

    def close(self) -> None:
        """Let go of both ends; a command that still runs gets SIGHUP from the kernel."""
        for end in (self._slave, self.master):
            if end >= 0:
                os.close(end)
        self._slave = self.master = -1


class PersonsTerminal:
    """The person's own terminal, or the pipe in its place: raw while we hand through, as it was after.

    Never left raw: `restore` is called on every way out, and does nothing the second time.
    """

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.attributes = _attributes(stdin)

    @property
    def is_terminal(self) -> bool:
        """Whether a person types here, and not a pipe or a file."""
        return self.attributes is not None

    def size(self) -> TerminalSize:
        """Its size; of a pipe what COLUMNS and LINES say, or 80 by 24."""
        for descriptor in (self.stdin, self.stdout):
            try:
                rows, columns, _, _ = _SIZE.unpack(fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(_SIZE.size)))
            except OSError:
                continue
            if rows and columns:
                return TerminalSize(columns, rows)
        return TerminalSize(_positive("COLUMNS", 80), _positive("LINES", 24))

    def make_raw(self) -> None:
        """Hand every key through as it is."""
        if self.attributes is not None:
            tty.setraw(self.stdin, termios.TCSANOW)

    def restore(self) -> None:
        """As it was."""
        if self.attributes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.stdin, termios.TCSADRAIN, self.attributes)


def _attributes(descriptor: int) -> list[int | list[bytes | int]] | None:
    try:
        return termios.tcgetattr(descriptor)
    except termios.error:
        return None


def _positive(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() and 0 < int(value) < 65536 else default


def _spawn(command: Sequence[str], terminal: str, environment: dict[str, str]) -> int:
    """Start the command as leader of a new session; the first terminal that it opens becomes its own.

    posix_spawn and not fork: the agent has threads.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    defaults = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP]
    return os.posix_spawnp(
        command[0], list(command), environment, file_actions=actions, setsid=True, setsigmask=[], setsigdef=defaults
    )
