# ruff: noqa: ASYNC240  # tests look at a real disk
"""The archive on a real disk: exactly once whatever happens, byte for byte, torn tails, erasure."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedError, UnavailableError
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import rewrap
from sinks.archive import sink as archive_sink
from sinks.archive import writer
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout, day_of
from sinks.archive.marks import Marks
from sinks.archive.reading import ArchivedEnvelope, read_envelopes
from sinks.archive.sink import ArchiveSink
from sinks.sink import SinkRecord
from tests.sinks.envelopes import DAY_MS, NOON_MS, agent, as_records, begin, identity, seal

DAY = day_of(NOON_MS)


async def store(root: Path, *batches: list[SinkRecord], **options: int) -> ArchiveSink:
    sink = ArchiveSink(root, **options)  # type: ignore[arg-type]
    await sink.open()
    for batch in batches:
        assert await sink.write(batch) == []
        await sink.flush()
    await sink.close()
    return sink


def values(root: Path) -> list[bytes]:
    return [envelope.value for envelope in read_envelopes(root)]


async def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """Value, key, headers, timestamp, partition and offset are the same to the byte."""
    records = as_records(seal(begin(), 3), offset=7, partition=4)
    await store(tmp_path, records)
    back = [
        (e.topic, e.partition, e.offset, e.timestamp_ms, e.key, e.value, e.headers) for e in read_envelopes(tmp_path)
    ]
    assert back == [tuple(record) for record in records]


async def test_files_of_records_have_no_wrapped_key(tmp_path: Path) -> None:
    """The wrapped DEK is in the agent's file of that day, and nowhere else (R6.3)."""
    epoch = begin()
    await store(tmp_path, as_records(seal(epoch, 3)))
    wrapped = epoch.header[-300:]
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and wrapped in path.read_bytes()]
    assert holders == [Layout(tmp_path).key_file(agent(), DAY)]


async def test_any_avro_reader_reads_the_files(tmp_path: Path) -> None:
    """Both kinds of file are Avro object-container files."""
    records = as_records(seal(begin(), 3))
    await store(tmp_path, records)
    [path] = Layout(tmp_path).all_files()
    with path.open("rb") as file:
        rows = list(fastavro.reader(file))
    with Layout(tmp_path).key_file(agent(), DAY).open("rb") as file:
        [header] = list(fastavro.reader(file))
    assert [header["header"] + row["record"] for row in rows] == [record.value for record in records]
    assert rows[0]["headers"][1] == {"name": "user", "value": "ann é".encode()}


async def test_tail_torn_anywhere_is_repaired(tmp_path: Path) -> None:
    """Whatever prefix of the last batch reached the disk: what was flushed stays, and writing again completes it."""
    epoch = begin()
    first, second = as_records(seal(epoch, 2)), as_records(seal(epoch, 2), offset=2)
    root = tmp_path / "archive"
    await store(root, first)
    [path] = Layout(root).all_files()
    durable = path.read_bytes()
    await store(root, second)
    whole = path.read_bytes()
    for length in range(len(durable), len(whole) + 1, 1):
        path.write_bytes(whole[:length])
        await store(root, second)
        assert values(root) == [record.value for record in first + second], length


async def test_damage_costs_no_more_than_the_block_it_is_in(tmp_path: Path) -> None:
    """A bit that flips in a file that grows does not cut off what stands behind it; the damaged bytes are kept."""
    epoch = begin()
    batches = [as_records(seal(epoch, 2), offset=2 * number) for number in range(5)]
    root = tmp_path / "archive"
    await store(root, *batches)
    [path] = Layout(root).all_files()
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[whole.index(batches[2][0].value[-40:])] ^= 1
    path.write_bytes(damaged)
    await store(root)
    assert values(root) == [r.value for batch in (*batches[:2], *batches[3:]) for r in batch]
    [aside] = path.parent.glob("*.damaged")
    assert aside.read_bytes() == bytes(damaged)[-len(aside.read_bytes()) :]
    await store(root, *batches)
    assert sorted(values(root)) == sorted(r.value for batch in batches for r in batch)


async def test_file_torn_within_its_header_begins_again(tmp_path: Path) -> None:
    """A file that was killed at its creation is no obstacle."""
    records = as_records(seal(begin(), 1))
    await store(tmp_path, records)
    [path] = Layout(tmp_path).all_files()
    whole = path.read_bytes()
    for length in (0, 1, 100, 400):
        path.write_bytes(whole[:length])
        await store(tmp_path, records)
        assert values(tmp_path) == [records[0].value]


