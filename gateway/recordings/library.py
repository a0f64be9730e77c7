"""The archive as a reader has it: records in their places, joined with their headers, grouped to segments, opened.

Never gives out what was erased since, however long the process has been running, and keeps no plaintext.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.recordings.asking import Ask
from gateway.recordings.tails import Tails
from infra.keys.keyring import KeyringOpener
from infra.settings import Settings
from schemas.envelope import Peeker, parse_record_header
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.opening import Opened, Opener, PartJoiner
from sinks.archive.entry import Entry, decode_entry
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout
from sinks.archive.ranges import RangeReader, Stretch
from sinks.archive.reading import join


class Group(NamedTuple):
    """The records of one segment, in order: several when it was larger than an envelope."""

    kind: StreamKind
    day: str
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """The record that names the segment."""
        return self.entries[0]

    @property
    def capture_ms(self) -> int:
        """When its first event was captured."""
        return self.first.capture_ms

    @property
    def size(self) -> int:
        """Sealed bytes."""
        return sum(len(entry.record) for entry in self.entries)


def last_epoch(groups: Sequence[Group]) -> list[Group]:
    """Those of the epoch that the last of them is of: the beginning of one draws the whole screen."""
    return [group for group in groups if group.first.id.epoch_id == groups[-1].first.id.epoch_id]


class Visit:
    """One request's reading. `reads` counts the reads of the archive that it took."""

    def __init__(self, library: Library, ask: Ask) -> None:
        self._library = library
        self._ask = ask
        self._ranges = RangeReader(library.layout)
        self._fresh: set[tuple[bytes, str]] = set()

    @property
    def reads(self) -> int:
        """How many there were."""
        return self._ranges.reads

    def groups(self, kind: StreamKind, agent: bytes, *, far: bool = False) -> Iterator[Group]:
        """The segments of one stream of one agent, in the order of the archive; what was erased is left out."""
        known = self._ask.places(kind, far=far)
        fresh = [] if far else self._library.tails.find(self._ask, kind, agent, self._ranges)
        held: list[Entry] = []
        for day, entry in self._entries([*known, *fresh]):
            if entry.id.agent_id != agent:
                continue
            if held and entry.id != held[-1].id._replace(sequence=held[-1].id.sequence + 1):
                held = []  # the rest of it is not here
            held.append(entry)
            if not parse_record_header(bytes(entry.record[:_HEAD_BYTES])).more_parts:
                if self._is_kept(entry, day):
                    yield Group(kind, day, tuple(held))
                held = []

    def envelopes(self, group: Group) -> list[bytes]:
        """The envelopes of a segment; none when it was erased."""
        joined = [join(self._library.headers, group.day, entry) for entry in group.entries]
        return [one for one in joined if one is not None]

    def is_end_to_end(self, envelopes: list[bytes]) -> bool:
        """Whether they are for officers alone."""
        return self._library.peeker.peek(envelopes[0]).epoch.end_to_end

    def open(self, envelopes: Iterable[bytes]) -> Opened:
        """The whole segment in its envelopes; raises `OpenError` or `MalformedError`."""
        joiner, whole = PartJoiner(), None
        for envelope in envelopes:
            whole = joiner.add(self._library.opener.open(envelope))
        if whole is None:
            raise MalformedError("a part of a segment is missing", "missing_part")
        return whole

    def _entries(self, stretches: list[Stretch]) -> Iterator[tuple[str, Entry]]:
        for portion in self._ranges.portions(stretches):
            at = 0
            while at < len(portion.data):
                entry = decode_entry(portion.data, at)
                at = entry.end
                yield portion.stretch.day, entry

    def _is_kept(self, entry: Entry, day: str) -> bool:
        """Whether it was not erased; looked up on disk once in a request."""
        agent_id = entry.id.agent_id
        if (agent_id, day) not in self._fresh:
            self._library.headers.renew(agent_id, day)
            self._fresh.add((agent_id, day))
        return entry.id.epoch_id not in self._library.headers.day(agent_id, day).erased


_HEAD_BYTES = 60
"""A record's header and tag: what `parse_record_header` wants to see."""


class Library:
    """What lasts from request to request: keys, headers, and where files end that the index does not know."""

    def __init__(self, settings: Settings, opener: Opener | None = None) -> None:
        """Raises `ConfigError` when no KEK opens."""
        self.layout = Layout(settings.archive.dir)
        self.headers = HeaderStore(self.layout)
        self.peeker = Peeker()
        self.tails = Tails(self.layout)
        self.opener = opener or KeyringOpener(settings)

    def visit(self, ask: Ask) -> Visit:
        """Begin to serve a request, with the keys that are registered now."""
        if isinstance(self.opener, KeyringOpener):
            self.opener.renew()
        return Visit(self, ask)


def opened_of(visit: Visit, group: Group) -> Opened | None:
    """What a segment holds; `None` when it is end to end. Raises `OpenError` or `MalformedError`."""
    envelopes = visit.envelopes(group)
    if len(envelopes) < len(group.entries):
        raise MalformedError("a part of a segment was erased", "missing_part")
    return None if visit.is_end_to_end(envelopes) else visit.open(envelopes)
