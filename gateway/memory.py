"""The publisher in memory: keeps records in a list, and settles them when its owner says so.

Never to be used where anything must outlive the process: it exists so that the gateway can be tested whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from gateway.publisher import Outcome
from schemas.topics import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from gateway.publisher import Headers, Settle


class StoredRecord(NamedTuple):
    """A record as a topic holds it."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class MemoryPublisher:
    """Publishes to `records`. While `holding`, nothing is settled: Kafka is slow or away."""

    def __init__(self, *, max_record: int = MAX_RECORD_BYTES) -> None:
        self.records: list[StoredRecord] = []
        self.holding = False
        self.reason = ""
        self._max_record = max_record
        self._waiting: deque[tuple[StoredRecord, Settle, float]] = deque()
        self._scheduled = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def outstanding(self) -> int:
        """Records that are published and not settled."""
        return len(self._waiting)

    @property
    def unacked_s(self) -> float:
        """For how many seconds the oldest of them has been so; 0 where there is none."""
        return asyncio.get_running_loop().time() - self._waiting[0][2] if self._waiting else 0.0

    def publish(self, topic: str, key: bytes, value: bytes, headers: Headers, settle: Settle) -> None:
        """Begin to publish."""
        now = asyncio.get_running_loop().time()
        self._waiting.append((StoredRecord(topic, key, value, headers), settle, now))
        self._empty.clear()
        self._schedule()

    def release(self, count: int | None = None, outcome: Outcome = Outcome.DELIVERED) -> None:
        """Settle the `count` oldest records now, or all of them."""
        for _ in range(len(self._waiting) if count is None else count):
            record, settle, _ = self._waiting.popleft()
            refused = len(record.value) > self._max_record
            final = Outcome.REFUSED if refused and outcome is Outcome.DELIVERED else outcome
            if final is Outcome.DELIVERED:
                self.records.append(record)
            settle(final)
        if not self._waiting:
            self._empty.set()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is outstanding; whether that was so within the time."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def check(self) -> str:
        """`reason`, as its owner set it."""
        return self.reason

    async def close(self) -> None:
        """Settle what is outstanding as failed."""
        self.release(outcome=Outcome.FAILED)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._settle_scheduled)

    def _settle_scheduled(self) -> None:
        self._scheduled = False
        if not self.holding:
            self.release()
