"""The miner: opens what is sealed to the server's own KEK and makes documents of it.

Never opens an end-to-end envelope, and never mines a segment twice or before the one that precedes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from schemas.envelope import Peek, Peeker
from schemas.errors import MalformedError, RemoteError
from schemas.identity import agent_text
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener
from schemas.records import decode_segment
from schemas.topics import envelope_topic
from streams.incoming import Incoming, Partition
from streams.outgoing import Outgoing, document
from streams.processor import PoisonError
from streams.screens import ScreenPool, StateLostError
from streams.segment import Segment
from streams.strand import Strand, begins_at
from streams.warmup import WarmUp

log = structlog.get_logger(__name__)

MINED = (StreamKind.SCREEN, StreamKind.KEYSTROKES, StreamKind.EMAIL, StreamKind.ACTIVITY, StreamKind.INDEX)
MINED_TOPICS = tuple(envelope_topic(kind) for kind in MINED)

_LARGE_BYTES = 65_536
"""Segments from this size on are decoded in a thread, so that the worker goes on meanwhile."""


def check_place(record: Incoming, seen: Peek) -> None:
    """Raise `MalformedError` for an envelope that stands in the wrong topic or under another agent's key."""
    if record.topic != envelope_topic(seen.record.kind):
        raise MalformedError(f"an envelope of {seen.record.kind.label} in {record.topic}", "wrong_topic")
    if record.key != agent_text(seen.epoch.agent_id).encode():
        raise MalformedError("the record's key is not the envelope's agent", "wrong_key")


async def decode(opened: Opened, record: Incoming) -> Segment:
    """The segment in what opened; raises `MalformedError`."""
    kind = opened.record.kind
    if opened.record.content_type != ContentType.SEGMENT:
        raise MalformedError("content that only an end-to-end envelope has", "wrong_content")
    if len(opened.plaintext) < _LARGE_BYTES:
        events = decode_segment(kind, opened.plaintext)
    else:
        events = await asyncio.to_thread(decode_segment, kind, opened.plaintext)
    return Segment(opened.id, kind, events, record.user, record.computer)


_WARM_ATTEMPTS = 2


class Miner:
    """The processor `mine`."""

    stage = "mine"

    def __init__(self, opener: Opener, pool: ScreenPool, warm_up: WarmUp) -> None:
        self._opener = opener
        self._peeker = Peeker()
        self._pool = pool
        self._warm_up = warm_up
        self._strands: dict[Partition, dict[bytes, Strand]] = {}
        self._ends: dict[Partition, int] = {}

    async def begin(self, place: Partition, next_offset: int) -> None:
        """A partition comes. What is remembered of it still holds when nobody else went on with it meanwhile."""
        ended = self._ends.pop(place, None)
        if ended is None or next_offset > ended:
            self._strands[place] = {}
            await self._warm_up.begin(place, next_offset)

    def end(self, place: Partition, next_offset: int) -> None:
        """A partition goes, perhaps to come back; records that were settled above `next_offset` are known again."""
        self._ends[place] = next_offset

    async def process(self, record: Incoming) -> Sequence[Outgoing]:
        """The documents of the segment that ends here; none for an end-to-end envelope."""
        seen = self._peeker.peek(record.value)
        check_place(record, seen)
        if seen.epoch.end_to_end:
            return []
        strand = await self._strand(record, seen)
        if strand.is_repeated(seen):
            return await self._mine_alone(record, seen) if self.stage in record.retried_for else []
        opened = self._opener.open(record.value)
        strand.touched_by = record.offset
        whole = strand.take(opened)
        if whole is None:
            return []
        segment = await decode(whole, record)
        try:
            return [document(one) for one in await strand.miner.read(segment)]
        except StateLostError:
            await self.forget(record)
            raise

    async def _mine_alone(self, record: Incoming, seen: Peek) -> Sequence[Outgoing]:
        """The documents of a dead letter that is retried after what followed it was mined.

        Raises `MalformedError` for one that says nothing without what came before it: a replay has that.
        """
        strand = Strand(seen.record.kind, record.key.decode(), self._pool)
        whole = strand.take(self._opener.open(record.value))
        found = [] if whole is None else await strand.miner.read(await decode(whole, record))
        if not found and (whole is None or seen.record.kind is StreamKind.SCREEN):
            raise MalformedError("it builds on what came before it: replay the time of its recording", "needs_replay")
        return [document(one) for one in found]

    async def show(self, record: Incoming) -> None:
        """Take an envelope that was mined already, for what it leaves behind. Raises `RemoteError`."""
        seen = self._peeker.peek(record.value)
        check_place(record, seen)
        if seen.epoch.end_to_end:
            return
        strand = await self._strand(record, seen)
        whole = None if strand.is_repeated(seen) else strand.take(self._opener.open(record.value))
        if whole is not None:
            await self._show(strand, [await decode(whole, record)])

    async def forget(self, record: Incoming) -> None:
        """Drop the stream's strand if this record is what changed it last."""
        strands = self._strands.get(record.place, {})
        strand = strands.get(record.key)
        if strand is not None and strand.touched_by == record.offset:
            del strands[record.key]

    async def _strand(self, record: Incoming, seen: Peek) -> Strand:
        strands = self._strands.setdefault(record.place, {})
        strand = strands.get(record.key)
        if strand is None:
            strand = await self._warmed(record, seen)
            strands[record.key] = strand
        return strand

    async def _warmed(self, record: Incoming, seen: Peek) -> Strand:
        """A strand that was shown what came before `record`."""
        strand = Strand(seen.record.kind, record.key.decode(), self._pool)
        segments: list[Segment] = []
        for past in await self._warm_up.before(record, seen):
            try:
                opened = None if self._peeker.peek(past.value).epoch.end_to_end else self._opener.open(past.value)
                whole = strand.take(opened) if opened else None
                if whole is not None:
                    segments.append(await decode(whole, past))
            except RemoteError:  # it became a dead letter in its time
                continue
        await self._show(strand, segments[begins_at(segments) :])
        if segments:
            log.info("strand_warmed", stream=seen.record.kind.label, agent=record.key.decode(), segments=len(segments))
        return strand

    async def _show(self, strand: Strand, segments: Sequence[Segment]) -> None:
        """Warm a strand; where its past ends its reader again, it goes on without, from the next key frame on."""
        for _ in range(_WARM_ATTEMPTS):
            try:
                for segment in segments:
                    await strand.miner.warm(segment)
            except PoisonError:
                strand.renew()
            else:
                return
        log.warning("warm_up_failed", segments=len(segments))
