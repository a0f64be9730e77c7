"""One partition in a worker's hands: rows of records by key, worked on at the same time, each in order.

Never works on two records of one key at once, and never settles a record before what came of it is delivered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from streams.incoming import Incoming
from streams.offsets import OffsetTracker

Settle = Callable[[Incoming], Awaitable[None]]


class Share:
    """The records of one partition that were read and are not settled."""

    def __init__(self, next_offset: int, settle: Settle) -> None:
        self._settle = settle
        self._offsets = OffsetTracker(next_offset)
        self._rows: dict[bytes, deque[Incoming]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None
        self.held_bytes = 0
        self.committed = next_offset

    @property
    def held_records(self) -> int:
        """How many records are under way."""
        return len(self._offsets)

    @property
    def next_offset(self) -> int:
        """All records below it are settled."""
        return self._offsets.next_offset

    @property
    def end(self) -> int:
        """The offset after the last record that was read."""
        return self._offsets.end

    def take(self, record: Incoming) -> None:
        """Put a record at the end of its key's row."""
        self._offsets.begin(record.offset)
        self.held_bytes += len(record.value)
        row = self._rows.get(record.key)
        if row is not None:
            row.append(record)
            return
        self._rows[record.key] = deque([record])
        task = asyncio.create_task(self._work(record.key), name=f"row {record.topic}/{record.partition}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _work(self, key: bytes) -> None:
        row = self._rows[key]
        while row:
            await self._settle(row[0])
            record = row.popleft()
            self.held_bytes -= len(record.value)
            self._offsets.settle(record.offset)
        del self._rows[key]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()

    async def finish(self, within_s: float) -> None:
        """Let what is under way end, and cancel what does not within the time."""
        if self._tasks and within_s:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
