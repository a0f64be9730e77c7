"""The archive's index in PostgreSQL: which file and byte range holds which records of whom. Made from the files alone.

Never needed for reading the archive, and never a reason to stop writing it: what is missing is caught up with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import structlog

from infra.migrate import migrate
from schemas.errors import MalformedError, UnavailableError
from schemas.kinds import StreamKind
from sinks.archive.container import Buffer, read_blocks
from sinks.archive.entry import Entry
from sinks.archive.layout import OPEN_SUFFIX, Layout
from sinks.archive.scan import map_file, parse_archive_header, read_entries
from sinks.postgresql.connection import Connection, connect, store_errors
from sinks.postgresql.rows import timestamp

log = structlog.get_logger(__name__)

_COLUMNS = (
    "file",
    "byte_offset",
    "byte_length",
    "agent_id",
    "epoch_id",
    "first_sequence",
    "last_sequence",
    "stream",
    "first_captured_at",
    "last_captured_at",
)
_PAUSE_S = 2.0
_RETRY_S = 10.0


class Run(NamedTuple):
    """Consecutive records of one epoch that stand together in a block: one row of the index."""

    first: Entry
    last: Entry
    first_capture_ms: int
    last_capture_ms: int


def runs_of(data: Buffer, start: int = 0) -> Iterator[tuple[int, list[Run]]]:
    """The runs of each whole block from the one at `start` on, and where the block ends."""
    header = parse_archive_header(data)
    try:
        for block in read_blocks(data, header, max(start, header.size)):
            yield block.next, list(_group(list(read_entries(data, block, check=False))))
    except MalformedError:
        return  # the tail of a file that grows


def _group(entries: list[Entry]) -> Iterator[Run]:
    run: list[Entry] = []
    for entry in entries:
        if run and entry.id != run[-1].id._replace(sequence=run[-1].id.sequence + 1):
            yield _run(run)
            run = []
        run.append(entry)
    if run:
        yield _run(run)


def _run(entries: list[Entry]) -> Run:
    captures = [entry.capture_ms for entry in entries]
    return Run(entries[0], entries[-1], min(captures), max(captures))


async def index_file(connection: Connection, layout: Layout, path: Path, *, afresh: bool = False) -> int:
    """Bring the index up to what the file holds; how many runs were added. `afresh` forgets what it had."""
    name = layout.name(path)
    kind, day = path.parent.parent.name, path.parent.name
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO archive_file VALUES ($1, $2, $3::text::date, 0) ON CONFLICT DO NOTHING", name, kind, day
        )
        known = await connection.fetchval("SELECT indexed_bytes FROM archive_file WHERE file = $1 FOR UPDATE", name)
        found = layout.find(name)
        if found is None:
            return 0
        if afresh or known > found.stat().st_size:
            await connection.execute("DELETE FROM archive_run WHERE file = $1", name)
            known = 0
        rows, end = await asyncio.to_thread(_rows, name, StreamKind.from_label(kind), found, known)
        await connection.copy_records_to_table("archive_run", records=rows, columns=_COLUMNS)
        await connection.execute("UPDATE archive_file SET indexed_bytes = $2 WHERE file = $1", name, end)
    return len(rows)


def _rows(name: str, kind: StreamKind, path: Path, start: int) -> tuple[list[tuple[object, ...]], int]:
    rows: list[tuple[object, ...]] = []
    end = start
    with map_file(path) as data:
        for block_end, runs in runs_of(data, start):
            end = block_end
            rows += [
                (
                    name,
                    run.first.start,
                    run.last.end - run.first.start,
                    UUID(bytes=run.first.id.agent_id),
                    run.first.id.epoch_id,
                    run.first.id.sequence,
                    run.last.id.sequence,
                    kind.label,
                    timestamp(run.first_capture_ms),
                    timestamp(run.last_capture_ms),
                )
                for run in runs
            ]
    return rows, end


async def reindex(connection: Connection, layout: Layout) -> tuple[int, int]:
    """Make the whole index again from the files; how many files and runs it has."""
    paths = list(layout.all_files())
    await connection.execute("DELETE FROM archive_file WHERE NOT file = ANY($1)", [layout.name(path) for path in paths])
    runs = [await index_file(connection, layout, path, afresh=True) for path in paths]
    return len(paths), sum(runs)


class Indexer:
    """Keeps the index up with a growing archive, in a task of its own, behind the writer."""

    def __init__(self, dsn: str, root: Path) -> None:
        self._dsn, self._layout = dsn, Layout(root)
        self._grown = asyncio.Event()
        self._complete: set[str] = set()
        self._growing: set[str] = set()
        self._doubted: set[str] = set()
        self._in_doubt = False
        self._connection: Connection | None = None

    def notify(self) -> None:
        """The archive grew."""
        self._grown.set()

    def doubt(self) -> None:
        """Files that grow may have been cut behind what was indexed of them: they are indexed anew."""
        self._in_doubt = True

    async def run(self) -> None:
        """Index until cancelled; a database that is away is waited for."""
        try:
            await self._follow()
        finally:
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None

    async def _follow(self) -> None:
        away = False
        fresh = True
        while True:
            try:
                await self._catch_up(fresh=fresh)
                fresh = False
            except UnavailableError as error:
                if not away:
                    log.warning("index_waits", reason=str(error))
                away, self._connection = True, None
                self._complete.clear()  # what answers next may be a standby that was promoted, and know less
                await asyncio.sleep(_RETRY_S)
                continue
            if away:
                log.info("index_is_back")
            away = False
            await asyncio.sleep(_PAUSE_S)
            await self._grown.wait()

    async def _catch_up(self, *, fresh: bool) -> None:
        self._grown.clear()
        with store_errors():
            if self._connection is None:
                self._connection = await connect(self._dsn)
                await migrate(self._connection)
            if self._in_doubt:
                self._in_doubt = False
                self._doubted |= self._growing
            for path in await asyncio.to_thread(lambda: list(self._layout.all_files())):
                grows = path.suffix == OPEN_SUFFIX
                if path.name in self._complete:
                    continue
                name = self._layout.name(path)
                self._growing.add(name)
                # At the start, what grows is indexed anew: a crash may have cut off what the index knew of it.
                afresh = (fresh and grows) or name in self._doubted
                await index_file(self._connection, self._layout, path, afresh=afresh)
                self._doubted.discard(name)
                if not grows:
                    self._complete.add(path.name)
                    self._growing.discard(name)
