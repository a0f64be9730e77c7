"""The unlocked miner: end-to-end streams that a person's key opens, read as an endpoint would have read them (R6.9).

Never sends on what it read but sealed: text and roots to the stream's own recipients, tokens to the server.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from infra.text.reading import EmailReader, Found, Reader, ScreenText, TerminalText
from schemas.blind_index import ROOT_ID_BYTES, SALT_BYTES, SECRET_BYTES, Ratchet, Root, day_of, document_tokens
from schemas.envelope import EpochHeader, peek
from schemas.errors import RemoteError, SealstreamError
from schemas.identity import EnvelopeId
from schemas.index_records import make_entry, seal_root
from schemas.keys import Recipient
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener, PartJoiner, max_part_bytes
from schemas.records import decode_segment, decode_text, encode_segment, encode_text
from schemas.seal import Epoch, split_segment
from schemas.topics import MAX_ENVELOPE_BYTES

log = structlog.get_logger(__name__)

READERS: dict[StreamKind, Callable[[], Reader]] = {
    StreamKind.SCREEN: ScreenText,
    StreamKind.KEYSTROKES: TerminalText,
    StreamKind.EMAIL: EmailReader,
}

HELD_TEXTS = 64
"""Texts that are sealed together."""

PAD_TO = 256

Publish = Callable[[StreamKind, bytes, bytes, Mapping[str, bytes]], Awaitable[None]]
"""Takes an envelope of a kind and agent with its headers; returns when it is with all in-sync replicas."""

Place = tuple[bytes, int, int]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope and the headers of the Kafka record that it came in."""

    value: bytes
    headers: Mapping[str, bytes]


class _To(NamedTuple):
    """Where an envelope goes, and who may open it."""

    kind: StreamKind
    agent_id: bytes
    recipients: Sequence[Recipient]
    headers: Mapping[str, bytes]


@dataclass
class _Day:
    """Texts of one day that wait, and the key of their tokens."""

    recipients: tuple[Recipient, ...]
    headers: Mapping[str, bytes]
    root: Root
    told: bool = False
    held: dict[Place, Found] = field(default_factory=dict)


