"""Warm-up: what a miner has to be shown of a stream's past before it mines the next segment.

Never makes documents: with it, results are the same as if the worker had never stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import structlog

from schemas.envelope import ZERO_LINK, Peek, Peeker
from schemas.errors import MalformedError
from streams.incoming import Incoming, Partition
from streams.past import Past
from streams.strand import PAUSE_MS

log = structlog.get_logger(__name__)

REACH_MS = PAUSE_MS + 300_000
"""How far before a record reading back begins: an epoch, and what clocks and the uplink may differ by."""

MAX_REACH_MS = 26 * 3_600_000
"""How far it begins at most, for an epoch that an agent spooled while it was offline."""

MAX_KEPT_BYTES = 256 * 1024 * 1024
_EPOCHS = 2


class _Trail:
    """The last two epochs of one key."""

    def __init__(self) -> None:
        self._epochs: dict[bytes, list[Incoming]] = {}
        self._last: dict[bytes, int] = {}
        self._first = 0
        self.bytes = 0

    def add(self, record: Incoming, seen: Peek) -> int:
        """Take the next record of the key; how many bytes more are kept now."""
        epoch_id, sequence = seen.epoch.epoch_id, seen.record.sequence
        before = self.bytes
        if sequence <= self._last.get(epoch_id, -1):
            return 0
        if epoch_id not in self._last and len(self._epochs) == _EPOCHS:
            dropped = self._epochs.pop(next(iter(self._epochs)))
            self.bytes -= sum(len(one.value) for one in dropped)
            self._first = 0
        if not self._epochs:
            self._first = sequence
        self._last[epoch_id] = sequence
        self._epochs.setdefault(epoch_id, []).append(record)
        self.bytes += len(record.value)
        return self.bytes - before

    @property
    def whole(self) -> bool:
        """Whether it begins where an epoch does."""
        return self._first == 0

    @property
    def records(self) -> list[Incoming]:
        """Oldest first, without those that came twice."""
        return [record for epoch in self._epochs.values() for record in epoch]


class WarmUp:
    """Trails of all keys of the partitions that a worker begins; one key's trail again when its miner was lost."""

    def __init__(self, past: Past, max_bytes: int = MAX_KEPT_BYTES, *, agents: Collection[str] = frozenset()) -> None:
        self._past = past
        self._few_keys = bool(agents)
        self._peeker = Peeker()
        self._room = max_bytes
        self._trails: dict[Partition, dict[bytes, _Trail | None]] = {}
        self._met: dict[Partition, set[bytes]] = {}

    async def begin(self, place: Partition, next_offset: int) -> None:
        """Read back from `next_offset`, for all keys at once. Raises `UnavailableError`.

        Where only some `agents` are to be mined, each one's trail is read when it is needed.
        """
        self.end(place)
        trails = self._trails[place] = {}
        self._met[place] = set()
        if next_offset == 0 or self._few_keys:
            return
        time_ms = await self._time_before(place, next_offset)
        start = None if time_ms is None else await self._past.offset_at(place, time_ms - REACH_MS)
        if start is None or start >= next_offset:
            return
        async for record, seen in self._peeked(place, start, next_offset):
            self._keep(trails, record, seen)
        log.info("partition_read_back", topic=place.topic, partition=place.number, records=next_offset - start)

    def end(self, place: Partition) -> None:
        """Forget a partition."""
        for trail in self._trails.pop(place, {}).values():
            self._room += trail.bytes if trail else 0
        self._met.pop(place, None)

    async def before(self, record: Incoming, seen: Peek) -> list[Incoming]:
        """What to show a new miner before `record`, oldest first. Raises `UnavailableError`."""
        met = self._met.setdefault(record.place, set())
        trails = self._trails.setdefault(record.place, {})
        first = record.key not in met
        met.add(record.key)
        trail = trails.pop(record.key, None) if first else None
        if trail is not None:
            self._room += trail.bytes
            if trail.whole:
                return trail.records
        elif first and seen.record.sequence == 0 and seen.epoch.link == ZERO_LINK:
            return []
        return await self._read_key(record, seen)

    async def _read_key(self, record: Incoming, seen: Peek) -> list[Incoming]:
        oldest = record.timestamp_ms - MAX_REACH_MS
        begun_ms = max(oldest, min(record.timestamp_ms, seen.epoch.created_ms)) - REACH_MS
        start = await self._past.offset_at(record.place, begun_ms)
        if start is None or start >= record.offset:
            return []
        trail = _Trail()
        async for one, peeked in self._peeked(record.place, start, record.offset, record.key):
            trail.add(one, peeked)
        return trail.records

    async def _time_before(self, place: Partition, offset: int) -> int | None:
        """When the record just before `offset` was received."""
        async for record in self._past.read(place, offset - 1, offset):
            return record.timestamp_ms
        return None

    async def _peeked(
        self, place: Partition, start: int, end: int, key: bytes | None = None
    ) -> AsyncIterator[tuple[Incoming, Peek]]:
        async for record in self._past.read(place, start, end, key):
            try:
                yield record, self._peeker.peek(record.value)
            except MalformedError:  # it became a dead letter in its time
                continue

    def _keep(self, trails: dict[bytes, _Trail | None], record: Incoming, seen: Peek) -> None:
        trail = trails.setdefault(record.key, _Trail())
        if trail is None:
            return
        self._room -= trail.add(record, seen)
        if self._room < 0:  # its key will be read by itself, when it is needed
            self._room += trail.bytes
            trails[record.key] = None
