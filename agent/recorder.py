"""Where events come together: what the policy allows becomes envelopes in the spool, and every hole becomes a gap.

Never records what the policy does not list, whatever a source emits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import structlog

from agent.clock import Clock
from agent.index.index import INDEXABLE, Index
from agent.keyring import Keyring
from agent.policy import MAX_FRAMES_PER_SECOND, Policy
from agent.settings import RecorderSettings
from agent.source import Emit, Source
from agent.spool import Spool
from agent.stream import Stream
from schemas.errors import ConfigError
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.records import Record
from schemas.topics import MAX_ENVELOPE_BYTES

log = structlog.get_logger()

GAP_BUNCH_S = 0.2
"""Gaps come in bunches: they are told together, this long after the first."""

SMALLEST_ENVELOPE = 65_536
"""A server that takes less than this would have segments cut to shreds; it is not believed."""


class Recorder:
    """Streams of one agent. One task runs `tell_gaps`; sources emit by `emit_for`."""

    def __init__(
        self,
        *,
        agent_id: bytes,
        settings: RecorderSettings,
        spool: Spool,
        keyring: Keyring,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self.policy = policy
        self.refused = 0
        """Events that a source emitted and the policy did not allow."""
        self._agent_id = agent_id
        self._settings = settings
        self._spool = spool
        self._keyring = keyring
        self._clock = clock
        self._sources: dict[StreamKind, list[Source]] = {kind: [] for kind in StreamKind}
        self._streams: dict[StreamKind, Stream] = {}
        self._max_envelope: int | None = None
        self._live: set[StreamKind] = set()
        self._index = Index(agent_id=agent_id, spool=spool, clock=clock, wanted=self._wants_index, stream=self._stream)

    def current_policy(self) -> Policy:
        """The policy as sources are to ask for it: a screen that is watched is looked at as often as any may be."""
        if StreamKind.SCREEN not in self._live:
            return self.policy
        return replace(self.policy, max_frames_per_second=MAX_FRAMES_PER_SECOND)

    def watch(self, kind: StreamKind, viewers: Iterable[Recipient], *, fresh: bool) -> None:
        """Seal each event of that stream at once from now on, to these viewers too; `fresh`: begin with a whole one.

        Who comes cannot open what was before, nor who went what comes after: other viewers, another epoch.
        """
        after = tuple(viewers)
        others = after != self._keyring.viewers(kind)
        if others:
            self._end_epoch(kind)
            self._keyring.admit_viewers(kind, after)
        self._live.add(kind)
        if fresh or others:
            self._renew(kind)

    def unwatch(self, kind: StreamKind) -> None:
        """Nobody watches that stream any more."""
        self._live.discard(kind)
        if self._keyring.viewers(kind):
            self._end_epoch(kind)
            self._keyring.admit_viewers(kind, ())

    def emit_for(self, source: Source) -> Emit:
        """What `source` calls with each event."""
        self._sources[source.kind].append(source)

        async def emit(event: Record) -> None:
            await self._spool.room()
            if self._allows(source.kind, event):
                self._stream(source.kind).add(event)
            else:
                self.refused += 1
                source.renew()  # what follows must not build on an event that is not kept

        return emit

    def apply(self, policy: Policy, pems: list[str] | None = None) -> None:
        """Record under `policy`, sealed to the KEKs in `pems` (as before, if none); raises `ConfigError` for the KEKs.

        Whatever was captured before is sealed as the policy before said.
        """
        moved = policy.end_to_end != self.policy.end_to_end
        if moved or pems is not None:
            before = self._keyring.server
            changed = self._keyring.replace_server(pems) if pems is not None else False
            if moved or changed:
                after, self._keyring.server = self._keyring.server, before
                self.end_epochs()
                self._keyring.server = after
        self.policy = policy

    def end_epochs(self) -> None:
        """Seal what there is under the keys of now; what comes next has new ones."""
        for stream in self._streams.values():
            stream.end_epoch()

    def limit_envelopes(self, max_envelope: int) -> None:
        """The server takes envelopes of at most so many bytes."""
        self._max_envelope = min(max(max_envelope, SMALLEST_ENVELOPE), MAX_ENVELOPE_BYTES)
        for stream in self._streams.values():
            stream.max_envelope = self._max_envelope

    def renew(self) -> None:
        """A new connection: whoever watches starts with it, so what comes next should be self-contained."""
        for kind in StreamKind:
            self._renew(kind)

    def unsealable(self) -> dict[str, str]:
        """Streams that the policy lists and whose keys are not there, with what is wrong."""
        problems: dict[str, str] = {}
        for kind in StreamKind:
            if kind.label in self.policy.streams:
                try:
                    self._keyring.audience(kind, self.policy)
                except ConfigError as error:
                    problems[kind.label] = str(error)
        return problems

    def sealed(self) -> dict[str, int]:
        """Segments sealed so far, by stream."""
        return {kind.label: stream.sealed for kind, stream in self._streams.items()}

    def indexed(self) -> dict[str, int]:
        """Texts of end-to-end streams that were indexed so far, by stream."""
        return self._index.indexed()

    async def tell_gaps(self) -> None:
        """Seal every gap that the spool owes, until cancelled."""
        while True:
            await self._spool.gap_owed()
            await self._clock.sleep(GAP_BUNCH_S)
            await self.tell_owed()

    async def tell_owed(self) -> None:
        """Seal the gaps that are owed now, and settle them once they are durable."""
        owed = self._spool.owed()
        if not owed:
            return
        self._keyring_for_gaps()
        stream = self._stream(StreamKind.GAP)
        for one in owed:
            stream.add(one.gap.to_event(self._clock.now_us()))
        stream.close_segment()
        await self._spool.flush()
        self._spool.settle([one.id for one in owed])

    async def flush(self) -> None:
        """Seal what is open, and wait until it is durable."""
        self._close_segments()
        await self._spool.flush()

    async def finish_index(self) -> None:
        """Read and tell all that was recorded so far and is to be indexed, and wait until that is durable."""
        self._close_segments()
        await self._index.drain()
        await self.flush()

    async def close(self) -> None:
        """Seal all that is open, gaps last."""
        self._close_segments()
        await self._index.drain()
        await self._index.close()
        for kind, stream in self._streams.items():
            if kind is not StreamKind.GAP:
                stream.close()
        await self.tell_owed()
        if gaps := self._streams.get(StreamKind.GAP):
            gaps.close()

    def _keyring_for_gaps(self) -> None:
        self._keyring.audience(StreamKind.GAP, self.policy)  # raises before a gap could be taken and lost

    def _allows(self, kind: StreamKind, event: Record) -> bool:
        application, title = event.get("application") or "", event.get("title") or ""
        return self.policy.allows(kind) and not self.policy.excludes(application, title)

    def _wants_index(self, kind: StreamKind) -> bool:
        if kind is StreamKind.SCREEN and not (self.policy.endpoint_ocr or self._settings.ocr):
            return False
        return self.policy.indexes(kind) and self._keyring.key_sets.may_index(kind)

    def _end_epoch(self, kind: StreamKind) -> None:
        if stream := self._streams.get(kind):
            stream.end_epoch()

    def _close_segments(self) -> None:
        for stream in list(self._streams.values()):
            stream.close_segment()

    def _renew(self, kind: StreamKind) -> None:
        for source in self._sources[kind]:
            source.renew()

    def _stream(self, kind: StreamKind) -> Stream:
        stream = self._streams.get(kind)
        if stream is None:
            stream = self._streams[kind] = Stream(
                kind,
                agent_id=self._agent_id,
                settings=self._settings,
                spool=self._spool,
                clock=self._clock,
                audience=lambda: self._keyring.audience(kind, self.policy),
                renew=lambda: self._renew(kind),
                sealed=partial(self._index.take, kind) if kind in INDEXABLE else None,
                at_once=lambda: kind in self._live,
            )
            if self._max_envelope is not None:
                stream.max_envelope = self._max_envelope
        return stream