class UnlockedMiner:
    """Takes envelopes in the order of their recording. `wanted` says whether a time, ms, is in scope."""

    def __init__(
        self,
        opener: Opener,
        publish: Publish,
        *,
        recipients: Callable[[EpochHeader], Sequence[Recipient]],
        server: Sequence[Recipient],
        wanted: Callable[[int], bool],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._opener = opener
        self._publish = publish
        self._recipients = recipients
        self._server = server
        self._wanted = wanted
        self._joiner = PartJoiner()
        self._readers: dict[tuple[bytes, StreamKind], Reader] = {}
        self._days: dict[tuple[bytes, StreamKind, int, frozenset[bytes]], _Day] = {}
        self._done: dict[bytes, int] = {}
        self._known: set[Place] = set()
        self._salts: dict[Place, bytes] = {}

    def survey(self, envelopes: Iterable[Sealed]) -> None:
        """Learn which texts were read before, on the endpoint or here: they are not made again."""
        for one in envelopes:
            seen = peek(one.value)
            if seen.epoch.end_to_end and seen.record.content_type == ContentType.TEXT:
                self._learn(one)

    async def take(self, one: Sealed) -> None:
        """Read an envelope that was not taken before."""
        seen = peek(one.value)
        if not seen.epoch.end_to_end or seen.record.sequence <= self._done.get(seen.epoch.epoch_id, -1):
            return
        self._done[seen.epoch.epoch_id] = seen.record.sequence
        if seen.record.content_type == ContentType.TEXT:
            self._learn(one)
            return
        if seen.record.content_type != ContentType.SEGMENT:
            return
        try:
            whole = self._joiner.add(self._opener.open(one.value))
        except RemoteError:
            self.counts["not_opened"] += 1
            return
        if whole is not None:
            await self._read(whole, one.headers)

    async def flush(self) -> None:
        """Publish all texts that wait."""
        for (agent_id, kind, _, _), day in list(self._days.items()):
            await self._tell(agent_id, kind, day)

    async def close(self) -> None:
        """Forget every picture, session and key."""
        for reader in self._readers.values():
            await reader.close()
        self._readers.clear()
        self._days.clear()

    def _learn(self, one: Sealed) -> None:
        try:
            passages = decode_text(self._opener.open(one.value).plaintext)
        except RemoteError:
            return
        self._known.update((p["origin_epoch"], p["origin_sequence"], p["ordinal"]) for p in passages)

    async def _read(self, opened: Opened, headers: Mapping[str, bytes]) -> None:
        kind = opened.record.kind
        reader = self._readers.get((opened.id.agent_id, kind))
        if reader is None:
            reader = self._readers[opened.id.agent_id, kind] = READERS[kind]()
        try:
            events = await asyncio.to_thread(decode_segment, kind, opened.plaintext)
            found = await reader.read(opened.id, events)
        except SealstreamError as error:
            log.warning("segment_not_read", stream=kind.label, agent=opened.id.agent, error=type(error).__name__)
            self.counts["not_read"] += 1
            reader.reset()
            return
        self.counts["segments"] += 1
        for text in found:
            at_ms = text.passage["time_us"] // 1000
            if self._wanted(at_ms) and text.place not in self._known:
                day = self._day(opened, day_of(at_ms), headers)
                day.held[text.place] = text
                if len(day.held) >= HELD_TEXTS:
                    await self._tell(opened.id.agent_id, kind, day)

    def _day(self, opened: Opened, day: int, headers: Mapping[str, bytes]) -> _Day:
        """Where texts of that day and of these recipients wait."""
        place = opened.id.agent_id, opened.record.kind, day, frozenset(opened.epoch.key_ids)
        held = self._days.get(place)
        if held is None:
            root = Root(opened.record.kind, os.urandom(ROOT_ID_BYTES), day, os.urandom(SECRET_BYTES))
            held = self._days[place] = _Day(tuple(self._recipients(opened.epoch)), headers, root)
        return held

    async def _tell(self, agent_id: bytes, kind: StreamKind, day: _Day) -> None:
        """Publish what waits: text first, then the root, then the entries that need both."""
        held, day.held = list(day.held.values()), {}
        if not held:
            return
        at_ms = held[0].passage["time_us"] // 1000
        source = None
        if self._readers[agent_id, kind].seals:
            text = encode_text([one.passage for one in held])
            to = _To(kind, agent_id, day.recipients, day.headers)
            source = await self._send(to, text, at_ms, ContentType.TEXT)
        if not day.told:
            _, root = seal_root(day.root, agent_id, day.recipients, at_ms)
            await self._publish(StreamKind.INDEX, agent_id, root, day.headers)
            day.told = True
        ratchet = Ratchet(day.root.secret, day.root.day)
        tokens = [document_tokens(ratchet.key, self._salt(one.place), one.texts) for one in held]
        ratchet.erase()
        entries = [make_entry(kind, one.passage, source, found) for one, found in zip(held, tokens, strict=True)]
        to = _To(StreamKind.INDEX, agent_id, self._server, day.headers)
        await self._send(to, encode_segment(StreamKind.INDEX, entries), at_ms, ContentType.SEGMENT)
        self._known.update(one.place for one in held if kind is not StreamKind.KEYSTROKES)  # a session's text grows
        self.counts["texts"] += len(held)

    def _salt(self, place: Place) -> bytes:
        return self._salts.setdefault(place, os.urandom(SALT_BYTES))

    async def _send(self, to: _To, segment: bytes, at_ms: int, content: ContentType) -> EnvelopeId:
        """Publish `segment` in an epoch of its own, dated as the text is: erasing that day erases it too."""
        secret = content is ContentType.TEXT
        epoch = Epoch.begin(
            agent_id=to.agent_id, kind=to.kind, recipients=to.recipients, created_ms=at_ms, end_to_end=secret
        )
        parts = split_segment(segment, max_part_bytes(MAX_ENVELOPE_BYTES, epoch.header) - PAD_TO)
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            envelope = epoch.seal(
                part,
                capture_ms=at_ms,
                content_type=content,
                more_parts=not last,
                final=last,
                pad_to=PAD_TO if secret else 0,
            )
            await self._publish(to.kind, to.agent_id, envelope, to.headers)
        return EnvelopeId(to.agent_id, epoch.epoch_id, 0)
