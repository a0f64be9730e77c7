"""Counting failed attempts by address: who guesses is told to come back later.

Never grows without bound: it remembers a fixed number of addresses, the latest ones.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_ADDRESSES = 10_000


class Throttle:
    """Allows `attempts` failures of one address within `window_s` seconds."""

    def __init__(self, attempts: int = 10, window_s: float = 60.0) -> None:
        self._attempts = attempts
        self._window_s = window_s
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def allows(self, address: str, now_s: float) -> bool:
        """Whether that address may try."""
        recent = [at for at in self._failures.get(address, ()) if at > now_s - self._window_s]
        return len(recent) < self._attempts

    def fail(self, address: str, now_s: float) -> None:
        """Take note of a failure."""
        recent = [at for at in self._failures.pop(address, []) if at > now_s - self._window_s]
        self._failures[address] = [*recent[-self._attempts :], now_s]
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