async def test_header_file_torn_anywhere_is_repaired(tmp_path: Path) -> None:
    """Half a header is cut off, and what was sealed under it is stored when it comes again."""
    first, second = as_records(seal(begin(), 1)), as_records(seal(begin(), 1), offset=1)
    await store(tmp_path, first)
    path = Layout(tmp_path).key_file(agent(), DAY)
    durable = len(path.read_bytes())
    [records] = Layout(tmp_path).all_files()
    before = records.read_bytes()
    await store(tmp_path, second)
    whole = path.read_bytes()
    for length in range(durable, len(whole), 37):
        path.write_bytes(whole[:length])
        records.write_bytes(before)  # records are written after their headers
        await store(tmp_path, second)
        assert values(tmp_path) == [first[0].value, second[0].value]


async def test_full_file_is_sealed_and_known_after_a_restart(tmp_path: Path) -> None:
    """Files of the given size are sealed; what they hold is not written again, with or without their marks."""
    batches = [as_records([envelope]) for envelope in seal(begin(), 6, size=1000)]
    await store(tmp_path, *batches, file_bytes=2500)
    files = list(Layout(tmp_path).all_files())
    assert [path.suffix for path in files] == [".avro"] * len(files)
    assert len(files) > 1
    for marks in tmp_path.rglob("*.marks"):
        marks.unlink()
    again = await store(tmp_path, *batches, file_bytes=2500)
    assert again.duplicates == 6
    assert len(values(tmp_path)) == 6


async def test_late_and_reordered_sequences_are_stored(tmp_path: Path) -> None:
    """A sequence that comes after a higher one is not taken for a duplicate."""
    records = as_records(seal(begin(), 5))
    await store(tmp_path, [records[4], records[1]], [records[3], records[1], records[0]], records)
    assert sorted(values(tmp_path)) == sorted(record.value for record in records)


async def test_epoch_stays_in_the_day_of_its_creation(tmp_path: Path) -> None:
    """An epoch that crosses midnight lies in one place; asking for the later day finds its records."""
    midnight = NOON_MS + DAY_MS // 2
    epoch = begin(created_ms=midnight - 60_000)
    envelopes = [epoch.seal(b"x", capture_ms=midnight + delta) for delta in (-1000, 1000)]
    await store(tmp_path, as_records(envelopes))
    assert [path.parent.name for path in Layout(tmp_path).all_files()] == [DAY]
    assert [e.value for e in read_envelopes(tmp_path, since_ms=midnight)] == envelopes[1:]
    assert [e.value for e in read_envelopes(tmp_path, until_ms=midnight)] == envelopes[:1]


async def test_reading_by_agent_and_kind(tmp_path: Path) -> None:
    """Only what was asked for comes back."""
    typed, seen = begin(1), begin(2, StreamKind.SCREEN)
    await store(tmp_path, as_records([*seal(typed, 2), *seal(seen, 3)]))

    def read(**what: object) -> list[ArchivedEnvelope]:
        return list(read_envelopes(tmp_path, **what))  # type: ignore[arg-type]

    assert len(read(kinds=[StreamKind.SCREEN])) == 3
    assert len(read(agents=[agent(1)])) == 2
    assert read(since_ms=NOON_MS + 2 * DAY_MS) == read(until_ms=NOON_MS - 2 * DAY_MS) == []


async def test_header_that_changes_within_an_epoch(tmp_path: Path) -> None:
    """Envelopes of one epoch with different recipients come back with the header that each had."""
    epoch = begin()
    first, second = seal(epoch, 2)
    header = rewrap(epoch.header, identity(), [identity().recipient, Identity.generate(2048).recipient])
    rewrapped = header + second[len(epoch.header) :]
    await store(tmp_path, as_records([first, rewrapped]))
    assert values(tmp_path) == [first, rewrapped]


async def test_erased_day_cannot_be_read_and_does_not_come_back(tmp_path: Path) -> None:
    """Erasing destroys one agent's headers of one day; other agents stay; resending brings nothing back."""
    gone, stays = as_records(seal(begin(1), 2)), as_records(seal(begin(2), 2))
    await store(tmp_path, gone + stays)
    assert HeaderStore(Layout(tmp_path)).erase(agent(1), DAY, NOON_MS) == 1
    assert values(tmp_path) == [record.value for record in stays]
    await store(tmp_path, gone)
    assert values(tmp_path) == [record.value for record in stays]
    assert not Layout(tmp_path).key_file(agent(1), DAY).exists()
    assert HeaderStore(Layout(tmp_path)).erase(agent(1), DAY, NOON_MS) == 0


