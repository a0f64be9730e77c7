"""Finding single envelopes in the archive by the index in PostgreSQL: where one stands, and all parts of its segment.

Never reads a whole file for one envelope, and never gives back what was erased.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from schemas.envelope import parse_record_header, peek
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from sinks.archive.entry import Entry, decode_entry
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout
from sinks.archive.reading import join
from sinks.archive.scan import map_file
from sinks.postgresql.connection import Connection

MOST_PARTS = 256
"""Of one segment: 64 MiB in parts of a quarter of what an envelope may be."""

_RUNS = """
SELECT file, byte_offset, byte_length, agent_id, epoch_id FROM archive_run
JOIN unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS wanted (agent, epoch, sequence)
ON agent_id = agent AND epoch_id = epoch AND last_sequence >= sequence AND first_sequence <= sequence + $4
GROUP BY file, byte_offset, byte_length, agent_id, epoch_id, first_sequence ORDER BY epoch_id, first_sequence"""


class Stretch(NamedTuple):
    """Records of one epoch that stand together in an archive file."""

    file: str
    offset: int
    length: int


async def find_segments(
    connection: Connection, root: Path, wanted: Iterable[EnvelopeId]
) -> dict[EnvelopeId, list[bytes]]:
    """The envelopes of each segment that begins at one of the ids, in order; those that are not whole are left out.

    Raises `MalformedError` for a damaged file.
    """
    ids = sorted(set(wanted))
    columns = [UUID(bytes=one.agent_id) for one in ids], [one.epoch_id for one in ids], [one.sequence for one in ids]
    rows = await connection.fetch(_RUNS, *columns, MOST_PARTS)
    runs = [Stretch(row["file"], row["byte_offset"], row["byte_length"]) for row in rows]
    return await asyncio.to_thread(read_segments, Layout(root), runs, ids)


def read_segments(layout: Layout, runs: Sequence[Stretch], ids: Sequence[EnvelopeId]) -> dict[EnvelopeId, list[bytes]]:
    """What `find_segments` gives, where the index named `runs`, of each epoch in the order of its records."""
    headers = HeaderStore(layout)
    waiting = set(ids)
    found: dict[EnvelopeId, list[bytes]] = {}
    open_id: EnvelopeId | None = None
    following: EnvelopeId | None = None
    for day, entry, check in _entries(layout, runs):
        if entry.id in waiting:
            open_id = entry.id
            found[open_id] = []
        elif open_id is None or entry.id != following:
            open_id = None
            continue
        check()
        envelope = join(headers, day, entry)
        if envelope is None:  # erased
            found.pop(open_id, None)
            open_id = None
            continue
        found[open_id].append(envelope)
        waiting.discard(open_id)
        following = entry.id._replace(sequence=entry.id.sequence + 1)
        if not parse_record_header(bytes(entry.record)).more_parts:
            open_id = None
    return {one: parts for one, parts in found.items() if _is_whole(parts)}


def _is_whole(parts: list[bytes]) -> bool:
    return bool(parts) and not peek(parts[-1]).record.more_parts


def _entries(layout: Layout, runs: Sequence[Stretch]) -> Iterator[tuple[str, Entry, Callable[[], Entry]]]:
    """The entries of each run, the day that they lie under, and what raises `MalformedError` for a damaged one."""
    for run in runs:
        path = layout.find(run.file)
        if path is None:
            continue  # it was taken away since it was indexed
        with map_file(path) as data:
            at, end = run.offset, run.offset + run.length
            if end > len(data):
                raise MalformedError(f"{path} is shorter than its index says: `sealstream archive reindex`", "cut")
            while at < end:
                entry = decode_entry(data, at, check=False)
                yield path.parent.name, entry, partial(decode_entry, data, at)
                at = entry.end
