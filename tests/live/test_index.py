"""The archive's index in PostgreSQL, beside a writer whose disk fails."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from infra.migrate import migrate
from schemas.errors import UnavailableError
from sinks.archive.index import Indexer
from sinks.archive.sink import ArchiveSink
from tests.live.test_stores import dsn  # noqa: F401 - a fixture
from tests.sinks.contract import put
from tests.sinks.envelopes import as_records, begin, seal

# ruff: noqa: ASYNC110, ASYNC240  # the test looks at a database and a file from outside

pytestmark = pytest.mark.live

PATIENCE_S = 120.0


async def until(connection: Any, query: str, holds: Callable[[Any], bool]) -> Any:
    """The value of the query, once it is as wanted."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(value := await connection.fetchval(query)):
            await asyncio.sleep(0.05)
    return value


async def test_index_follows_a_file_that_was_cut(
    dsn: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It saw blocks whose fsync failed then: they were cut off and written anew, and the index has all of them."""
    connection = await asyncpg.connect(dsn)
    await migrate(connection)
    indexer = Indexer(dsn, tmp_path)
    sink = ArchiveSink(tmp_path, follower=indexer)
    await sink.open()
    records = as_records(seal(begin(1), 40))
    assert await put(sink, records[:10]) == []
    bytes_query = "SELECT indexed_bytes FROM archive_file"
    seen = await until(connection, bytes_query, lambda value: value)

    indexed, loop = threading.Event(), asyncio.get_running_loop()

    def fail(_fd: int) -> None:
        loop.call_soon_threadsafe(indexer.notify)
        assert indexed.wait(PATIENCE_S)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        failing = asyncio.create_task(put(sink, records[10:30]))
        await until(connection, bytes_query, lambda value: value > seen)
        indexed.set()
        with pytest.raises(UnavailableError):
            await failing
    await sink.open()
    for first in range(10, 40, 3):  # blocks that end elsewhere
        assert await put(sink, records[first : first + 3]) == []
    sequences = "SELECT sum(last_sequence - first_sequence + 1) FROM archive_run"
    assert await until(connection, sequences, lambda value: value is not None and value >= 40) == 40
    size = next(tmp_path.rglob("*.avro.open")).stat().st_size
    assert await connection.fetchval(bytes_query) == size
    await sink.close()
    await connection.close()
