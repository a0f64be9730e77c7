"""Runs the product's own commands as a person would, and shows them.

Never hides what a command said when it failed.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.datadir import VARIABLE
from schemas.errors import LocalError

Check = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Shell:
    """Commands of one data directory. `environment` is added to ours."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Tell what happens now."""
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)

    async def show(self, *arguments: str, most: int = 40, hide: tuple[str, ...] = ()) -> int:
        """Run `sealstream ARGUMENTS`, printing the command and the first `most` lines of what it prints; its exit code.

        Arguments in `hide` are secrets: the command is shown without them.
        """
        code, _ = await self.show_all(*arguments, most=most, hide=hide)
        return code

    async def show_all(self, *arguments: str, most: int = 40, hide: tuple[str, ...] = ()) -> tuple[int, str]:
        """The same; exit code and all of the output."""
        shown = ["…" if argument in hide else argument for argument in arguments]
        print(f"$ sealstream {shlex.join(shown)}", flush=True)
        code, text = await self.run(*arguments)
        lines = text.splitlines()
        for line in lines[:most]:
            print(f"  {line}", flush=True)
        if len(lines) > most:
            print(f"  … {len(lines) - most} more lines", flush=True)
        return code, text

    async def stream(self, *arguments: str) -> int:
        """Run `sealstream ARGUMENTS` with its output going straight to ours; its exit code."""
        print(f"$ sealstream {shlex.join(arguments)}", flush=True)
        process = await asyncio.create_subprocess_exec(*self._command(arguments), env=self._environment())
        return await process.wait()

    async def ask(self, *arguments: str) -> str:
        """What `sealstream ARGUMENTS` prints; raises `LocalError` with it when the command fails."""
        code, text = await self.run(*arguments)
        if code:
            raise LocalError(f"`sealstream {shlex.join(arguments)}` ended with {code}:\n{text}")
        return text.strip()

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output, standard error included."""
        process = await self.start(*arguments)
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode(errors="replace")

    async def start(
        self, *arguments: str, log: Path | None = None, display: str = "", terminal: int | None = None
    ) -> asyncio.subprocess.Process:
        """Start `sealstream ARGUMENTS` and let it run, on a `terminal` or with its output in `log` or a pipe."""
        environment = self._environment() | ({"DISPLAY": display} if display else {})
        command, quiet, pipe = self._command(arguments), asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
        start = asyncio.create_subprocess_exec
        if terminal is not None:
            return await start(
                *command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
            )
        if log is None:
            return await start(*command, stdin=quiet, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=environment)
        with log.open("ab") as file:
            return await start(*command, stdin=quiet, stdout=file, stderr=file, env=environment)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "infra.cli", *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment, VARIABLE: str(self.data)}


async def until(what: str, check: Check, timeout_s: float, every_s: float = 0.5) -> None:
    """Wait until `check` holds, saying once what is waited for; raises `LocalError` when it takes too long."""
    started = time.monotonic()
    told = False
    while not await check():
        waited = time.monotonic() - started
        if waited > timeout_s:
            raise LocalError(f"waited {timeout_s:.0f} s for {what}, in vain")
        if waited > 1 and not told:
            print(f"  waiting for {what}", flush=True)
            told = True
        await asyncio.sleep(every_s)
