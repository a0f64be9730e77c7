"""Asking for a passphrase, at the terminal or from a file, into a buffer that can be wiped.

Never makes a `str` of it: those stay in memory until chance overwrites them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import ConfigError
from schemas.unlock_channel import MAX_PASSPHRASE_BYTES, wipe

_ENDS, _BACKSPACE = b"\r\n\x04", b"\x08\x7f"
_KILL, _INTERRUPT = 0x15, 0x03


@contextlib.contextmanager
def entered_passphrase(file: Path | None, prompt: str = "Passphrase") -> Iterator[bytearray]:
    """The passphrase in `file`, or as typed; wiped at the end."""
    passphrase = _read_file(file) if file else _ask(prompt)
    try:
        yield passphrase
    finally:
        wipe(passphrase)


def _read_file(file: Path) -> bytearray:
    buffer = bytearray(MAX_PASSPHRASE_BYTES)
    try:
        with file.open("rb", buffering=0) as opened:
            length = opened.readinto(buffer) or 0
    except OSError as error:
        raise ConfigError(f"the passphrase file cannot be read: {file}: {error.strerror}") from None
    while length and buffer[length - 1] in b"\r\n":
        length -= 1
    del buffer[length:]
    return buffer


def _ask(prompt: str) -> bytearray:
    """Typed at the terminal, unseen."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        if sys.stdin.isatty():
            terminal = os.dup(sys.stdin.fileno())
        else:
            raise ConfigError("there is no terminal to ask for the passphrase: use --passphrase-file") from None
    try:
        before = termios.tcgetattr(terminal)
        unseen = termios.tcgetattr(terminal)
        unseen[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        termios.tcsetattr(terminal, termios.TCSAFLUSH, unseen)
        os.write(terminal, f"{prompt}: ".encode())
        try:
            return _read_line(terminal)
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
            os.write(terminal, b"\n")
    finally:
        os.close(terminal)


def _read_line(terminal: int) -> bytearray:
    line, read = bytearray(), bytearray(1)
    while os.readv(terminal, [read]) and read[0] not in _ENDS:
        key = read[0]
        if key == _INTERRUPT:
            wipe(line)
            raise KeyboardInterrupt
        if key == _KILL:
            wipe(line)
            line.clear()
        elif key in _BACKSPACE:
            while line and 0x80 <= line.pop() < 0xC0:
                pass  # the rest of a letter of several bytes
        elif len(line) < MAX_PASSPHRASE_BYTES:
            line += read
    return line
