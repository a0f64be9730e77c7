"""Runs the product's own commands as a person would, and shows them.

Never hides what a command said when it failed.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

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

    async def show(self, *arguments: str, most: int = 40) -> int:
        """Run `sealstream ARGUMENTS`, printing the command and the first `most` lines of what it prints."""
        print(f"$ sealstream {shlex.join(arguments)}", flush=True)
        code, text = await self.run(*arguments)
        lines = text.splitlines()
        for line in lines[:most]:
            print(f"  {line}", flush=True)
        if len(lines) > most:
            print(f"  … {len(lines) - most} more lines", flush=True)
        return code

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

    async def start(self, *arguments: str, log: Path | None = None, display: str = "") -> asyncio.subprocess.Process:
        """Start `sealstream ARGUMENTS` and let it run; its output goes to `log`, or to a pipe."""
        environment = {**os.environ, **self.environment, "SEALSTREAM_DATA": str(self.data)}
        if display:
            environment["DISPLAY"] = display
        command = [sys.executable, "-m", "infra.cli", *arguments]
        if log is None:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
            )
        with log.open("ab") as file:
            return await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, env=environment
            )


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
