"""Finding single segments in the archive by where the index says they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.envelope import peek
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from sinks.archive.finding import Stretch, read_segments
from sinks.archive.headers import HeaderStore
from sinks.archive.index import runs_of
from sinks.archive.layout import Layout, day_of
from sinks.archive.scan import map_file
from tests.sinks.envelopes import NOON_MS, agent, as_records, begin, seal
from tests.sinks.test_archive import store


def stretches(layout: Layout) -> list[Stretch]:
    """What the index holds of an archive."""
    found = []
    for path in layout.all_files():
        with map_file(path) as data:
            for _, runs in runs_of(data):
                found += [Stretch(layout.name(path), one.first.start, one.last.end - one.first.start) for one in runs]
    return found


def ids(envelopes: list[bytes]) -> list[EnvelopeId]:
    return [peek(one).id for one in envelopes]


async def test_single_envelopes_are_taken_out_of_many(tmp_path: Path) -> None:
    """Those asked for, byte for byte, whichever agent and epoch they are of, and no others."""
    first, second = seal(begin(1), 20), seal(begin(2), 20)
    await store(tmp_path, as_records([*first, *second]))
    layout = Layout(tmp_path)
    wanted = [first[3], first[19], second[0]]
    found = read_segments(layout, stretches(layout), ids(wanted))
    assert found == {one: [envelope] for one, envelope in zip(ids(wanted), wanted, strict=True)}


async def test_a_segment_of_several_parts_is_whole(tmp_path: Path) -> None:
    """Asked for by its first part, also where its parts were written in several batches."""
    epoch = begin()
    before = seal(epoch, 2)
    parts = [epoch.seal(b"part", capture_ms=NOON_MS, more_parts=more) for more in (True, True, False)]
    after = seal(epoch, 1)
    await store(tmp_path, as_records([*before, *parts[:1]]), as_records([*parts[1:], *after], offset=3))
    layout = Layout(tmp_path)
    assert read_segments(layout, stretches(layout), ids(parts[:1])) == {peek(parts[0]).id: parts}


async def test_a_segment_that_is_not_whole_is_left_out(tmp_path: Path) -> None:
    """A part that never came, a segment that is not there, and one whose day was erased."""
    epoch = begin()
    cut = [epoch.seal(b"part", capture_ms=NOON_MS, more_parts=True) for _ in range(2)]
    gone = seal(begin(2), 1)
    await store(tmp_path, as_records([*cut, *gone]))
    layout = Layout(tmp_path)
    HeaderStore(layout).erase(agent(2), day_of(NOON_MS), NOON_MS)
    nowhere = EnvelopeId(agent(3), bytes(32), 0)
    assert read_segments(layout, stretches(layout), [*ids(cut[:1]), *ids(gone), nowhere]) == {}


async def test_an_index_that_knows_more_than_the_file_is_told(tmp_path: Path) -> None:
    """A file that is shorter than its index says is damage, not silence."""
    envelopes = seal(begin(), 3)
    await store(tmp_path, as_records(envelopes))
    layout = Layout(tmp_path)
    [one] = stretches(layout)
    with pytest.raises(MalformedError, match="reindex"):
        read_segments(layout, [one._replace(length=one.length + 1_000_000)], ids(envelopes))
