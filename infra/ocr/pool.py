"""OCR processes, and which of them reads which agent.

Never blocks the event loop, and never holds more requests than a few for each process.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

import orjson
import structlog

from infra.ocr.meter import OcrMeter
from infra.ocr.protocol import LENGTH, LENGTHS
from infra.ocr.text import ScreenText
from schemas.errors import MalformedError, SealstreamError, UnavailableError
from schemas.records import encode_record

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from types import TracebackType

_log = structlog.get_logger()

_MAX_DEATHS = 3
_MAX_ANSWER_BYTES = 256 * 1024 * 1024


class StateMissing(SealstreamError):  # noqa: N818 - no error: the caller shows the frames since the last key frame
    """A frame changes a picture that no process holds (any more)."""


class ReaderDied(StateMissing):
    """The process died while it read these very frames; they may be why."""


class OcrPool:
    """`workers` processes; the frames of one agent are always read by the same one, in the order of the calls."""

    def __init__(
        self, workers: int = 1, *, picture_megabytes: int = 1024, cache_megabytes: int = 64, time_limit_s: float = 120
    ) -> None:
        arguments = (str(picture_megabytes), str(cache_megabytes))
        self.meter = OcrMeter()
        self._slots = [_Slot(arguments, time_limit_s, self.meter) for _ in range(max(1, workers))]

    async def read(self, agent: str, frames: Sequence[dict[str, Any]], *, emit: bool = True) -> list[ScreenText]:
        """One result a frame.

        Raises `StateMissing` when a frame's predecessor is not known, `MalformedError` when a frame is none or ends the
        process that reads it again and again, `UnavailableError` when no process can be started.
        """
        slot = self._slots[crc32(agent.encode()) % len(self._slots)]
        return await slot.read(agent, list(frames), emit=emit)

    @property
    def pids(self) -> list[int]:
        """Of the processes that run."""
        return [slot.pid for slot in self._slots if slot.pid is not None]

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(*(slot.close() for slot in self._slots))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Slot:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, arguments: tuple[str, ...], time_limit_s: float, meter: OcrMeter) -> None:
        self._arguments = arguments
        self._time_limit_s = time_limit_s
        self._meter = meter
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._deaths: dict[str, int] = {}

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def read(self, agent: str, frames: list[dict[str, Any]], *, emit: bool) -> list[ScreenText]:
        head = orjson.dumps({"agent": agent, "emit": emit})
        async with self._turn:
            body = encode_record("screen_segment", {"events": frames})
            process = await self._running()
            began, read = time.monotonic(), 0
            self._meter.began()
            try:
                async with asyncio.timeout(self._time_limit_s):
                    answer = await _ask(process, LENGTHS.pack(len(head), len(body)) + head + body)
                read = len(frames)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                await self.close()
                self._count_death(agent, error)
            except asyncio.CancelledError:
                await self.close()  # its answer would be taken for that of the next request
                raise
            finally:
                self._meter.ended(read, time.monotonic() - began)
        self._deaths.pop(agent, None)
        return _texts(answer)

    def _count_death(self, agent: str, error: Exception) -> None:
        self._meter.deaths += 1
        deaths = self._deaths.get(agent, 0) + 1
        self._deaths[agent] = deaths
        _log.warning("ocr_process_died", agent=agent, deaths=deaths, error=type(error).__name__)
        if deaths >= _MAX_DEATHS:
            del self._deaths[agent]
            raise MalformedError("reading these frames ended the process that read them", "reader_died") from None
        raise ReaderDied("the process that read this agent's screens died") from None

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "infra.ocr.shard", *self._arguments,
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise UnavailableError(f"no OCR process can be started: {error}") from error
        return self._process

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ask(process: Process, request: bytes) -> dict[str, Any]:
    source, target = process.stdout, process.stdin
    if source is None or target is None:
        raise BrokenPipeError
    target.write(request)
    await target.drain()
    (length,) = LENGTH.unpack(await source.readexactly(LENGTH.size))
    if length > _MAX_ANSWER_BYTES:
        raise BrokenPipeError
    answer: dict[str, Any] = orjson.loads(await source.readexactly(length))
    return answer


def _texts(answer: dict[str, Any]) -> list[ScreenText]:
    match answer.get("error"):
        case None:
            return [ScreenText(appeared, went) for appeared, went in answer["texts"]]
        case "missing":
            raise StateMissing(answer["message"])
        case _:
            raise MalformedError(answer["message"], answer["reason"])
