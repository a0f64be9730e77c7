"""Every sink that needs no other process keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.archive.reading import read_envelopes
from sinks.archive.sink import ArchiveSink
from sinks.memory import MemorySink
from sinks.sink import SinkRecord
from tests.sinks.contract import SinkContract, Store
from tests.sinks.envelopes import as_records, begin, seal


class TestMemory(SinkContract):
    @pytest.fixture
    def store(self) -> Store:
        stored: dict[tuple[str, int, int], SinkRecord] = {}

        def make() -> MemorySink:
            sink = MemorySink()
            sink.stored = stored
            return sink

        async def read() -> list[object]:
            return list(stored.values())

        good = [SinkRecord("documents", 0, n, 0, None, b"%d" % n) for n in range(4)]
        return Store(make, good, SinkRecord("documents", 0, 9, 0, None, b"refuse"), read)


class TestArchive(SinkContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        async def read() -> list[object]:
            return list(read_envelopes(tmp_path))

        good = as_records([*seal(begin(1), 3), *seal(begin(2), 2)])
        return Store(lambda: ArchiveSink(tmp_path), good, good[0]._replace(value=b"not an envelope"), read)
