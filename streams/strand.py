"""What a miner remembers of one stream of one agent, so that each segment is mined once and after the one before it.

Never knows Kafka's offsets: order is by epoch and sequence, whichever way the envelopes came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from infra.text.terminal import Passage, TerminalReader
from schemas.envelope import Peek
from schemas.kinds import StreamKind
from schemas.opening import Opened, PartJoiner
from schemas.records import Record
from streams.entries import index_documents
from streams.screens import ScreenMiner, ScreenPool
from streams.segment import Segment
from streams.text.email import email_documents
from streams.text.windows import WindowReader

PAUSE_MS = 900_000
"""After a pause this long an epoch starts afresh: what was on the screen before it is no longer compared with.

It is also what bounds how far a warm-up has to read back.
"""

_EPOCHS = 64


class SegmentMiner(Protocol):
    """Documents from one kind of stream."""

    async def warm(self, segment: Segment) -> None:
        """Take a segment that was mined already, for what it leaves behind."""
        ...

    async def read(self, segment: Segment) -> list[Record]:
        """The documents of the next segment."""
        ...


class _TerminalMiner:
    def __init__(self) -> None:
        self._reader = TerminalReader()

    async def warm(self, segment: Segment) -> None:
        self._reader.read(segment.id, segment.events)

    async def read(self, segment: Segment) -> list[Record]:
        return [_terminal_document(segment, passage) for passage in self._reader.read(segment.id, segment.events)]


class _WindowMiner:
    def __init__(self) -> None:
        self._reader = WindowReader()

    async def warm(self, segment: Segment) -> None:
        self._reader.read(segment)

    async def read(self, segment: Segment) -> list[Record]:
        return self._reader.read(segment)


class _EmailMiner:
    async def warm(self, segment: Segment) -> None:
        pass

    async def read(self, segment: Segment) -> list[Record]:
        return email_documents(segment)


class _IndexMiner:
    async def warm(self, segment: Segment) -> None:
        pass

    async def read(self, segment: Segment) -> list[Record]:
        return index_documents(segment)


class Strand:
    """Order, parts and miner of one stream of one agent."""

    def __init__(self, kind: StreamKind, agent: str, pool: ScreenPool) -> None:
        self._kind = kind
        self._agent = agent
        self._pool = pool
        self._seen: dict[bytes, int] = {}
        self._joiner = PartJoiner()
        self._last_ms = 0
        self.miner = self._fresh_miner()
        self.touched_by = -1
        """Offset of the record that is changing this strand now."""

    def is_repeated(self, seen: Peek) -> bool:
        """Whether this envelope, or a later one of its epoch, was taken before."""
        return seen.record.sequence <= self._seen.get(seen.epoch.epoch_id, -1)

    def take(self, opened: Opened) -> Opened | None:
        """Take an envelope; the whole segment once its last part came. Raises `MalformedError` for a missing part."""
        epoch_id = opened.epoch.epoch_id
        if epoch_id not in self._seen and opened.epoch.created_ms - self._last_ms > PAUSE_MS:
            self.renew()
        self._seen.pop(epoch_id, None)
        self._seen[epoch_id] = opened.record.sequence
        if len(self._seen) > _EPOCHS:
            del self._seen[next(iter(self._seen))]
        self._last_ms = max(self._last_ms, opened.record.capture_ms)
        return self._joiner.add(opened)

    def renew(self) -> None:
        """Forget what was on the screen."""
        self.miner = self._fresh_miner()

    def _fresh_miner(self) -> SegmentMiner:
        match self._kind:
            case StreamKind.SCREEN:
                return ScreenMiner(self._pool, self._agent)
            case StreamKind.KEYSTROKES:
                return _TerminalMiner()
            case StreamKind.EMAIL:
                return _EmailMiner()
            case StreamKind.INDEX:
                return _IndexMiner()
            case _:
                return _WindowMiner()


def _terminal_document(segment: Segment, passage: Passage) -> Record:
    return segment.document(
        "terminal",
        source=passage.source,
        ordinal=passage.ordinal,
        time_ms=passage.time_us // 1000,
        until_ms=passage.until_us // 1000,
        title=passage.title,
        text=passage.text,
        session=passage.session,
    )


def begins_at(segments: Sequence[Segment]) -> int:
    """Index of the segment from which on a warm-up has to take these, oldest first: the last that stands alone.

    Screens: a key frame of each display. Others: the beginning, which the warm-up chose by epochs.
    """
    if not segments or segments[0].kind is not StreamKind.SCREEN:
        return 0
    displays = {frame["display"] for segment in segments for frame in segment.events}
    for index in range(len(segments) - 1, 0, -1):
        first: dict[int, bool] = {}
        for frame in segments[index].events:
            first.setdefault(frame["display"], frame["key_frame"])
        if displays == {display for display, key_frame in first.items() if key_frame}:
            return index
    return 0
