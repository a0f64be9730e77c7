"""Commands of ours as child processes: what needs a private key, or time, is done beside a process that serves.

Never hands a child anything secret, and never leaves one behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.datadir import VARIABLE
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from infra.settings import Settings

STOP_WITHIN_S = 5.0
MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    output: bytes
    error: str
    """Its last line on standard error, which is the one that says what went wrong."""


async def run_command(settings: Settings, arguments: Sequence[str], timeout_s: float = 120.0) -> Ended:
    """Run `sealstream ARGUMENTS` to its end; raises `UnavailableError` when that takes too long."""
    async with child(settings, arguments) as process:
        try:
            async with asyncio.timeout(timeout_s):
                output, error = await process.communicate()
        except TimeoutError:
            raise UnavailableError(f"`sealstream {' '.join(arguments[:2])}` takes too long: see the log") from None
    return Ended(process.returncode or 0, output, last_line(error))


@asynccontextmanager
async def child(settings: Settings, arguments: Sequence[str]) -> AsyncIterator[Process]:
    """The command while it runs; ended with the context, in order first."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.cli",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, VARIABLE: str(settings.node.data_dir)},
        limit=MAX_LINE_BYTES,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            await asyncio.shield(end(process))


async def end(process: Process) -> None:
    """End a child: it is asked first."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def last_line(error: bytes) -> str:
    """What a command says of its failure, without its own name before it."""
    lines = error.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("sealstream: ")[:500] if lines else ""
