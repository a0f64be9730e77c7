"""Counting failed attempts by address: who guesses is told to come back later, by whichever gateway they ask.

Never grows without bound: it remembers a fixed number of addresses, the latest ones.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.marks import Marks

MAX_ADDRESSES = 10_000


class Throttle:
    """Allows `attempts` failures of one address at `what` within `window_s` seconds.

    They count over all processes that share `marks`. While Redis is away, and without `marks`, over this one alone.
    """

    def __init__(
        self,
        what: str = "",
        marks: Marks | None = None,
        *,
        attempts: int = 10,
        window_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._marks = marks or Marks()
        self._attempts = attempts
        self._window_s = window_s
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    async def allows(self, address: str) -> bool:
        """Whether that address may try."""
        if len(self._recent(self._failures.get(address, []))) >= self._attempts:
            return False
        return await self._marks.count(self._mark(address)) < self._attempts

    async def fail(self, address: str) -> None:
        """Take note of a failure."""
        recent = self._recent(self._failures.pop(address, []))
        self._failures[address] = [*recent[-self._attempts :], self._clock()]
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        await self._marks.add(self._mark(address), self._window_s)

    def _recent(self, failures: list[float]) -> list[float]:
        since = self._clock() - self._window_s
        return [at for at in failures if at > since]

    def _mark(self, address: str) -> str:
        return f"failures\0{self._what}\0{address}"
