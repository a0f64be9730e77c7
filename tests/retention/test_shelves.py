# ruff: noqa: ASYNC240  # tests look at a real disk
"""The archive's old days on a real disk: what goes, what stays, and that it does not come back."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from infra.settings import RetentionSettings
from schemas.kinds import StreamKind
from sinks.archive import headers
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout, day_of
from sinks.archive.reading import read_envelopes
from sinks.archive.sink import ArchiveSink
from sinks.archive.verify import verify
from sinks.retention.periods import Hold, Kept, Periods
from sinks.retention.shelves import erase_headers, erase_key_day, look_at_shelf, old_key_days, old_shelves, remove_shelf
from sinks.sink import SinkRecord
from tests.sinks.contract import put
from tests.sinks.envelopes import DAY_MS, NOON_MS, agent, as_records, begin, seal

DAY = day_of(NOON_MS)
DATE = date.fromisoformat(DAY)
MIDNIGHT_MS = NOON_MS - DAY_MS // 2
NOBODY = Kept()


def recorded(number: int, kind: StreamKind, created_ms: int = NOON_MS, count: int = 2) -> list[SinkRecord]:
    return as_records(seal(begin(number, kind, created_ms), count))


async def archive(root: Path, *batches: list[SinkRecord]) -> ArchiveSink:
    sink = ArchiveSink(root)
    await sink.open()
    for batch in batches:
        await put(sink, batch)
    await sink.close()
    return sink


def streams(root: Path) -> list[tuple[str, str]]:
    return sorted({(envelope.id.agent[-1], envelope.kind.label) for envelope in read_envelopes(root)})


def periods(days_later: int, **settings: object) -> Periods:
    now = datetime.fromisoformat(DAY).replace(tzinfo=UTC) + timedelta(days=days_later)
    return Periods.of(RetentionSettings.model_validate(settings), now)


def sweep(root: Path, found: Periods, kept: Kept = NOBODY) -> None:
    """What a run does to the archive."""
    layout = Layout(root)
    for kind, day in list(old_shelves(layout, found)):
        if not erase_headers(layout, kind, day, kept, NOON_MS).held:
            remove_shelf(layout, kind, day, owned=True)
    for day in list(old_key_days(layout, found)):
        erase_key_day(layout, day, kept, NOON_MS)


async def test_a_day_stays_until_its_days_have_passed(tmp_path: Path) -> None:
    """What was recorded a millisecond before midnight goes a day before what was recorded at midnight."""
    await archive(
        tmp_path,
        recorded(1, StreamKind.SCREEN, MIDNIGHT_MS - 1),
        recorded(2, StreamKind.SCREEN, MIDNIGHT_MS),
        recorded(3, StreamKind.SCREEN, MIDNIGHT_MS + DAY_MS - 1),
    )
    sweep(tmp_path, periods(2, days=2))
    assert streams(tmp_path) == [("2", "screen"), ("3", "screen")]
    sweep(tmp_path, periods(3, days=2))
    assert streams(tmp_path) == []
    assert list(Layout(tmp_path).all_files()) == []
    assert list(tmp_path.rglob("*.avro")) == []


async def test_a_stream_goes_alone(tmp_path: Path) -> None:
    """The same agent's other streams of the day are opened as before; their keys stand in the same file."""
    await archive(tmp_path, recorded(1, StreamKind.SCREEN), recorded(1, StreamKind.EMAIL))
    sweep(tmp_path, periods(10, days=30, streams={"screen": 7}))
    assert streams(tmp_path) == [("1", "email")]
    [*_, (_, report)] = verify(tmp_path)
    assert report.sound
    assert report.erased == 0
    assert len(HeaderStore(Layout(tmp_path)).day(agent(1), DAY).headers) == 1


async def test_the_bytes_of_a_key_that_went_are_not_in_the_file(tmp_path: Path) -> None:
    """Where a file goes on without it."""
    screen, email = begin(1, StreamKind.SCREEN), begin(1, StreamKind.EMAIL)
    await archive(tmp_path, as_records(seal(screen, 1)), as_records(seal(email, 1)))
    place = Layout(tmp_path).key_file(agent(1), DAY)
    before = tmp_path / "another-name"
    before.hardlink_to(place)
    sweep(tmp_path, periods(10, streams={"screen": 7}))
    assert screen.header[-300:] not in place.read_bytes()
    assert email.header[-300:] in place.read_bytes()
    assert set(before.read_bytes()) == {0}


