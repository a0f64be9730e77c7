"""Checking the whole audit, in a process of its own: reading it all would hold the gateway up.

Never runs twice at once, and never says that the audit is sound when it could not be read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from infra.audit_reading import check_audit
from infra.settings import Settings
from schemas.errors import SealstreamError, UnavailableError

TIMEOUT_S = 600.0
CACHED_S = 300.0
MAX_DAMAGE = 100
_NICE = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, and when it ended."""

    checked_at_ms: int
    took_ms: int
    sound: bool
    entries: int
    not_stored_yet: int
    head: str
    """The newest checkpoint, to be kept elsewhere: `NUMBER:HASH`."""
    damage: list[str]


class Verifier:
    """Keeps the last verdict for a while."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: asyncio.Task[Verdict] | None = None
        self._last: tuple[float, Verdict] | None = None

    async def verify(self, *, anew: bool) -> Verdict:
        """The verdict; `anew`: not one of before. Raises `UnavailableError`."""
        if self._last and not anew and time.monotonic() - self._last[0] < CACHED_S:
            return self._last[1]
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        verdict = await asyncio.shield(self._running)
        self._last = (time.monotonic(), verdict)
        return verdict

    async def _run(self) -> Verdict:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.accounts.verifier",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        told = json.dumps(self._settings.model_dump(mode="json")).encode()
        try:
            out, _ = await asyncio.wait_for(process.communicate(told), TIMEOUT_S)
        except TimeoutError:
            raise UnavailableError(
                f"the check takes over {TIMEOUT_S:.0f} s: run `sealstream audit verify` on the server"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise UnavailableError(out.decode() or "the check did not end: its last words are in the gateway's log")
        took_ms = int((time.monotonic() - began) * 1000)
        return Verdict(checked_at_ms=time.time_ns() // 1_000_000, took_ms=took_ms, **json.loads(out))


def main() -> None:
    """Read the settings from standard input, and tell what the check found on standard output."""
    os.nice(_NICE)
    settings = Settings.model_validate(json.load(sys.stdin))
    try:
        report = asyncio.run(check_audit(settings))
    except SealstreamError as error:
        sys.stdout.write(str(error))
        sys.exit(1)
    found: dict[str, Any] = {
        "sound": report.sound,
        "entries": report.entries,
        "not_stored_yet": report.not_stored_yet,
        "head": str(report.head or ""),
        "damage": report.damage[:MAX_DAMAGE],
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
