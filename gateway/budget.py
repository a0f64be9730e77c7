"""One byte budget for all connections: what the gateway holds of envelopes in memory, and how it is shared.

Never lets windows alone bound memory: ten thousand idle agents are each owed one, so what is really held is counted,
and reading stops when it reaches the total.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

ENVELOPE_OVERHEAD = 1024
"""Bytes that an envelope costs beside its own: key, headers, librdkafka's and our bookkeeping."""


class Budget:
    """`total` bytes; `window` is what one connection may have unsettled."""

    def __init__(self, total: int, window: int) -> None:
        self.total = total
        self.window = window
        self.held = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._closed_for: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether nothing more may be read: the budget is used up, or closed."""
        return self.held >= self.total or bool(self._closed_for)

    @property
    def waiting(self) -> int:
        """How many connections wait to read on."""
        return len(self._waiting)

    def take(self, size: int) -> None:
        """Count `size` bytes as held. What was read already is always taken; `full` stops the next read."""
        self.held += size

    def give(self, size: int) -> None:
        """Count `size` bytes as let go, and wake who waits, first come first served."""
        self.held -= size
        self._wake()

    def wait(self, resume: Callable[[], None]) -> None:
        """Call `resume` once when there is room again."""
        self._waiting.append(resume)

    def close(self, reason: str) -> None:
        """Let nobody read for that reason (`disk_short`) until it is opened again."""
        self._closed_for.add(reason)

    def open(self, reason: str) -> None:
        """Take that reason back."""
        self._closed_for.discard(reason)
        self._wake()

    def _wake(self) -> None:
        while self._waiting and not self.full:
            self._waiting.popleft()()
