"""What stands between Faust and a processor's body: several records of a partition under way, acknowledged in order.

Never acknowledges a record before all before it are settled: Faust would commit past what is still under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from schemas.errors import LocalError
from streams.incoming import Incoming, Partition
from streams.row import Work
from streams.share import Share

RECORDS = 256
"""Records of one partition that may be under way."""

_TURN_S = 0.002
_FINISH_S = 3.0


class _Hand:
    """One partition's records under way, and Faust's events of those that are not acknowledged."""

    def __init__(self, next_offset: int, work: Work) -> None:
        self.share = Share(next_offset, work, settled=self._acknowledge)
        self._events: deque[tuple[int, Any]] = deque()

    def take(self, record: Incoming, event: Any) -> None:
        self._events.append((record.offset, event))
        self.share.take(record)

    def _acknowledge(self) -> None:
        while self._events and self._events[0][0] < self.share.next_offset:
            self._events.popleft()[1].ack()


class Intake:
    """Feeds one body from one Faust stream."""

    def __init__(self, work: Work, prefix: str = "") -> None:
        self._work = work
        self._prefix = prefix
        self._hands: dict[Partition, _Hand] = {}

    def busy(self, place: Partition) -> bool:
        """Whether the first record of the partition that is not settled is being processed."""
        hand = self._hands.get(place)
        return hand is not None and hand.share.busy

    def oldest_ms(self, place: Partition) -> int | None:
        """Time of the first record of the partition that was read and is not settled."""
        hand = self._hands.get(place)
        return None if hand is None else hand.share.oldest_ms

    @property
    def held(self) -> tuple[int, int]:
        """Records under way, and their bytes."""
        shares = [hand.share for hand in self._hands.values()]
        return sum(share.held_records for share in shares), sum(share.held_bytes for share in shares)

    def check(self) -> None:
        """Raise `LocalError` when a record failed in a way that the worker must crash of."""
        for place, hand in self._hands.items():
            if hand.share.failure is not None:
                raise LocalError(f"processing {place.topic}/{place.number} failed") from hand.share.failure

    async def take(self, event: Any) -> None:
        """Take a record; return when there is room for the next. Raises `LocalError` as `check` does."""
        record = self._incoming(event.message)
        hand = self._hands.get(record.place)
        if hand is None or record.offset < hand.share.end:  # it begins, or came back from what was committed on
            hand = self._hands[record.place] = _Hand(record.offset, self._work)
        hand.take(record, event)
        while hand.share.held_records >= RECORDS and hand.share.failure is None:  # noqa: ASYNC110 - rows are tasks
            await asyncio.sleep(_TURN_S)
        self.check()

    async def finish(self) -> None:
        """Let what is under way end, if it does so soon."""
        await asyncio.gather(*(hand.share.finish(_FINISH_S) for hand in self._hands.values()))

    def _incoming(self, message: Any) -> Incoming:
        headers = message.headers.items() if hasattr(message.headers, "items") else message.headers or ()
        return Incoming(
            topic=message.topic.removeprefix(self._prefix),
            partition=message.partition,
            offset=message.offset,
            key=message.key or b"",
            value=message.value or b"",
            timestamp_ms=int(message.timestamp * 1000),
            headers=dict(headers),
        )
