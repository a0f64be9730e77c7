"""Where messages lie: Maildirs with their folders, directories of .eml files, and single files.

Never changes a mailbox, and reads a directory again only when it changed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLED_NS = 2_000_000_000
"""A directory that changed less than this before it was read may change again without its time telling."""

MAX_DEPTH = 6


class Deposit(NamedTuple):
    """A message's file; `key` stays the same when a mail program moves it from `new` to `cur` or flags it."""

    path: Path
    folder: str
    key: str


class Mailbox:
    """One path that messages come to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read_at: dict[str, tuple[int, int]] = {}

    @property
    def exists(self) -> bool:
        """Whether there is anything at the path."""
        return self._root.exists()

    def changed(self) -> Iterator[Deposit]:
        """Messages in what changed since it was read before; all of them the first time."""
        if self._root.is_file():
            yield Deposit(self._root, str(self._root), str(self._root))
            return
        for directory in self._directories(self._root, MAX_DEPTH):
            if self._is_changed(directory):
                yield from self._deposits(directory)

    def _directories(self, directory: Path, depth: int) -> Iterator[Path]:
        """Those that hold messages: `new` and `cur` of each folder (`tmp` holds unfinished ones), or .eml files."""
        try:
            below = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False))
        except OSError:
            return
        if is_maildir(below):
            yield directory / "new"
            yield directory / "cur"
            below = [name for name in below if name not in ("new", "cur", "tmp")]
        else:
            yield directory
        if depth:
            for name in below:
                yield from self._directories(directory / name, depth - 1)

    def _is_changed(self, directory: Path) -> bool:
        now_ns = time.time_ns()
        try:
            changed_ns = directory.stat().st_mtime_ns
        except OSError:
            return False
        read_ns, seen_ns = self._read_at.get(str(directory), (0, -1))
        if changed_ns == seen_ns and read_ns - changed_ns > SETTLED_NS:
            return False
        self._read_at[str(directory)] = (now_ns, changed_ns)
        return True

    def _deposits(self, directory: Path) -> Iterator[Deposit]:
        in_maildir = directory.name in ("new", "cur")
        folder = directory.parent if in_maildir else directory
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith(".") or not (in_maildir or entry.name.lower().endswith(".eml")):
                continue
            base = entry.name.split(":2,")[0] if in_maildir else entry.name
            yield Deposit(Path(entry.path), str(folder), f"{folder}/{base}")


def is_maildir(names: list[str]) -> bool:
    """Whether a directory with these subdirectories is a Maildir or one of its folders."""
    return "cur" in names and "new" in names
