"""Finding what is in scope: by the archive's index in PostgreSQL, and in the files for what came after it.

Never opens anything, and never reads a file from its beginning when the index knows where to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from gateway.unlock.scope import Scope
from infra.settings import Settings, postgresql_dsn
from schemas.envelope import EpochHeader, parse_epoch_header
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.seal import MAX_EPOCH_MS
from sinks.archive.container import read_blocks
from sinks.archive.entry import Entry, decode_entry
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import OPEN_SUFFIX, Layout, day_of
from sinks.archive.reading import ArchivedEnvelope, as_envelope, join
from sinks.archive.scan import map_file, parse_archive_header, read_entries
from sinks.envelopes import MAX_TIME_MS
from sinks.postgresql.connection import Connection, connect, store_errors
from sinks.postgresql.rows import timestamp

_RUNS = """
WITH touched AS (
    SELECT DISTINCT agent_id, epoch_id FROM archive_run
    WHERE agent_id = ANY($1) AND stream = ANY($2)
      AND last_captured_at >= $3 AND last_captured_at < $6 AND first_captured_at < $4
    UNION
    SELECT agent.agent_id, shown.epoch_id FROM unnest($1::uuid[]) AS agent (agent_id) CROSS JOIN LATERAL (
        SELECT epoch_id FROM archive_run run
        WHERE run.agent_id = agent.agent_id AND run.stream = 'screen'
          AND run.last_captured_at >= $5 AND run.last_captured_at < $6 AND run.first_captured_at < $3
        ORDER BY run.last_captured_at DESC LIMIT 1
    ) shown WHERE 'screen' = ANY($2)
)
SELECT run.file, run.stream, run.byte_offset, run.byte_length FROM archive_run run
JOIN touched USING (agent_id, epoch_id)
WHERE run.last_captured_at >= $5 AND run.last_captured_at < $6 AND run.first_captured_at < $4
  AND (run.last_captured_at >= $3 OR run.stream = 'screen')
ORDER BY run.stream, run.file, run.byte_offset"""
"""Of screens, epochs from their beginning, and the one that goes on when the scope begins: a frame builds on those
before it. No run is longer than its epoch may be, so runs far from the scope are not looked at."""

_FILES = """
SELECT file, indexed_bytes FROM archive_file WHERE stream = ANY($1) AND day BETWEEN $2::text::date AND $3::text::date"""

_EPOCH_MS = MAX_EPOCH_MS + 60_000
"""So long an epoch goes on at most, by clocks that are not quite the same."""


class Stretch(NamedTuple):
    """Whole records that stand together in an archive file."""

    name: str
    kind: StreamKind
    start: int
    end: int

    @property
    def day(self) -> str:
        """The day of the file."""
        return self.name.split("/")[-2]


class Found(NamedTuple):
    """Where in the archive a scope's envelopes stand."""

    layout: Layout
    stretches: Sequence[Stretch]


async def find(settings: Settings, scope: Scope) -> Found:
    """What the archive has in `scope`; raises `UnavailableError` when PostgreSQL is away."""
    layout = Layout(settings.archive.dir)
    connection = await connect(postgresql_dsn(settings))
    try:
        with store_errors():
            indexed = await _indexed(connection, scope)
            labels = [kind.label for kind in scope.kinds]
            known = dict(await connection.fetch(_FILES, labels, *_days(scope)))
    finally:
        connection.terminate()
    fresh = [stretch for kind in scope.kinds for stretch in _not_indexed(layout, kind, known, scope)]
    return Found(layout, sorted({*indexed, *fresh}, key=lambda one: (one.kind, one.name, one.start)))


async def _indexed(connection: Connection, scope: Scope) -> list[Stretch]:
    rows = await connection.fetch(
        _RUNS,
        [UUID(bytes=agent) for agent in scope.agents],
        [kind.label for kind in scope.kinds],
        timestamp(scope.since_ms),
        timestamp(scope.until_ms),
        timestamp(max(0, scope.since_ms - _EPOCH_MS)),
        timestamp(min(scope.until_ms + _EPOCH_MS, MAX_TIME_MS)),
    )
    return [Stretch(file, StreamKind.from_label(stream), start, start + length) for file, stream, start, length in rows]


def _not_indexed(layout: Layout, kind: StreamKind, known: dict[str, int], scope: Scope) -> Iterator[Stretch]:
    """The records of the agents in scope that the index has yet to learn of."""
    first, last = _days(scope)
    for day in (day for day in layout.days(kind) if first <= day <= last):
        for path in layout.files(kind, day):
            name = layout.name(path)
            found = layout.find(name)
            if found is None or found.stat().st_size <= known.get(name, 0):
                continue
            yield from _scan(found, name, kind, known.get(name, 0), scope)


def _days(scope: Scope) -> tuple[str, str]:
    """The first and the last day of the archive on which an epoch of the scope may have begun."""
    return day_of(max(0, scope.since_ms - _EPOCH_MS)), day_of(scope.until_ms)


def _scan(path: Path, name: str, kind: StreamKind, start: int, scope: Scope) -> Iterator[Stretch]:
    with map_file(path) as data:
        try:
            header = parse_archive_header(data)
            for block in read_blocks(data, header, max(start, header.size)):
                for entry in read_entries(data, block, check=False):
                    early = kind is StreamKind.SCREEN and entry.capture_ms < scope.until_ms
                    if entry.id.agent_id in scope.agents and (early or scope.holds(entry.capture_ms)):
                        yield Stretch(name, kind, entry.start, entry.end)
        except MalformedError:
            if path.suffix != OPEN_SUFFIX:
                raise  # a file that grows ends in what is not whole yet


def read(found: Found, scope: Scope) -> Iterator[ArchivedEnvelope]:
    """The envelopes, each stream of an agent in the order of its recording; of screens with what they build on.

    What was erased is left out. Raises `MalformedError` for a damaged file.
    """
    headers = HeaderStore(found.layout)
    for stretch, entry in _entries(found, scope):
        value = join(headers, stretch.day, entry)
        if value is not None:
            yield as_envelope(entry, stretch.kind, value)


def epochs(found: Found, scope: Scope) -> list[tuple[EpochHeader, int]]:
    """Every epoch header in scope, and how many envelopes stand under it; what was erased is left out."""
    headers = HeaderStore(found.layout)
    counts: Counter[tuple[bytes, bytes, str, int]] = Counter()
    for stretch, entry in _entries(found, scope):
        if scope.holds(entry.capture_ms):
            counts[entry.id.agent_id, entry.id.epoch_id, stretch.day, entry.header] += 1
    stored = (
        (headers.day(agent_id, day).headers.get(epoch_id, ())[number:][:1], count)
        for (agent_id, epoch_id, day, number), count in counts.items()
    )
    return [(parse_epoch_header(header), count) for kept, count in stored for header in kept]


def _entries(found: Found, scope: Scope) -> Iterator[tuple[Stretch, Entry]]:
    for stretch in found.stretches:
        path = found.layout.find(stretch.name)
        if path is None:
            raise MalformedError(f"the archive file {stretch.name} is missing", "file_missing")
        with map_file(path) as data:
            at = stretch.start
            while at < stretch.end:
                entry = decode_entry(data[: stretch.end], at)
                at = entry.end
                early = stretch.kind is StreamKind.SCREEN and entry.capture_ms < scope.until_ms
                if entry.id.agent_id in scope.agents and (early or scope.holds(entry.capture_ms)):
                    yield stretch, entry
