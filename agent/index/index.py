"""The index of one agent: an indexer for each end-to-end stream that the policy lets be searched.

Never indexes what the server may read anyway: that it mines by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog

from agent.clock import Clock, wait_at_most
from agent.index.indexer import Indexer
from agent.index.roots import Roots
from agent.keyring import Audience
from agent.policy import SEALABLE_END_TO_END
from agent.spool import Spool
from agent.stream import event_bytes
from infra.text.reading import EmailReader, Reader, ScreenText, TerminalText
from schemas.errors import SealstreamError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind
from schemas.records import Record

log = structlog.get_logger()

READERS: dict[StreamKind, Callable[[], Reader]] = {
    StreamKind.EMAIL: EmailReader,
    StreamKind.KEYSTROKES: TerminalText,
    StreamKind.SCREEN: ScreenText,
}

INDEXABLE = frozenset(READERS)
assert {kind.label for kind in INDEXABLE} == SEALABLE_END_TO_END

DRAIN_S = 20.0
"""How long an agent that ends goes on reading what it recorded."""


class Beside(Protocol):
    """`agent.stream.Stream`, as far as an index needs it."""

    def add(self, event: Record) -> None:
        """Take an event."""

    def add_text(self, passages: list[Record]) -> EnvelopeId | None:
        """Seal text beside the stream."""


class Index:
    """`wanted` says whether a stream is to be indexed now; `stream` gives the agent's stream of a kind."""

    def __init__(
        self,
        *,
        agent_id: bytes,
        spool: Spool,
        clock: Clock,
        wanted: Callable[[StreamKind], bool],
        stream: Callable[[StreamKind], Beside],
    ) -> None:
        self._agent_id = agent_id
        self._spool = spool
        self._clock = clock
        self._wanted = wanted
        self._stream = stream
        self._indexers: dict[StreamKind, Indexer] = {}

    def take(self, kind: StreamKind, source: EnvelopeId, events: list[Record], audience: Audience) -> None:
        """A segment was sealed."""
        indexer = self._indexers.get(kind)
        if not audience.end_to_end or not self._wanted(kind):
            if indexer is not None:
                indexer.reset()  # what is taken again later does not follow on this
            return
        if indexer is None:
            indexer = self._indexers[kind] = self._make(kind)
        indexer.take(source, events, audience, sum(map(event_bytes, events)))

    def indexed(self) -> dict[str, int]:
        """Texts indexed so far, by stream."""
        return {kind.label: indexer.indexed for kind, indexer in self._indexers.items()}

    async def drain(self) -> None:
        """Read and tell all that was taken, within `DRAIN_S`."""
        for kind, indexer in self._indexers.items():
            with contextlib.suppress(SealstreamError):
                try:
                    await wait_at_most(self._clock, indexer.drain(), DRAIN_S)
                except TimeoutError:
                    log.warning("index_not_finished", stream=kind.label)

    async def close(self) -> None:
        """Forget the keys."""
        for indexer in self._indexers.values():
            await indexer.close()
        self._indexers.clear()

    def _make(self, kind: StreamKind) -> Indexer:
        stream = self._stream(kind)
        return Indexer(
            kind,
            READERS[kind](),
            roots=Roots(kind, self._agent_id, self._spool, self._clock),
            spool=self._spool,
            clock=self._clock,
            add_text=stream.add_text,
            add_entry=self._stream(StreamKind.INDEX).add,
        )
