"""Supervises worker processes on this node: starts them, starts again what ended or hangs, stops them together.

Never hides a crash: the exit code and the wait are told, and a worker's own log says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from infra.datadir import DataDir
from streams.backoff import Backoff

log = structlog.get_logger(__name__)

STOP_WITHIN_S = 20.0
STABLE_S = 60.0
HUNG_S = 60.0
_LOOK_S = 5.0
_ANSWER_S = 5.0


def worker_command(number: int) -> list[str]:
    """What starts one worker."""
    return [sys.executable, "-m", "infra.cli", "streams", "run", "--worker", str(number)]


def free_numbers(data: DataDir, count: int) -> list[int]:
    """The lowest worker numbers that no living worker of this node has."""
    free = (number for number in range(1, 10_000) if _note(data, number) is None)
    return [next(free) for _ in range(count)]


class WorkerSupervisor:
    """Keeps workers with these numbers running until `stop` is set."""

    def __init__(self, data: DataDir, numbers: Sequence[int], backoff: Backoff | None = None) -> None:
        self._data = data
        self._numbers = numbers
        self._backoff = backoff or Backoff(first_s=1.0, most_s=30.0)
        self.restarts = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Return once all workers have stopped."""
        await asyncio.gather(*(self._keep(number, stop) for number in self._numbers))

    async def _keep(self, number: int, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            began = time.monotonic()
            code = await self._run_once(number, stop)
            if stop.is_set():
                return
            failures = 1 if time.monotonic() - began > STABLE_S else failures + 1
            self.restarts += 1
            log.error("worker_ended", worker=number, exit_code=code, log=str(self._log(number)), failures=failures)
            await _either(stop.wait(), self._backoff.wait(failures))

    async def _run_once(self, number: int, stop: asyncio.Event) -> int:
        """One life of a worker; its exit code."""
        path = self._log(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *worker_command(number), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "SEALSTREAM_DATA": str(self._data.root)}, start_new_session=True,
            )  # fmt: skip
        log.info("worker_started", worker=number, pid=process.pid, log=str(path))
        ended = asyncio.create_task(process.wait())
        await _either(ended, stop.wait(), self._until_hung(number))
        if not ended.done():
            await _end(process, signal.SIGTERM if stop.is_set() else signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # what it left behind, such as OCR processes
            os.killpg(process.pid, signal.SIGKILL)
        return await ended

    async def _until_hung(self, number: int) -> None:
        """Return when a worker that answered once has not answered for long."""
        answered: float | None = None
        while answered is None or time.monotonic() - answered < HUNG_S:
            await asyncio.sleep(_LOOK_S)
            note = _note(self._data, number)
            if note is not None and await _answers(str(note["health"])):
                answered = time.monotonic()
        log.error("worker_hung", worker=number, silent_s=HUNG_S)

    def _log(self, number: int) -> Path:
        return self._data.log(f"streams-{number}")


async def _either(*work: object) -> None:
    """Return when the first ends; cancel the others, but not a task that was running before."""
    tasks = [one if isinstance(one, asyncio.Task) else asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]
    own = [task for task, one in zip(tasks, work, strict=True) if task is not one]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in own:
        task.cancel()
    await asyncio.gather(*own, return_exceptions=True)


async def _end(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        log.warning("worker_killed", pid=process.pid)
        process.kill()


def _note(data: DataDir, number: int) -> dict[str, object] | None:
    """What a living worker noted of itself."""
    try:
        note = json.loads((data.run / f"streams-{number}.json").read_text("utf-8"))
        os.kill(int(note["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return dict(note)


async def _answers(url: str) -> bool:
    """Whether the health port answers at all; what it answers is for people to see."""
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: worker\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return line.startswith(b"HTTP/1.1 ")
