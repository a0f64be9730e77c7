"""The loop between a person's terminal and a recorded command: hand through first, record beside it.

Never changes a byte that passes, and never loses output at the command's end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.sources.masking import InputMask, Piece

if TYPE_CHECKING:
    from agent.sources.pseudoterminal import PersonsTerminal, PseudoTerminal, TerminalSize

Tell = Callable[[str, dict[str, Any]], None]
"""Takes an event's kind and its fields; may block."""

LAST_OUTPUT_S = 0.3
"""After the command has ended, another process may hold its terminal: its silence for so long is the end."""

HANG_UP_S = 3.0
"""A command that does not end for so long after SIGHUP is killed."""

_TYPE_AHEAD_BYTES = 262_144


class Handover:
    """Runs in a thread of its own. Where `tell` blocks, the terminal waits.

    `hang_up`, `resize` and `wake` may be called from any thread.
    """

    def __init__(self, command: PseudoTerminal, person: PersonsTerminal, tell: Tell) -> None:
        self._command = command
        self._person = person
        self._tell = tell
        self._mask = InputMask()
        self._to_command = bytearray()
        self._input_open = True
        self._size: TerminalSize | None = None
        self._hung_up_at: float | None = None
        self._signal_at = 0.0
        self._end_typed_at = 0.0
        self._end_wait_s = 0.1
        self._ended_at: float | None = None
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._exit_watch = _open_pidfd(command.pid)

    def run(self) -> int:
        """Hand through until the command has ended and all of its output is told; its exit code."""
        try:
            while not self._finished():
                self._turn()
            self._tell_pieces(self._mask.finish(_now_us(), 0))
        finally:
            for descriptor in (self._woken, self._wake, self._exit_watch):
                if descriptor is not None:
                    os.close(descriptor)
            self._command.close()
        return self._command.exit_code or 0

    def resize(self, size: TerminalSize) -> None:
        """The person's terminal has another size now."""
        self._size = size
        self.wake()

    def hang_up(self) -> None:
        """The person is gone: tell the command so, and kill it when it stays."""
        self._hung_up_at = self._hung_up_at or time.monotonic()
        self.wake()

    def wake(self) -> None:
        """Make the loop look round."""
        with contextlib.suppress(OSError):
            os.write(self._wake, b"\0")

    def _turn(self) -> None:
        readable, writable = self._wait()
        if self._woken in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            self._heed_requests()
        if self._person.stdin in readable:
            self._take_input()
        if self._command.master in writable:
            self._type()
        if self._command.master in readable:
            self._print()
        self._type_end_of_file()
        if self._mask.pending:
            now_us = _now_us()
            self._mask.observe(now_us, self._command.mode(), self._command.unread())
            self._tell_pieces(self._mask.take(now_us))

    def _wait(self) -> tuple[list[int], list[int]]:
        reading = [self._woken, self._command.master]
        if self._exit_watch is not None and self._ended_at is None:
            reading.append(self._exit_watch)
        if self._input_open and len(self._to_command) < _TYPE_AHEAD_BYTES:
            reading.append(self._person.stdin)
        writing = [self._command.master] if self._to_command else []
        readable, writable, _ = select.select(reading, writing, [], self._patience_s())
        return readable, writable

    def _patience_s(self) -> float | None:
        """How long nothing may happen before something is due."""
        if self._ended_at is not None:
            return 0.02
        if self._mask.pending:
            return self._mask.look_again_s(_now_us())
        if self._hung_up_at is not None or not self._input_open or self._exit_watch is None:
            return 0.1
        return None

    def _heed_requests(self) -> None:
        size, self._size = self._size, None
        if size is not None:
            self._command.resize(size)
            self._tell("resize", {"columns": size.columns, "rows": size.rows})

    def _take_input(self) -> None:
        try:
            data = os.read(self._person.stdin, 65536)
        except BlockingIOError:
            return
        except OSError:  # the person's terminal is gone
            data = b""
        if data:
            self._to_command += data
            self._type()
            return
        self._input_open = False
        if self._person.is_terminal:
            self.hang_up()

    def _type(self) -> None:
        if not self._to_command:
            return
        mode = self._command.mode()
        taken = self._command.write(bytes(self._to_command[:4096]))
        if taken:
            self._mask.typed(bytes(self._to_command[:taken]), _now_us(), mode)
            del self._to_command[:taken]

    def _type_end_of_file(self) -> None:
        """A pipe has ended: type what a person would, now and again, for whoever reads next."""
        if self._input_open or self._person.is_terminal or self._to_command or self._ended_at is not None:
            return
        now = time.monotonic()
        if now - self._end_typed_at < self._end_wait_s or self._command.unread():
            return
        self._command.write(self._command.end_of_file())
        self._end_typed_at = now
        self._end_wait_s = min(self._end_wait_s * 2, 2.0)

    def _print(self) -> bool:
        data = self._command.read()
        if not data:
            return False
        now_us = _now_us()
        if self._mask.pending:  # first of all: who printed this may have taken what was typed
            self._mask.observe(now_us, self._command.mode(), self._command.unread())
        self._mask.printed(data, now_us)
        self._tell_pieces(self._mask.take(now_us))
        try:
            _write_all(self._person.stdout, data)
        except OSError:  # nobody looks any more
            self.hang_up()
        return True

    def _finished(self) -> bool:
        now = time.monotonic()
        if self._ended_at is None:
            if self._command.poll():
                self._ended_at = now
                while self._print():
                    pass
                self._tell_pieces(self._mask.finish(_now_us(), self._command.unread()))
                self._command.close_far_end()
            elif self._hung_up_at is not None and now >= self._signal_at:  # more than once: a shell may just not look
                self._command.signal(signal.SIGKILL if now - self._hung_up_at > HANG_UP_S else signal.SIGHUP)
                self._signal_at = now + 0.3
            return False
        while (data := self._command.read()) is not None:
            if not data:
                return True
            self._mask.printed(data, _now_us())
            with contextlib.suppress(OSError):
                _write_all(self._person.stdout, data)
            self._ended_at = now
        return now - self._ended_at > LAST_OUTPUT_S

    def _tell_pieces(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            self._tell(piece.kind, {"time_us": piece.time_us, "data": piece.data, "masked": piece.masked})


def _now_us() -> int:
    return time.time_ns() // 1000


def _open_pidfd(pid: int) -> int | None:
    """Readable when the process has ended; None where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [], 1.0)
