"""One byte budget for all connections: what the gateway holds of envelopes in memory, and how it is shared.

Never lets windows alone bound memory: ten thousand idle agents are each owed one, so what is really held is counted,
and reading stops when it reaches the total.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

ENVELOPE_OVERHEAD = 1024
"""Bytes that an envelope costs beside its own: key, headers, librdkafka's and our bookkeeping."""


class Reader(Protocol):
    """Who shares the budget."""

    partial_bytes: int
    """Bytes that it holds of a frame that is not complete."""

    def read_on(self) -> None:
        """There is room again."""


class Budget:
    """`total` bytes; `window` is what one connection may have unsettled."""

    def __init__(self, total: int, window: int) -> None:
        self.total = total
        self.window = window
        self.held = 0
        self.partial = 0
        """How much of what is held belongs to frames that are not complete."""
        self.finishing: Reader | None = None
        """Who may read on to the end of its frame though the budget is used up."""
        self._waiting: deque[Reader] = deque()
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

    def wait(self, who: Reader) -> None:
        """Let `who` read on once when there is room again."""
        self._waiting.append(who)

    def change_partial(self, change: int) -> None:
        """Count bytes of a frame that is not complete as held, or as let go."""
        self.partial += change
        self.take(change) if change > 0 else self.give(-change)

    def may_finish(self, who: Reader) -> bool:
        """Whether `who`, in the middle of a frame, may read on though the budget is used up: one at a time.

        If all memory is in frames that are not complete, nothing but completing one will free any.
        """
        if self.finishing is None and self._all_partial:
            self.finishing = who
        return self.finishing is who and not self._closed_for

    def finished(self, who: Reader) -> None:
        """`who` is not in the middle of a frame any more."""
        if self.finishing is who:
            self.finishing = None
            self._wake()

    def close(self, reason: str) -> None:
        """Let nobody read for that reason (`disk_short`) until it is opened again."""
        self._closed_for.add(reason)

    def open(self, reason: str) -> None:
        """Take that reason back."""
        self._closed_for.discard(reason)
        self._wake()

    @property
    def _all_partial(self) -> bool:
        return self.held <= self.partial and not self._closed_for

    def _wake(self) -> None:
        while self._waiting and not self.full:
            self._waiting.popleft().read_on()
        if self._waiting and self.finishing is None and self._all_partial:
            self.finishing = next((who for who in self._waiting if who.partial_bytes), None)
            if self.finishing:
                self._waiting.remove(self.finishing)
                self.finishing.read_on()
