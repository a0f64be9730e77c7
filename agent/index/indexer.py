"""One end-to-end stream on its way into the index: sealed segments are read, and what they say becomes entries.

Never holds a recording up: what cannot be read in time is passed over, and told as a gap of the index.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

import structlog

from agent.bell import Bell
from agent.clock import Clock, wait_at_most
from agent.gap import Gap, GapReason
from agent.index.roots import Roots
from agent.keyring import Audience
from agent.spool import Spool
from infra.text.reading import Found, Reader
from schemas.blind_index import SALT_BYTES, document_tokens
from schemas.identity import EnvelopeId
from schemas.index_records import make_entry
from schemas.kinds import StreamKind
from schemas.records import Record

log = structlog.get_logger()

QUEUED_BYTES = 32 * 1024 * 1024
"""Of events that wait to be read."""

HELD_S = 5.0
"""A text that may still grow is held so long, and told once."""

HELD_CHARACTERS = 100_000
HOLE_TOLD_S = 60.0
"""What is left out for longer is told this often."""

GROWING = 1024
"""Texts whose salt is remembered, for when they grow."""


class _Work(NamedTuple):
    source: EnvelopeId
    events: list[Record]
    audience: Audience
    size: int


class Indexer:
    """Indexes one stream. `add_text` seals passages beside the stream; `add_entry` takes what the server may know."""

    def __init__(
        self,
        kind: StreamKind,
        reader: Reader,
        *,
        roots: Roots,
        spool: Spool,
        clock: Clock,
        add_text: Callable[[list[Record]], EnvelopeId | None],
        add_entry: Callable[[Record], None],
    ) -> None:
        self.indexed = 0
        """Texts that became entries."""
        self._kind = kind
        self._reader = reader
        self._roots = roots
        self._spool = spool
        self._clock = clock
        self._add_text = add_text
        self._add_entry = add_entry
        self._work: deque[_Work] = deque()
        self._queued = 0
        self._held: dict[tuple[bytes, int, int], Found] = {}
        self._held_since = 0.0
        self._audience: Audience | None = None
        self._salts: OrderedDict[tuple[bytes, int, int], bytes] = OrderedDict()
        self._hole: Gap | None = None
        self._hole_due = 0.0
        self._busy = self._hurried = False
        self._bell = Bell()
        self._task = asyncio.create_task(self._run(), name=f"index {kind.label}")

    def take(self, source: EnvelopeId, events: list[Record], audience: Audience, size: int) -> None:
        """A segment of about `size` bytes was sealed."""
        self._work.append(_Work(source, events, audience, size))
        self._queued += size
        while self._queued > QUEUED_BYTES and len(self._work) > 1:
            late = self._work.popleft()
            self._queued -= late.size
            self._pass_over(late, "it came faster than it could be read")
        self._bell.ring()

    def reset(self) -> None:
        """Segments were sealed that are not to be indexed: what comes next is read without them."""
        self._reader.reset()

    async def drain(self) -> None:
        """Wait until all that was taken is told; raises what ended the indexer, if anything did."""
        self._hurried = True
        self._bell.ring()
        try:
            await self._bell.until(lambda: self._idle or self._task.done())
        finally:
            self._hurried = False
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Stop at once, tell of what was left out, and forget the keys."""
        self._tell_hole()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._roots.erase()
        await self._reader.close()

    @property
    def _idle(self) -> bool:
        return not (self._work or self._held or self._busy)

    @property
    def _due(self) -> bool:
        if not self._held:
            return False
        held = sum(len(found.passage["text"]) for found in self._held.values())
        late = self._clock.monotonic() - self._held_since >= HELD_S
        return late or held > HELD_CHARACTERS or (self._hurried and not self._work)

    async def _run(self) -> None:
        while True:
            await self._await_work()
            self._busy = True
            try:
                if self._work:
                    await self._read(self._work.popleft())
                if self._due:
                    await self._tell()
            finally:
                self._busy = False
                self._bell.ring()

    async def _await_work(self) -> None:
        waiting = self._bell.until(lambda: bool(self._work) or self._due)
        if not self._held:
            await waiting
            return
        rest = self._held_since + HELD_S - self._clock.monotonic()
        with contextlib.suppress(TimeoutError):
            await wait_at_most(self._clock, waiting, max(rest, 0))

    async def _read(self, work: _Work) -> None:
        self._queued -= work.size
        try:
            found = await self._reader.read(work.source, work.events)
        except Exception as error:  # noqa: BLE001  # a reader's fault costs that segment of the index alone
            self._pass_over(work, f"it could not be read ({type(error).__name__})")
            return
        if self._audience is not None and self._audience != work.audience:
            await self._tell()  # what was sealed to others is not told to these
        self._audience = work.audience
        if found and not self._held:
            self._held_since = self._clock.monotonic() - (0 if self._reader.seals else HELD_S)
        self._held |= {one.place: one for one in found}

    async def _tell(self) -> None:
        """Seal what is held, and say under which tokens it is found."""
        held, self._held = list(self._held.values()), {}
        if not held or self._audience is None:
            return
        source = self._add_text([one.passage for one in held]) if self._reader.seals else None
        if source is None and self._reader.seals:
            return
        key = self._roots.key(self._audience)
        salted = [(self._salt(one.place), one.texts) for one in held]
        tokens = await asyncio.to_thread(lambda: [document_tokens(key, salt, texts) for salt, texts in salted])
        for one, found in zip(held, tokens, strict=True):
            self._add_entry(make_entry(self._kind, one.passage, source, found))
        self.indexed += len(held)

    def _salt(self, place: tuple[bytes, int, int]) -> bytes:
        salt = self._salts.pop(place, b"") or os.urandom(SALT_BYTES)
        self._salts[place] = salt
        if len(self._salts) > GROWING:
            self._salts.popitem(last=False)
        return salt

    def _pass_over(self, work: _Work, why: str) -> None:
        """Leave a segment out of the index: the hole is told, and told again only when it lasts."""
        self._reader.reset()
        times = [event["time_us"] for event in work.events]
        start = self._hole.from_us if self._hole else min(times)
        label, reason = StreamKind.INDEX.label, GapReason.CAPTURE_FAILED
        detail = f"{self._kind.label}: {why}"
        self._hole = Gap(label, reason, from_us=start, until_us=max(times), detail=detail)
        if self._clock.monotonic() >= self._hole_due:
            self._tell_hole()

    def _tell_hole(self) -> None:
        if self._hole is not None:
            log.warning("segments_not_indexed", stream=self._kind.label, reason=self._hole.detail)
            self._spool.owe(self._hole)
            self._hole_due = self._clock.monotonic() + HOLE_TOLD_S
        self._hole = None
