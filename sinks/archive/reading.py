"""Reading envelopes back from the archive, byte for byte as they came.

Never writes, and may run beside the process that does: it sees what was whole when it opened a file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind
from sinks.archive.container import Buffer, read_blocks
from sinks.archive.entry import Entry
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import OPEN_SUFFIX, Layout, day_of
from sinks.archive.scan import map_file, parse_archive_header, read_entries
from sinks.envelopes import MAX_TIME_MS


@dataclass(frozen=True, slots=True)
class ArchivedEnvelope:
    """An envelope and the Kafka record that it was the value of. `day` is the archive's day of its epoch."""

    id: EnvelopeId
    kind: StreamKind
    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    capture_ms: int
    partition: int
    offset: int
    day: str = ""


def read_envelopes(
    root: Path,
    *,
    kinds: Collection[StreamKind] = tuple(StreamKind),
    agents: Collection[bytes] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> Iterator[ArchivedEnvelope]:
    """Envelopes captured from `since_ms` on and before `until_ms`, of these kinds and agents (16-byte ids).

    In order of days, then of streams; each stream of an agent in the order of its recording. What was erased is left
    out. Raises `MalformedError` for a damaged file.
    """
    layout = Layout(root)
    headers = HeaderStore(layout)
    days = {(day, kind) for kind in kinds for day in layout.days(kind) if _may_hold(day, since_ms, until_ms)}
    for day, kind in sorted(days):
        for path in layout.files(kind, day):
            for entry in read_file(path):
                if since_ms is not None and entry.capture_ms < since_ms:
                    continue
                if until_ms is not None and entry.capture_ms >= until_ms:
                    continue
                if agents is not None and entry.id.agent_id not in agents:
                    continue
                value = join(headers, day, entry)
                if value is not None:
                    yield as_envelope(entry, kind, value, day)


def read_file(path: Path) -> Iterator[Entry]:
    """Every entry of one file; of one that still grows, those that are whole."""
    if not path.exists() and path.suffix == OPEN_SUFFIX:
        path = path.with_suffix("")  # sealed since it was listed
    with map_file(path) as data:
        yield from _read_entries(data, grows=path.suffix == OPEN_SUFFIX)


def _read_entries(data: Buffer, *, grows: bool) -> Iterator[Entry]:
    try:
        for block in read_blocks(data, parse_archive_header(data)):
            yield from list(read_entries(data, block))
    except MalformedError:
        if not grows:
            raise


def join(headers: HeaderStore, day: str, entry: Entry) -> bytes | None:
    """The envelope of an entry, or none when its epoch header was erased; raises `MalformedError` if it is missing."""
    known = headers.day(entry.id.agent_id, day)
    epoch = known.headers.get(entry.id.epoch_id, ())
    if entry.id.epoch_id in known.erased:
        return None
    if entry.header >= len(epoch):
        headers.forget()  # read before the writer added it
        epoch = headers.day(entry.id.agent_id, day).headers.get(entry.id.epoch_id, ())
    if entry.header >= len(epoch):
        raise MalformedError(f"the epoch header of {entry.id} is missing from the archive", "header_missing")
    return epoch[entry.header] + bytes(entry.record)


def as_envelope(entry: Entry, kind: StreamKind, value: bytes, day: str = "") -> ArchivedEnvelope:
    """What an entry and its joined value are together."""
    return ArchivedEnvelope(
        entry.id,
        kind,
        entry.topic,
        entry.key,
        value,
        entry.headers,
        entry.timestamp_ms,
        entry.capture_ms,
        entry.partition,
        entry.offset,
        day,
    )


def _may_hold(day: str, since_ms: int | None, until_ms: int | None) -> bool:
    """Whether a day's epochs may have records of that time: an epoch may go on after midnight, or begin before it."""
    after = (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
    if since_ms is not None and after < day_of(_bounded(since_ms)):
        return False
    return until_ms is None or day <= day_of(_bounded(until_ms))


def _bounded(time_ms: int) -> int:
    return min(max(time_ms, 0), MAX_TIME_MS)
