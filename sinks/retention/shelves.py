"""The archive's days that are too old: headers destroyed first, then the files, as `sealstream archive erase` does.

Never removes a file that somebody's held record lies in: of the others in it only the keys go, which makes them noise.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from infra.files import sync_directory
from schemas.identity import agent_bytes
from schemas.kinds import StreamKind
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import OPEN_SUFFIX, Layout
from sinks.archive.marks import Marks
from sinks.archive.scan import map_file, whole_length
from sinks.archive.shelf import load_marks
from sinks.retention.periods import Kept, Periods

_AGENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class ShelfNews:
    """What became of one stream's day, or would."""

    epochs: int = 0
    """Epochs that nobody can open any more."""
    files: int = 0
    size: int = 0
    """Bytes of the files, and of what stands beside them."""
    held: frozenset[bytes] = frozenset()
    """Agents whose records keep the files."""


def old_shelves(layout: Layout, periods: Periods) -> Iterator[tuple[StreamKind, str]]:
    """Streams and days of which there is something, and which are too old; the oldest of each stream first."""
    for kind in StreamKind:
        first = periods.first_kept.get(kind.label)
        if first is not None:
            yield from ((kind, day) for day in layout.days(kind) if date.fromisoformat(day) < first)


def old_key_days(layout: Layout, periods: Periods) -> Iterator[str]:
    """Days whose epochs are all too old, whatever stream they are of."""
    firsts = [periods.first_kept.get(kind.label) for kind in StreamKind]
    if not layout.keys.is_dir() or None in firsts:
        return
    first = min(first for first in firsts if first is not None)
    days = sorted(path.name for path in layout.keys.iterdir() if path.is_dir())
    yield from (day for day in days if date.fromisoformat(day) < first)


def look_at_shelf(layout: Layout, kind: StreamKind, day: str, kept: Kept) -> ShelfNews:
    """What would go of it; changes nothing that anybody could miss."""
    epochs = _epochs(layout, kind, day)
    going, held = _parted(epochs, day, kept)
    headers = HeaderStore(layout)
    count = sum(len(epochs[agent] & headers.day(agent, day).headers.keys()) for agent in going)
    return ShelfNews(count, held=held) if held else ShelfNews(count, *_size(layout, kind, day))


def erase_headers(layout: Layout, kind: StreamKind, day: str, kept: Kept, now_ms: int) -> ShelfNews:
    """Destroy the keys of everybody who is not held; killed anywhere, it goes on when it is called again."""
    epochs = _epochs(layout, kind, day)
    going, held = _parted(epochs, day, kept)
    headers = HeaderStore(layout)
    return ShelfNews(sum(headers.erase(agent, day, now_ms, epochs[agent]) for agent in going), held=held)


def remove_shelf(layout: Layout, kind: StreamKind, day: str, *, owned: bool) -> ShelfNews:
    """Remove the files, whose headers are destroyed; not while another process writes one (`owned`: we do)."""
    place = layout.shelf(kind, day)
    if not place.is_dir() or (not owned and any(path.suffix == OPEN_SUFFIX for path in place.iterdir())):
        return ShelfNews()
    files, size = _size(layout, kind, day)
    shutil.rmtree(place)
    sync_directory(place.parent)
    return ShelfNews(files=files, size=size)


def erase_key_day(layout: Layout, day: str, kept: Kept, now_ms: int) -> int:
    """Destroy what is left of headers of a day, such as those whose records never came; how many epochs."""
    headers, when = HeaderStore(layout), date.fromisoformat(day)
    agents = [agent_bytes(path.stem) for path in (layout.keys / day).glob("*.avro")]
    return sum(headers.erase(agent, day, now_ms) for agent in agents if not kept.keeps_epochs(agent, when))


def _epochs(layout: Layout, kind: StreamKind, day: str) -> dict[bytes, set[bytes]]:
    """The epochs of each agent that have records there."""
    found: dict[bytes, set[bytes]] = defaultdict(set)
    for path in layout.files(kind, day):
        if path.suffix == OPEN_SUFFIX:
            marks = Marks()
            with map_file(path) as data:
                whole_length(data, marks)
        else:
            marks = load_marks(path)
        for key in marks.keys():  # noqa: SIM118  # not a mapping
            found[key[:_AGENT_BYTES]].add(key[_AGENT_BYTES:])
    return found


def _parted(epochs: Mapping[bytes, set[bytes]], day: str, kept: Kept) -> tuple[list[bytes], frozenset[bytes]]:
    when = date.fromisoformat(day)
    held = frozenset(agent for agent in epochs if kept.keeps_epochs(agent, when))
    return sorted(epochs.keys() - held), held


def _size(layout: Layout, kind: StreamKind, day: str) -> tuple[int, int]:
    """Archive files, and the bytes of everything beside them too."""
    sizes = [path.stat().st_size for path in layout.shelf(kind, day).iterdir()]
    return len(layout.files(kind, day)), sum(sizes)
