"""Which of what is typed may be kept: nothing that the terminal did not show to the person who typed it.

Never lets a password through, typed ahead or not; in doubt it masks. Pure: bytes and times in, events out.

    a whole line, kernel shows it      kept when the command takes it at once: it was waiting, and the echo was on
    a line typed ahead                 nobody was waiting, so the echo may be off when it is taken: kept when it is
                                       shown again by who took it (line editors do), otherwise masked
    echo off, kernel hands over lines  masked: a password prompt
    echo off, every key handed over    the command shows by itself (line editors, vim): kept when its output shows
                                       the keys together and in their order within a second, otherwise masked, and
                                       masked at once where it shows stars for them

What follows a prompt for a password is always masked: some programs print it before they switch the echo off. The
kernel's echo of a line is held back with the line, and goes with it where it is masked.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from agent.sources.showing import NEEDED, State, Typed, note_shown, text_of, without_escapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.sources.pseudoterminal import TerminalMode

PROMPT_US = 60_000
"""A line that is taken within this time had somebody waiting for it."""

SHOWN_WITHIN_US = 1_000_000
"""How long a command that shows by itself has for it; also how long output waits for typed input before it."""

ARRIVED_US = 50_000
"""By then the kernel has taken in what was typed, even where its echo was not recognised."""

HELD_BYTES = 65536
"""Output that may wait behind input that is not yet judged."""

_SECRET_WORDS = rb"pass ?(word|phrase|code)|\bpin\b|secret|token|one-time|verification code"
_PROMPT = re.compile(rb"(?i)(" + _SECRET_WORDS + rb")[^\r\n:>?]*[:>?][*\s]*$")
_ENDS = b"\r\n\x03\x04\x1a\x1c"
_LINES = re.compile(b"[^" + _ENDS + b"]*[" + _ENDS + b"]|[^" + _ENDS + b"]+")
_PROMPT_TAIL = 200


class Piece(NamedTuple):
    """Part of a session in the order of time: `kind` is input or output; masked input has no data."""

    time_us: int
    kind: str
    data: bytes
    masked: bool = False


class _Echo(NamedTuple):
    typed: Typed
    since_us: int
    data: bytes


class InputMask:
    """Tell it what was typed and printed; take from it what may be recorded."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[Piece, Typed | None]] = deque()
        self._typed: deque[Typed] = deque()
        self._echoes: deque[_Echo] = deque()
        self._line: Typed | None = None  # the line that is being typed
        self._printed = b""  # the line that is being printed
        self._last_us = 0
        self._unread = 0
        self._told_masked = False

    @property
    def pending(self) -> bool:
        """Whether something waits to be judged: then `observe` and `take` are due again soon."""
        return bool(self._typed or self._pieces)

    def look_again_s(self, now_us: int) -> float:
        """Seconds until it is worth looking again: soon at first, then ever less often."""
        since_us = min((now_us - typed.since_us for typed in self._typed), default=0)
        return min(max(since_us / 1e6 / 8, 0.002), 0.1)

    def typed(self, data: bytes, now_us: int, mode: TerminalMode) -> None:
        """Input, and the terminal's mode just before the command was given it."""
        if mode.canonical:
            for part in _LINES.findall(data):
                self._typed_line(part, now_us, mode)
        else:
            self._line = None
            self._typed_keys(data, now_us, mode)

    def printed(self, data: bytes, now_us: int) -> None:
        """Output of the command, with the kernel's echo in it."""
        note_shown(self._typed, data)
        self._printed = re.split(rb"[\r\n]", (self._printed + data)[-_PROMPT_TAIL:])[-1]
        for part, echoed in self._split_echo(data, now_us):
            self._pieces.append((Piece(now_us, "output", part), echoed))

    def observe(self, now_us: int, mode: TerminalMode, unread: int) -> None:
        """The terminal's mode, and how many bytes typed the command has not taken: judge what can be judged."""
        progress, self._unread = unread < self._unread, unread
        for typed in self._typed:
            if progress and typed.state is State.WAITING and now_us - typed.since_us <= PROMPT_US:
                typed.since_us = now_us  # it stands in the queue of somebody who reads
            _judge(typed, now_us, mode, unread)
        self._typed = deque(typed for typed in self._typed if not typed.judged)

    def take(self, now_us: int) -> list[Piece]:
        """What may be recorded now, in order of time. Output waits for input before it a second, and no longer."""
        if not self._typed:
            return list(self._take(overtaking=False))
        held = sum(len(piece.data) for piece, _ in self._pieces)
        late = bool(self._pieces) and now_us - self._pieces[0][0].time_us > SHOWN_WITHIN_US
        return list(self._take(overtaking=late or held > HELD_BYTES))

    def finish(self, now_us: int, unread: int) -> list[Piece]:
        """The command has ended: what it did not take at once, or did not show, is masked."""
        for typed in self._typed:
            if not typed.judged:
                prompt = typed.state is State.WAITING and not unread and now_us - typed.since_us <= PROMPT_US
                typed.state = State.KEPT if prompt else State.MASKED
        self._typed.clear()
        return list(self._take(overtaking=False))

    def _typed_line(self, part: bytes, now_us: int, mode: TerminalMode) -> None:
        line = self._line
        if line is None:
            line = self._line = Typed(State.MASKED if self._at_prompt() else State.OPEN, now_us)
            self._typed.append(line)
        line.text += part
        self._pieces.append((Piece(now_us, "input", part), line))
        echo = _echo_of(part)
        if not mode.echo:
            line.state = State.MASKED
        elif echo:
            line.echoes += 1
            self._echoes.append(_Echo(line, now_us, echo))
        if part[-1:] in _ENDS:
            self._line = None
            self._printed = b""
            line.since_us = now_us
            line.state = State.WAITING if line.state is State.OPEN else line.state

    def _typed_keys(self, data: bytes, now_us: int, mode: TerminalMode) -> None:
        text = text_of(data)
        if mode.echo or not text:
            self._pieces.append((Piece(now_us, "input", data), None))
            return
        typed = Typed(State.MASKED if self._at_prompt() else State.UNSHOWN, now_us, text[:NEEDED], keys=True)
        self._typed.append(typed)
        self._pieces.append((Piece(now_us, "input", data), typed))

    def _at_prompt(self) -> bool:
        return _PROMPT.search(without_escapes(self._printed)) is not None

    def _split_echo(self, data: bytes, now_us: int) -> Iterator[tuple[bytes, Typed | None]]:
        """`data` in parts: the echo of input that is not kept, or not yet, with that input; the rest with None."""
        expected, self._echoes = self._echoes, deque()
        for echo in expected:
            if echo.typed.state is State.KEPT or now_us - echo.since_us > SHOWN_WITHIN_US:
                continue
            at, length = _find_echo(echo.data, data)
            if length < len(echo.data):
                self._echoes.append(echo._replace(data=echo.data[length:]))
            else:
                echo.typed.echoes -= 1
            if length:
                if at:
                    yield data[:at], None
                yield data[at : at + length], echo.typed
                data = data[at + length :]
        if data:
            yield data, None

    def _take(self, *, overtaking: bool) -> Iterator[Piece]:
        left: deque[tuple[Piece, Typed | None]] = deque()
        while self._pieces:
            piece, typed = self._pieces.popleft()
            if (typed is None or typed.judged) and (overtaking or not left):
                yield from self._tell(piece, typed)
            else:
                left.append((piece, typed))
                if not overtaking:
                    break
        left.extend(self._pieces)
        self._pieces = left

    def _tell(self, piece: Piece, typed: Typed | None) -> Iterator[Piece]:
        self._last_us = time_us = max(piece.time_us, self._last_us)
        masked = typed is not None and typed.state is State.MASKED
        if not masked:
            yield piece._replace(time_us=time_us)
        elif piece.kind == "input" and not self._told_masked:
            yield Piece(time_us, "input", b"", masked=True)
        if piece.kind == "input":  # one event for a whole line, so that not even its length is kept
            self._told_masked = masked and piece.data[-1:] not in _ENDS