async def test_who_is_on_hold_is_kept_and_nobody_else(tmp_path: Path) -> None:
    """A file with a held record stays; of the others in it nothing can be opened any more."""
    await archive(tmp_path, recorded(1, StreamKind.SCREEN), recorded(2, StreamKind.SCREEN))
    kept = Kept((Hold(frozenset({agent(2)}), DATE, DATE),))
    seen = look_at_shelf(Layout(tmp_path), StreamKind.SCREEN, DAY, kept)
    assert (seen.epochs, seen.files, seen.held) == (1, 0, frozenset({agent(2)}))
    sweep(tmp_path, periods(10, days=1), kept)
    assert streams(tmp_path) == [("2", "screen")]
    assert verify_erased(tmp_path) == 2
    sweep(tmp_path, periods(10, days=1))
    assert list(Layout(tmp_path).all_files()) == []


def verify_erased(root: Path) -> int:
    [*_, (_, report)] = verify(root)
    assert report.sound
    return report.erased


async def test_what_comes_again_does_not_come_back(tmp_path: Path) -> None:
    """Kafka still has it, and a sink reads it again: a new one, and one that remembers it."""
    records = recorded(1, StreamKind.SCREEN)
    sink = ArchiveSink(tmp_path)
    await sink.open()
    await put(sink, records)
    layout = Layout(tmp_path)
    await sink.apart(StreamKind.SCREEN, DAY, lambda: erase_headers(layout, StreamKind.SCREEN, DAY, NOBODY, NOON_MS))
    await sink.apart(StreamKind.SCREEN, DAY, lambda: remove_shelf(layout, StreamKind.SCREEN, DAY, owned=True))
    await put(sink, records)
    await sink.close()
    await archive(tmp_path, records)
    assert list(layout.all_files()) == []


async def test_a_sink_that_writes_loses_nothing_by_it(tmp_path: Path) -> None:
    """What was handed over and is not yet on the disk stays, whatever goes beside it."""
    old, new = recorded(1, StreamKind.SCREEN, NOON_MS - DAY_MS), recorded(2, StreamKind.SCREEN)
    sink, layout, day = ArchiveSink(tmp_path), Layout(tmp_path), day_of(NOON_MS - DAY_MS)
    await sink.open()
    await put(sink, old)
    await sink.write([*new, *recorded(3, StreamKind.SCREEN, NOON_MS - DAY_MS)])
    await sink.apart(StreamKind.SCREEN, day, lambda: None)
    await sink.flush()
    await sink.close()
    assert streams(tmp_path) == [("1", "screen"), ("2", "screen"), ("3", "screen")]
    assert remove_shelf(layout, StreamKind.SCREEN, day, owned=False).files > 0, "it was sealed"


async def test_a_file_that_another_process_writes_stays(tmp_path: Path) -> None:
    """Its keys go; the file goes when it is sealed."""
    sink, layout = ArchiveSink(tmp_path), Layout(tmp_path)
    await sink.open()
    await put(sink, recorded(1, StreamKind.SCREEN))
    assert erase_headers(layout, StreamKind.SCREEN, DAY, NOBODY, NOON_MS).epochs == 1
    assert remove_shelf(layout, StreamKind.SCREEN, DAY, owned=False).files == 0
    await sink.apart(StreamKind.SCREEN, DAY, lambda: None)
    await sink.close()
    assert remove_shelf(layout, StreamKind.SCREEN, DAY, owned=False).files == 1
    assert list(read_envelopes(tmp_path)) == []


@pytest.mark.parametrize("step", ["write_whole", "_stored", "_replace", "_remove"])
async def test_a_run_that_dies_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Killed at any step of the keys: nothing that stays is harmed, and the next run ends it."""
    await archive(
        tmp_path, recorded(1, StreamKind.SCREEN), recorded(1, StreamKind.EMAIL), recorded(2, StreamKind.SCREEN)
    )

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(headers, step, die)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path, periods(10, streams={"screen": 7}))
    assert ("1", "email") in streams(tmp_path)
    sweep(tmp_path, periods(10, streams={"screen": 7}))
    assert streams(tmp_path) == [("1", "email")]
    assert Layout(tmp_path).days(StreamKind.SCREEN) == []
    assert not Layout(tmp_path).key_file(agent(2), DAY).exists()


async def test_files_that_half_went_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed among the files: keys are gone before the first file is."""
    sink = ArchiveSink(tmp_path, file_bytes=1)
    await sink.open()
    for number in range(1, 4):
        await put(sink, recorded(number, StreamKind.SCREEN))
    await sink.close()
    layout = Layout(tmp_path)
    assert len(layout.files(StreamKind.SCREEN, DAY)) == 3

    def die(place: Path) -> None:
        min(place.glob("*.avro")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path, periods(10, days=7))
    assert list(read_envelopes(tmp_path)) == []
    sweep(tmp_path, periods(10, days=7))
    assert list(layout.all_files()) == []