async def test_erasing_beside_the_writer(tmp_path: Path) -> None:
    """A process that knew the header before it was erased does not write it again; later epochs are stored."""
    sink = ArchiveSink(tmp_path)
    await sink.open()
    old, later = begin(1), begin(1)
    await sink.write(as_records(seal(old, 1)))
    await sink.flush()
    HeaderStore(Layout(tmp_path)).erase(agent(1), DAY, NOON_MS)
    fresh = as_records(seal(later, 1))
    await sink.write([*as_records(seal(old, 1)), *fresh])
    await sink.flush()
    await sink.close()
    assert values(tmp_path) == [fresh[0].value]
    assert old.header not in Layout(tmp_path).key_file(agent(1), DAY).read_bytes()


async def test_erasure_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    """With the tombstone written and the headers still there nothing can be read, and erasing again removes them."""
    await store(tmp_path, as_records(seal(begin(1), 1)))
    path = Layout(tmp_path).key_file(agent(1), DAY)
    kept = path.read_bytes()
    HeaderStore(Layout(tmp_path)).erase(agent(1), DAY, NOON_MS)
    path.write_bytes(kept)
    assert values(tmp_path) == []
    HeaderStore(Layout(tmp_path)).erase(agent(1), DAY, NOON_MS)
    assert not path.exists()
    assert len(json.loads(path.with_suffix(".erased").read_text())["epochs"]) == 1


async def test_one_process_writes(tmp_path: Path) -> None:
    """A second sink waits until the first has closed."""
    first, second = ArchiveSink(tmp_path), ArchiveSink(tmp_path)
    await first.open()
    with pytest.raises(UnavailableError, match="another process"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_full_disk_is_waited_for_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that stops in the middle for want of space is `UnavailableError`; the next attempt stores it all once."""
    batch = as_records(seal(begin(), 4, size=5000))
    sink = ArchiveSink(tmp_path)
    await sink.open()
    await sink.write(batch[:1])
    await sink.flush()

    def half(fd: int, pieces: list[bytes]) -> int:
        os.write(fd, b"".join(pieces)[:7000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_pieces", half)
        with pytest.raises(UnavailableError, match="full"):
            await sink.write(batch)
    await sink.write(batch)
    await sink.flush()
    await sink.close()
    assert values(tmp_path) == [record.value for record in batch]


async def test_failed_flush_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After fsync failed, what it should have made durable is written again."""
    batch = as_records(seal(begin(), 2))
    sink = ArchiveSink(tmp_path)
    await sink.open()

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    await sink.write(batch)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(UnavailableError, match="cannot be written"):
            await sink.flush()
    assert values(tmp_path) == []
    await sink.write(batch)
    await sink.flush()
    await sink.close()
    assert values(tmp_path) == [record.value for record in batch]


async def test_idle_and_excess_shelves_are_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files do not stay open for days that nothing comes of any more."""
    now = [0.0]
    sink = ArchiveSink(tmp_path, clock=lambda: now[0])
    await sink.open()
    monkeypatch.setattr(archive_sink, "MAX_OPEN_SHELVES", 2)
    for day in range(4):
        await sink.write(as_records(seal(begin(created_ms=NOON_MS + day * DAY_MS), 1)))
        await sink.flush()
        now[0] += 1
    assert [path.suffix for path in Layout(tmp_path).all_files()] == [".avro", ".avro", ".open", ".open"]
    now[0] += 7200
    await sink.flush()
    assert [path.suffix for path in Layout(tmp_path).all_files()] == [".avro"] * 4
    await sink.close()


async def test_flipped_bit_is_told(tmp_path: Path) -> None:
    """Reading a sealed file that was changed raises; it never returns other bytes than were stored."""
    await store(tmp_path, as_records(seal(begin(), 1, size=5000)), file_bytes=100)
    [path] = Layout(tmp_path).all_files()
    data = bytearray(path.read_bytes())
    data[-1000] ^= 4
    path.write_bytes(data)
    with pytest.raises(MalformedError):
        values(tmp_path)


@given(st.lists(st.tuples(st.sampled_from([b"a" * 48, b"b" * 48]), st.integers(0, 30))))
def test_marks_are_sets_of_sequences(pairs: list[tuple[bytes, int]]) -> None:
    """Marks say of every sequence whether it was added, before and after being written to disk."""
    marks, model = Marks(), set()
    for key, sequence in pairs:
        assert marks.add(key, sequence) == ((key, sequence) not in model)
        model.add((key, sequence))
    again = Marks.decode(marks.encode())
    merged = Marks()
    merged.update(again)
    merged.update(marks)
    for known in (marks, again, merged):
        assert {(k, s) for k in known.keys() for s in range(40) if known.has(k, s)} == model  # noqa: SIM118