def _judge(typed: Typed, now_us: int, mode: TerminalMode, unread: int) -> None:
    since_us = now_us - typed.since_us
    arrived = typed.echoes == 0 or since_us > ARRIVED_US
    if typed.state is State.WAITING and since_us > PROMPT_US + (ARRIVED_US if typed.echoes else 0):
        typed.state = State.AHEAD
    if typed.judged or (typed.state is State.WAITING and not unread and not arrived):
        return
    if typed.state is State.WAITING and not unread:
        typed.state = State.KEPT
    elif typed.state is State.UNSHOWN:
        _wait_for_show(typed, now_us, unread)
    elif not mode.canonical or (typed.state is State.AHEAD and not unread and mode.echo):
        # a line editor took over, or somebody took the line: does it show again?
        typed.text, typed.since_us = text_of(typed.text)[:NEEDED], now_us
        typed.state = State.UNSHOWN if typed.text else State.KEPT
    elif not mode.echo:
        typed.state = State.MASKED


def _wait_for_show(typed: Typed, now_us: int, unread: int) -> None:
    if unread:
        typed.since_us = now_us
    elif now_us - typed.since_us > SHOWN_WITHIN_US:
        typed.state = State.MASKED


def _echo_of(part: bytes) -> bytes:
    """What the kernel shows for it, as terminals are usually set."""
    return b"".join(_ECHOES.get(byte, bytes([byte])) for byte in part)


def _find_echo(echo: bytes, data: bytes) -> tuple[int, int]:
    """Where the echo begins in `data` and how much of it is there: all, or what the end of `data` cuts off, or none."""
    at = data.find(echo)
    if at >= 0:
        return at, len(echo)
    for length in range(min(len(echo) - 1, len(data)), 0, -1):
        if data.endswith(echo[:length]):
            return len(data) - length, length
    return 0, 0


_ECHOES = {byte: b"^" + bytes([byte ^ 0x40]) for byte in range(32)} | {
    0x04: b"",
    0x09: b"\t",
    0x0A: b"\r\n",
    0x0D: b"\r\n",
    0x7F: b"\b \b",
}
