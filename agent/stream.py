"""One stream on its way to the spool: events become segments, segments become envelopes, epoch after epoch.

Never writes a DEK or an event anywhere: both are in memory until they are sealed or lost.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import structlog

from agent.clock import Clock
from agent.gap import Gap, GapReason, Mark
from agent.keyring import Audience
from agent.settings import RecorderSettings
from agent.spool import Spool
from schemas.envelope import ZERO_LINK
from schemas.errors import ConfigError
from schemas.identity import EnvelopeId
from schemas.kinds import ContentType, StreamKind
from schemas.opening import max_part_bytes
from schemas.records import Record, encode_segment, encode_text
from schemas.seal import MAX_EPOCH_MS, Epoch, split_segment
from schemas.topics import MAX_ENVELOPE_BYTES

log = structlog.get_logger()

PADDED = frozenset({StreamKind.KEYSTROKES, StreamKind.EMAIL})
"""Streams whose length would tell what was typed."""

HOLE_TOLD_S = 60.0
"""A hole that stays open is told this often."""

Sealed = Callable[[EnvelopeId, list[Record], Audience], None]
"""Told of each segment that was sealed: where it stands, its events, and who may open it."""

UNENCODABLE = (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, struct.error)
"""What fastavro raises for an event that is not of its schema."""


def event_bytes(value: Any) -> int:
    """About how many bytes an event takes when it is encoded; cheap, never exact."""
    if isinstance(value, bytes | str):
        return len(value) + 2
    if isinstance(value, dict):
        return sum(map(event_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(event_bytes, value)) + 1
    return 4


class Stream:
    """One kind of recording of one agent. `renew` is called when the next event should be self-contained.

    While `at_once` holds somebody waits for each event, and none waits for others.
    """

    def __init__(
        self,
        kind: StreamKind,
        *,
        agent_id: bytes,
        settings: RecorderSettings,
        spool: Spool,
        clock: Clock,
        audience: Callable[[], Audience],
        renew: Callable[[], None],
        sealed: Sealed | None = None,
        at_once: Callable[[], bool] = lambda: False,
    ) -> None:
        self.kind = kind
        self.max_envelope = MAX_ENVELOPE_BYTES
        self.sealed = 0
        """Segments sealed so far."""
        self._agent_id = agent_id
        self._settings = settings
        self._spool = spool
        self._clock = clock
        self._audience = audience
        self._renew = renew
        self._tell_sealed = sealed
        self._at_once = at_once
        self._sealed_to: Audience | None = None
        self._events: list[Record] = []
        self._bytes = 0
        self._epoch: Epoch | None = None
        self._epoch_end = 0.0
        self._epoch_end_us = 0
        self._link = ZERO_LINK
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._hole: Gap | None = None
        self._hole_told = clock.monotonic()

    def add(self, event: Record) -> None:
        """Take an event; it is sealed with its segment, a second later at most, at once while somebody watches."""
        self._events.append(event)
        self._bytes += event_bytes(event)
        if self._bytes >= self._settings.segment_bytes or self._at_once():
            self.close_segment()
        elif len(self._events) == 1:
            self._after("segment", self._settings.segment_ms / 1000, self.close_segment)

    def close_segment(self) -> None:
        """Seal what there is, if anything."""
        self._stop("segment")
        events, self._events, self._bytes = self._events, [], 0
        if events:
            self._seal(events, final=False)

    def end_epoch(self) -> None:
        """Seal what there is as the last of its epoch; what comes next has a new key."""
        self._stop("segment")
        self._stop("epoch")
        events, self._events, self._bytes = self._events, [], 0
        if events or (self._epoch and not self._over()):
            self._seal(events, final=True)
        if self._epoch is not None:  # nothing of it could be sealed: its key must not be used all the same
            self._link, self._epoch = self._epoch.link, None
        self._renew()

    def close(self) -> None:
        """End the epoch and tell of a hole that is still open."""
        self.end_epoch()
        self._tell_hole()

    def add_text(self, passages: list[Record]) -> EnvelopeId | None:
        """Seal what was read in this stream beside it, at once; where it stands, or nothing when it was not sealed.

        Not sealed: when the stream is not sealed end to end any more, the server has read it by itself.
        """
        from_us, until_us = min(one["time_us"] for one in passages), max(one["until_us"] for one in passages)
        try:
            self._current_epoch()
        except ConfigError:
            return None  # a hole of the stream's own events tells of it
        if self._sealed_to is None or not self._sealed_to.end_to_end:
            return None
        return self._put(encode_text(passages), ContentType.TEXT, from_us, until_us, final=False)

    def _seal(self, events: list[Record], *, final: bool) -> None:
        from_us = min((event["time_us"] for event in events), default=self._clock.now_us())
        until_us = max((event["time_us"] for event in events), default=from_us)
        good, segment = self._encode(events)
        if segment is None:
            return
        try:
            epoch = self._current_epoch()
        except ConfigError as error:
            self._widen_hole(from_us, until_us, str(error))
            return
        source = self._put(segment, ContentType.SEGMENT, from_us, until_us, final=final)
        self.sealed += 1
        self._tell_hole()
        if final:
            self._link, self._epoch = epoch.link, None
        if good and self._tell_sealed and self._sealed_to:
            self._tell_sealed(source, good, self._sealed_to)

    def _put(
        self, segment: bytes, content_type: ContentType, from_us: int, until_us: int, *, final: bool
    ) -> EnvelopeId:
        """Seal `segment` in the open epoch, in parts where it must be; where its first part stands."""
        assert self._epoch is not None
        epoch = self._epoch
        source = EnvelopeId(self._agent_id, epoch.epoch_id, epoch.sequence)
        pad_to = self._settings.pad_to if self.kind in PADDED or content_type is ContentType.TEXT else 0
        parts = split_segment(segment, max_part_bytes(self.max_envelope, epoch.header) - pad_to)
        for number, part in enumerate(parts, 1):
            mark = Mark(self.kind, epoch.epoch_id, epoch.sequence, from_us, until_us)
            more = number < len(parts)
            envelope = epoch.seal(
                part,
                capture_ms=from_us // 1000,
                content_type=content_type,
                more_parts=more,
                final=final and not more,
                pad_to=pad_to,
            )
            self._spool.append(envelope, mark)
        return source

    def _encode(self, events: list[Record]) -> tuple[list[Record], bytes | None]:
        """The events that are of the stream's schema, and their segment: a source's fault costs that event alone."""
        try:
            return events, encode_segment(self.kind, events)
        except UNENCODABLE as error:
            if len(events) == 1:
                log.warning("event_not_of_its_schema", stream=self.kind.label, error=type(error).__name__)
                at_us = events[0]["time_us"]
                self._widen_hole(at_us, at_us, "an event was not of its schema")
                return [], None
        good = [event for event in events if self._encode([event])[1] is not None]
        return good, encode_segment(self.kind, good) if good else None

    def _current_epoch(self) -> Epoch:
        """The epoch to seal in: the open one, or a new one when that is spent, or older than a key may get."""
        now_us = self._clock.now_us()
        if self._epoch and self._over():
            self._link, self._epoch = self._epoch.link, None
            self._renew()
        if self._epoch is None:
            audience = self._sealed_to = self._audience()
            life_s = min(self._settings.epoch_s, MAX_EPOCH_MS / 1000)
            self._epoch = Epoch.begin(
                agent_id=self._agent_id,
                kind=self.kind,
                recipients=audience.recipients,
                created_ms=now_us // 1000,
                end_to_end=audience.end_to_end,
                previous=self._link,
            )
            self._epoch_end = self._clock.monotonic() + life_s
            self._epoch_end_us = now_us + int(life_s * 1_000_000)
            self._after("epoch", life_s * 0.99, self.end_epoch)
        return self._epoch

    def _over(self) -> bool:
        """Whether the epoch may not go on; by the wall clock too, since the other stands while the machine sleeps."""
        spent = self._epoch is not None and self._epoch.spent
        return spent or self._clock.monotonic() >= self._epoch_end or self._clock.now_us() >= self._epoch_end_us

    def _widen_hole(self, from_us: int, until_us: int, detail: str) -> None:
        start = self._hole.from_us if self._hole else from_us
        self._hole = Gap(self.kind.label, GapReason.CAPTURE_FAILED, from_us=start, until_us=until_us, detail=detail)
        if self._clock.monotonic() - self._hole_told >= HOLE_TOLD_S:
            self._tell_hole()

    def _tell_hole(self) -> None:
        if self._hole and self.kind is not StreamKind.GAP:
            self._spool.owe(self._hole)
            self._hole_told = self._clock.monotonic()
        self._hole = None

    def _after(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            self._timers.pop(name, None)
            act()

        self._stop(name)
        self._timers[name] = asyncio.create_task(wait(), name=f"{self.kind.label} {name}")

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
