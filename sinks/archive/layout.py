"""Where things lie in an archive directory, and the few ways in which its files are made durable.

Never removes or renames anything but what it was told to.

    envelopes/<stream>/<day>/<stream>-<day>-<number>.avro         a sealed archive file, never changed again
    envelopes/<stream>/<day>/<stream>-<day>-<number>.avro.open    the one that grows
    envelopes/<stream>/<day>/<stream>-<day>-<number>.avro.marks   which sequences a sealed file has
    envelopes/<stream>/<day>/….avro.open.<offset>.damaged         bytes that were set aside from there on, for a person
    keys/<day>/<agent>.avro                                       epoch headers, with the wrapped DEKs (R6.3)
    keys/<day>/<agent>.erased                                     epochs whose headers were destroyed
    lock                                                          held by the process that writes

A day is that of an epoch's creation, UTC: all of an epoch lies in one place.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from infra.files import sync_directory
from schemas.identity import agent_text
from schemas.kinds import StreamKind
from schemas.topics import DAY_MS

OPEN_SUFFIX = ".open"
MARKS_SUFFIX = ".marks"


def day_of(time_ms: int) -> str:
    """The UTC day of a time, such as ``2026-11-23``; from 1970 to the year 9999."""
    return _day(time_ms // DAY_MS)


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


class Layout:
    """The paths of one archive."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def lock(self) -> Path:
        """Held by the one process that writes."""
        return self.root / "lock"

    @property
    def keys(self) -> Path:
        """The epoch headers of all agents."""
        return self.root / "keys"

    def key_file(self, agent_id: bytes, day: str) -> Path:
        """The epoch headers of one agent and day."""
        return self.keys / day / f"{agent_text(agent_id)}.avro"

    def shelf(self, kind: StreamKind, day: str) -> Path:
        """The directory of one stream and day."""
        return self.root / "envelopes" / kind.label / day

    def new_file(self, kind: StreamKind, day: str) -> Path:
        """The next archive file of a shelf, without the suffix that says it is open."""
        numbers = [int(path.name.split(".")[0].rsplit("-", 1)[1]) for path in self.files(kind, day)]
        return self.shelf(kind, day) / f"{kind.label}-{day}-{max(numbers, default=0) + 1:06d}.avro"

    def files(self, kind: StreamKind, day: str) -> list[Path]:
        """The archive files of a shelf, oldest first, sealed and open."""
        found = self.shelf(kind, day).glob(f"{kind.label}-*.avro*")
        return sorted(path for path in found if path.suffix in {".avro", OPEN_SUFFIX})

    def days(self, kind: StreamKind) -> list[str]:
        """The days of which there is something, ascending."""
        root = self.root / "envelopes" / kind.label
        return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []

    def all_files(self) -> Iterator[Path]:
        """Every archive file."""
        for kind in StreamKind:
            for day in self.days(kind):
                yield from self.files(kind, day)

    def name(self, path: Path) -> str:
        """A file's name for the index: relative, and the same while it is open and when it is sealed."""
        return str(path.relative_to(self.root)).removesuffix(OPEN_SUFFIX)

    def find(self, name: str) -> Path | None:
        """The file of that name, sealed or open."""
        for path in (self.root / name, self.root / (name + OPEN_SUFFIX)):
            if path.exists():
                return path
        return None


def make_directory(path: Path) -> None:
    """Make `path` and what is missing above it, durably."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


@contextmanager
def hold_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of that file among processes; raises `BlockingIOError` when somebody has it and `wait` is off."""
    make_directory(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(fd)
