"""What archive files hold that the index has yet to learn of: the last seconds, or more when PostgreSQL was away.

Never scans a byte twice: what was found is remembered as long as the file is not known to the index up to there.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.recordings.asking import Ask
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from sinks.archive.container import read_blocks
from sinks.archive.layout import Layout
from sinks.archive.ranges import RangeReader, Stretch
from sinks.archive.scan import map_file, parse_archive_header, read_entries

_FILES = 64
_BEFORE_MS = 16 * 60_000
"""Of screens: how long before the time asked for what it builds on may have been captured."""


class _Known(NamedTuple):
    agent: bytes
    capture_ms: int
    stretch: Stretch


@dataclass(slots=True)
class _Tail:
    end: int
    known: list[_Known] = field(default_factory=list)


class Tails:
    """The tails of an archive's files."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tails: OrderedDict[str, _Tail] = OrderedDict()

    def find(self, ask: Ask, kind: StreamKind, agent: bytes, counter: RangeReader) -> list[Stretch]:
        """Where records of that agent and stream stand beyond what the index knows; `counter` counts the scans."""
        since_ms = ask.since_ms - (_BEFORE_MS if kind is StreamKind.SCREEN else 0)
        found: list[Stretch] = []
        for day in ask.days:
            for path in self._layout.files(kind, day):
                name = self._layout.name(path)
                start = ask.indexed.get(name, 0)
                found += [
                    one.stretch
                    for one in self._tail(name, start, counter)
                    if one.agent == agent and since_ms <= one.capture_ms < ask.until_ms and one.stretch.start >= start
                ]
        return found

    def _tail(self, name: str, start: int, counter: RangeReader) -> list[_Known]:
        path = self._layout.find(name)
        tail = self._tails.get(name)
        if path is None:
            return []
        if tail is None or tail.end < start:
            tail = self._tails[name] = _Tail(start)
            if len(self._tails) > _FILES:
                self._tails.popitem(last=False)
        self._tails.move_to_end(name)
        tail.known = [one for one in tail.known if one.stretch.start >= start]
        if path.stat().st_size > tail.end:
            with map_file(path) as data:
                counter.reads += 1
                self._scan(name, data, tail)
        return tail.known

    @staticmethod
    def _scan(name: str, data: memoryview, tail: _Tail) -> None:
        try:
            header = parse_archive_header(data)
            for block in read_blocks(data, header, max(tail.end, header.size)):
                for entry in read_entries(data, block, check=False):
                    stretch = Stretch(name, entry.start, entry.end)
                    tail.known.append(_Known(entry.id.agent_id, entry.capture_ms, stretch))
                tail.end = block.next
        except MalformedError:
            return  # a file that grows ends in what is not whole yet
