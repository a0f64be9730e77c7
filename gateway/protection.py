"""What KEKs protect, as last counted: by a command of its own process, and kept for a while.

Never has anybody wait for a count, and never tells one without its time.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.facts import now_ms
from infra.commands import run_command
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from infra.settings import Settings

FRESH_S = 120.0
COUNT_WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted last, and when; `counting` while it is counted anew."""

    counted_at_ms: int | None
    counting: bool
    problem: str
    keys: list[dict[str, Any]]


class Protection:
    """The last count, and the one under way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: list[dict[str, Any]] = []
        self._counted_ms: int | None = None
        self._counted_at = 0.0
        self._problem = ""
        self._counting: asyncio.Task[None] | None = None

    def told(self, *, again: bool = False) -> Counted:
        """What is known now; a count begins when that is old."""
        old = self._counted_ms is None or time.monotonic() - self._counted_at > FRESH_S
        if (old or again) and self._counting is None:
            self._counting = asyncio.create_task(self._count(), name="keys protect")
        return Counted(
            counted_at_ms=self._counted_ms,
            counting=self._counting is not None,
            problem=self._problem,
            keys=self._keys,
        )

    async def counted_now(self) -> list[dict[str, Any]]:
        """Count and wait for it; raises `UnavailableError`."""
        rows = await count(self._settings)
        self._keep(rows)
        return self._keys

    async def _count(self) -> None:
        try:
            self._keep(await count(self._settings))
        except UnavailableError as error:
            self._problem = str(error)
        finally:
            self._counting = None

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        self._keys = rows
        self._counted_ms, self._counted_at, self._problem = now_ms(), time.monotonic(), ""


async def count(settings: Settings) -> list[dict[str, Any]]:
    """By `sealstream keys protects`; raises `UnavailableError`."""
    ended = await run_command(settings, ["keys", "protects", "--json"], COUNT_WITHIN_S)
    try:
        rows: list[dict[str, Any]] = json.loads(ended.output)
    except ValueError:
        raise UnavailableError(f"what KEKs protect could not be counted: {ended.error or ended.code}") from None
    return rows
