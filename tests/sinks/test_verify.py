"""What `archive verify` tells, and what the index is made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sinks.archive.headers import HeaderStore
from sinks.archive.index import runs_of
from sinks.archive.layout import Layout, day_of
from sinks.archive.scan import map_file
from sinks.archive.sink import ArchiveSink
from sinks.archive.verify import Report, verify
from sinks.sink import SinkRecord
from tests.sinks.envelopes import NOON_MS, agent, as_records, begin, seal

DAY = day_of(NOON_MS)


def check(root: Path) -> Report:
    *_, (_, report) = verify(root)
    return report


async def store(root: Path, *batches: list[SinkRecord], file_bytes: int = 1) -> None:
    sink = ArchiveSink(root, file_bytes=file_bytes)
    await sink.open()
    for batch in batches:
        await sink.write(batch)
        await sink.flush()
    await sink.close()


async def test_sound_archive(tmp_path: Path) -> None:
    """Nothing is wrong with what was just written, sealed or growing."""
    epoch = begin()
    await store(tmp_path, as_records(seal(epoch, 3)))
    await store(tmp_path, as_records(seal(epoch, 2)), file_bytes=1 << 20)
    report = check(tmp_path)
    assert report.sound
    assert (report.files, report.records, report.gaps, report.torn_bytes) == (2, 5, [], 0)


async def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """Whichever byte of a sealed file is changed, in its header, a length, a field or a sealed record."""
    await store(tmp_path, as_records(seal(begin(), 2, size=30)))
    [path] = Layout(tmp_path).all_files()
    whole = path.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        assert not check(tmp_path).sound, at


async def test_missing_header_is_damage_and_an_erased_one_is_not(tmp_path: Path) -> None:
    """A file of headers that vanished is told; one that was erased on purpose is counted."""
    await store(tmp_path, as_records([*seal(begin(1), 2), *seal(begin(2), 1)]))
    HeaderStore(Layout(tmp_path)).erase(agent(1), DAY, NOON_MS)
    report = check(tmp_path)
    assert report.sound
    assert report.erased == 2
    Layout(tmp_path).key_file(agent(2), DAY).unlink()
    assert not check(tmp_path).sound


async def test_gap_is_told_and_is_no_damage(tmp_path: Path) -> None:
    """Sequences that never came are named by agent, epoch and range."""
    records = as_records(seal(begin(), 6))
    await store(tmp_path, [records[1], records[2], records[5]])
    report = check(tmp_path)
    assert report.sound
    assert [gap.rsplit(": ")[-1] for gap in report.gaps] == ["0 to 0", "3 to 4"]


async def test_record_that_does_not_follow_the_one_before_is_damage(tmp_path: Path) -> None:
    """A record of a fork, which no checksum of ours could tell, breaks the chain."""
    epoch = begin()
    first, second = seal(epoch, 2)
    at = len(epoch.header)
    forged = bytearray(second)
    forged[at + 24] ^= 1  # the hash of the record before
    await store(tmp_path, as_records([first, bytes(forged)]))
    assert "does not follow" in check(tmp_path).damage[0]


async def test_torn_tail_of_a_growing_file_is_no_damage(tmp_path: Path) -> None:
    """What is being written is not whole yet."""
    await store(tmp_path, as_records(seal(begin(), 2)), file_bytes=1 << 20)
    [path] = Layout(tmp_path).all_files()
    os.truncate(path, path.stat().st_size - 5)
    report = check(tmp_path)
    assert report.sound
    assert report.torn_bytes > 0


async def test_index_has_a_run_for_consecutive_records(tmp_path: Path) -> None:
    """Agents' records stand together in a block, so that a block is few rows; holes begin another run."""
    one, two = as_records(seal(begin(1), 5)), as_records(seal(begin(2), 3))
    mixed = [one[0], two[0], one[1], two[1], one[3], two[2], one[4]]
    await store(tmp_path, mixed)
    [path] = Layout(tmp_path).all_files()
    with map_file(path) as data:
        [(end, runs)] = list(runs_of(data))
        assert end == len(data)
        found = [(run.first.id.agent_id, run.first.id.sequence, run.last.id.sequence) for run in runs]
    assert found == [(agent(1), 0, 1), (agent(1), 3, 4), (agent(2), 0, 2)]


@pytest.mark.parametrize("suffix", [".marks", ".erased"])
async def test_other_files_are_not_taken_for_archive_files(tmp_path: Path, suffix: str) -> None:
    """Marks and tombstones stand beside, and are no archive files."""
    await store(tmp_path, as_records(seal(begin(), 1)))
    assert all(not path.name.endswith(suffix) for path in Layout(tmp_path).all_files())
