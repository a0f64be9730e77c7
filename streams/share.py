"""One partition in a worker's hands: rows of records by key, worked on at the same time, each in order.

Never works on two records of one key at once, and never settles a record before what came of it is delivered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

from streams.incoming import Incoming
from streams.offsets import OffsetTracker
from streams.row import Made, Row, Work

MAX_RESULT_BYTES = 8 * 1024 * 1024
"""Bytes of results that may wait for their delivery before processing does."""


class Share:
    """The records of one partition that were read and are not settled. `settled` is called when one more is."""

    def __init__(
        self,
        next_offset: int,
        work: Work,
        max_result_bytes: int = MAX_RESULT_BYTES,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._settled = settled
        self._processing: set[int] = set()
        self._offsets = OffsetTracker(next_offset)
        self._rows: dict[bytes, Row] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._max_result_bytes = max_result_bytes
        self._result_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self.failure: BaseException | None = None
        self.held_bytes = 0
        self.committed = next_offset

    @property
    def held_records(self) -> int:
        """How many records are under way."""
        return len(self._offsets)

    @property
    def busy(self) -> bool:
        """Whether the first record that is not settled is being processed, rather than waiting or on its way."""
        return self._offsets.next_offset in self._processing

    @property
    def next_offset(self) -> int:
        """All records below it are settled."""
        return self._offsets.next_offset

    @property
    def oldest_ms(self) -> int | None:
        """Time of the first record that was read and is not settled."""
        return self._offsets.oldest_ms

    @property
    def end(self) -> int:
        """The offset after the last record that was read."""
        return self._offsets.end

    def take(self, record: Incoming) -> None:
        """Put a record at the end of its key's row."""
        self._offsets.begin(record.offset, record.timestamp_ms)
        self.held_bytes += len(record.value)
        row = self._rows.get(record.key)
        if row is None:
            row = self._rows[record.key] = Row()
        row.waiting.append(record)
        if not row.processing:
            row.processing = True
            self._start(self._process(record.key, row), f"process {record.topic}/{record.partition}")

    async def _process(self, key: bytes, row: Row) -> None:
        while row.waiting:
            await self._room.wait()
            record = row.waiting.popleft()
            self._processing.add(record.offset)
            made = await self._work.process(record)
            self._processing.discard(record.offset)
            if not made.results and not row.delivering:
                await self._work.deliver([made])
                self._settle(made)
            else:
                self._hand_over(key, row, made)
            await asyncio.sleep(0)  # a processor need not wait for anything, and others have their turn too
        row.processing = False
        self._drop_idle(key, row)

    def _hand_over(self, key: bytes, row: Row, made: Made) -> None:
        row.made.append(made)
        self._weigh(made.bytes)
        if not row.delivering:
            row.delivering = True
            self._start(self._deliver(key, row), f"deliver {made.record.topic}/{made.record.partition}")

    async def _deliver(self, key: bytes, row: Row) -> None:
        while row.made:
            batch, row.made = row.made, []
            await self._work.deliver(batch)
            for made in batch:
                self._weigh(-made.bytes)
                self._settle(made)
        row.delivering = False
        self._drop_idle(key, row)

    def _settle(self, made: Made) -> None:
        self.held_bytes -= len(made.record.value)
        self._offsets.settle(made.record.offset)
        self._settled()

    def _weigh(self, result_bytes: int) -> None:
        self._result_bytes += result_bytes
        if self._result_bytes < self._max_result_bytes:
            self._room.set()
        else:
            self._room.clear()

    def _drop_idle(self, key: bytes, row: Row) -> None:
        if row.idle:
            del self._rows[key]

    def _start(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()

    async def finish(self, within_s: float) -> None:
        """Let what is under way end, and cancel and forget what does not within the time."""
        until = time.monotonic() + within_s
        while self._tasks and (left_s := until - time.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for row in self._rows.values():
            for made in row.made:
                await self._work.forget(made)
