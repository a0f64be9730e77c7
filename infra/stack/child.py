"""One program that the stack started: known for certain, and ended with everything that it started itself.

Never trusts a pid alone: the kernel gives it to others later, so its start time and the boot are compared too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.stack.account import Account

MARK = "SEALSTREAM_STACK"
"""Environment variable that every program of a stack carries; its value is the data directory."""

_GATE = 'read -r go && exec "$@" < /dev/null'
"""The program starts only when its pid is written down: if we are killed before that, it reads the end and goes."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LARGE_LOG = 50 * 1024 * 1024
_KILL_WAIT_S = 5.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells one process from all others, for ever: pid, start time in clock ticks, boot."""

    pid: int
    start_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Mark | None:
        """The mark of a living process."""
        ticks = _start_ticks(pid)
        return None if ticks is None else cls(pid, ticks, _BOOT.read_text().strip())

    @property
    def alive(self) -> bool:
        """Whether this very process lives."""
        return Mark.of(self.pid) == self


class Child:
    """A started program, leader of its own session, waiting at the gate until `release`."""

    def __init__(self, process: asyncio.subprocess.Process, mark: Mark, data: Path) -> None:
        self._process = process
        self._data = data
        self.mark = mark

    @classmethod
    async def start(
        cls,
        command: Sequence[str | Path],
        *,
        data: Path,
        log: Path,
        environment: Mapping[str, str],
        account: Account | None = None,
    ) -> Child:
        """Start `command` up to the gate, with its output in `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        rotate(log)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                _GATE,
                "sh",
                *map(str, command),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**environment, MARK: str(data)},
                cwd=data,
                start_new_session=True,
                **({} if account is None else account.arguments),
            )
        mark = Mark.of(process.pid)
        assert mark is not None  # it is our child: even dead it stays until it is waited for
        return cls(process, mark, data)

    def release(self) -> None:
        """Open the gate: the program replaces the shell that waits there, under the same pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.close()

    async def wait(self) -> int:
        """Its exit code, once it has ended; what it left behind is ended too."""
        code = await self._process.wait()
        await end_processes(list(members(self.mark, self._data)), signal.SIGKILL, 0)
        return code

    async def stop(self, how: signal.Signals, within_s: float) -> bool:
        """Ask it to end, then what it started, then make them; true where asking was enough."""
        deadline = time.monotonic() + within_s
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), within_s)
        left = list(members(self.mark, self._data))
        asked = await end_processes(left, signal.SIGTERM, max(0.0, deadline - time.monotonic()))
        await self._process.wait()
        return asked


def rotate(log: Path) -> None:
    """Put a log that has grown large aside; one older log is kept."""
    if log.exists() and log.stat().st_size > _LARGE_LOG:
        log.replace(log.with_suffix(".log.1"))


def members(mark: Mark, data: Path) -> Iterator[Mark]:
    """The living processes of the session that `mark` leads or led.

    Where the leader is gone its number may lead a stranger's session: then only those that carry our mark count.
    """
    led = mark.alive
    for pid in _pids():
        try:
            session = os.getsid(pid)
        except ProcessLookupError:
            continue
        if session == mark.pid and (led or _carries_mark(pid, data)):
            found = Mark.of(pid)
            if found is not None:
                yield found


def carriers(data: Path) -> Iterator[Mark]:
    """Every living process that carries this data directory's mark, whoever remembers it."""
    for pid in _pids():
        if pid != os.getpid() and _carries_mark(pid, data) and (found := Mark.of(pid)):
            yield found


async def end_processes(marks: Sequence[Mark], how: signal.Signals, within_s: float) -> bool:
    """Signal them, wait, then kill what is left; true where nothing was. Each is known again before every signal."""
    _signal_all(marks, how)
    await _until_gone(marks, within_s)
    gone = not any(mark.alive for mark in marks)
    _signal_all(marks, signal.SIGKILL)
    await _until_gone(marks, _KILL_WAIT_S)
    return gone


def _signal_all(marks: Sequence[Mark], how: signal.Signals) -> None:
    for mark in marks:
        if mark.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(mark.pid, how)


async def _until_gone(marks: Sequence[Mark], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while any(mark.alive for mark in marks) and time.monotonic() < deadline:  # noqa: ASYNC110  # not our children
        await asyncio.sleep(_LOOK_EVERY_S)


def _pids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            yield int(entry.name)


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; none for what is gone, or ended and merely not waited for."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def _carries_mark(pid: int, data: Path) -> bool:
    try:
        return f"{MARK}={data}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
