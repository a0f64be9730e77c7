"""The contract of `sinks.sink.Sink`, as tests that every sink passes.

A subclass gives a fixture `store`: a `Store` of this sink.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sinks.sink import Sink, SinkRecord


@dataclass
class Store:
    """A sink under test: how to make one more of it, some good records, one bad, and what the store then has."""

    make: Callable[[], Sink]
    good: list[SinkRecord]
    bad: SinkRecord
    read: Callable[[], Awaitable[list[object]]]
    """Everything stored, in any order; two reads of the same content are equal."""


async def put(sink: Sink, batch: list[SinkRecord]) -> list[str]:
    rejects = await sink.write(batch)
    await sink.flush()
    return [reject.reason for reject in rejects]


class SinkContract:
    """Collected by subclasses named `Test…`."""

    async def test_what_is_flushed_is_there(self, store: Store) -> None:
        """After write and flush every record is in the store, also for a reader that comes after a restart."""
        sink = store.make()
        await sink.open()
        assert await put(sink, store.good) == []
        await sink.close()
        assert len(await store.read()) == len(store.good)

    async def test_writing_again_changes_nothing(self, store: Store) -> None:
        """The same records in the same batch, in another batch, or after a restart are stored once."""
        sink = store.make()
        await sink.open()
        await put(sink, store.good[:2] * 2)
        once = await store.read()
        await put(sink, store.good[:2])
        await sink.close()
        sink = store.make()
        await sink.open()
        await put(sink, store.good[:1])
        assert sorted(map(repr, await store.read())) == sorted(map(repr, once))
        await put(sink, store.good)
        await sink.close()
        assert len(await store.read()) == len(store.good)

    async def test_bad_record_rejects_itself_alone(self, store: Store) -> None:
        """Records before and after a bad one are stored."""
        sink = store.make()
        await sink.open()
        reasons = await put(sink, [*store.good[:1], store.bad, *store.good[1:]])
        await sink.close()
        assert len(reasons) == 1
        assert reasons[0]
        assert len(await store.read()) == len(store.good)

    async def test_nothing_to_write(self, store: Store) -> None:
        """An empty batch, or one of bad records alone, is no error."""
        sink = store.make()
        await sink.open()
        assert await put(sink, []) == []
        assert len(await put(sink, [store.bad])) == 1
        await sink.close()
        assert await store.read() == []

    async def test_close_twice(self, store: Store) -> None:
        """Closing what is closed is no error, and neither is closing what was never opened."""
        sink = store.make()
        await sink.close()
        await sink.open()
        await sink.close()
        await sink.close()
