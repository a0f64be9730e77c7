"""Copying the archive while it is written: sealed files as they are, growing ones up to their last whole record.

Never shares a file with the archive itself: what is erased there is overwritten in place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from infra.backup.copying import Measure, copy_file, make_private
from infra.backup.manifest import ARCHIVE, Entry, Manifest

_OPEN = ".open"
_MARKS = ".marks"


class Previous:
    """A backup taken before: sealed archive files that it has need not be copied again."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self._root, self._files = root, manifest.files

    def link(self, name: str, source: Path, target: Path) -> Entry | None:
        """Link to the previous backup's copy of a file that never changes; none where it has no such one."""
        entry = self._files.get(name)
        status = source.stat()
        if entry is None or (entry.size, entry.time_ns) != (status.st_size, status.st_mtime_ns):
            return None
        make_private(target.parent)
        try:
            os.link(self._root / name, target, follow_symlinks=False)
        except OSError:  # on another file system, or gone: it is copied
            return None
        return entry


def copy_archive(root: Path, into: Path, measure: Measure, previous: Previous | None) -> Iterator[tuple[str, Entry]]:
    """Copy the archive at `root`; yields each file's name in the backup, with its entry.

    Envelopes first, epoch headers after them: a header is durable before its first record is, so that every record
    copied has its header in the copy.
    """
    yield from _copy_envelopes(root, into, measure, previous)
    for path in _files(root / "keys"):
        if path.name == "lock" or path.name.endswith(".new"):
            continue
        try:
            yield _name(root, path), copy_file(path, into / _name(root, path))
        except FileNotFoundError:  # erased just now
            continue


def _copy_envelopes(root: Path, into: Path, measure: Measure, previous: Previous | None) -> Iterator[tuple[str, Entry]]:
    done: set[Path] = set()
    for _ in range(2):  # a file that is renamed while its directory is read may be missed the first time
        for path in list(_files(root / "envelopes")):
            file = path.with_name(path.name.removesuffix(_OPEN))
            if path.suffix == _MARKS or path.name.endswith(".new") or file in done:
                continue
            done.add(file)
            yield _copy_growing(root, into, path, measure) if path != file else _copy_sealed(root, into, file, previous)
    for file in sorted(done):  # of growing files they are made again
        marks = file.with_name(file.name + _MARKS)
        if (into / _name(root, file)).exists() and marks.exists():
            yield _name(root, marks), copy_file(marks, into / _name(root, marks))


def _copy_growing(root: Path, into: Path, path: Path, measure: Measure) -> tuple[str, Entry]:
    try:
        return _name(root, path), copy_file(path, into / _name(root, path), measure=measure)
    except FileNotFoundError:  # sealed since its name was read
        return _copy_sealed(root, into, path.with_name(path.name.removesuffix(_OPEN)), None)


def _copy_sealed(root: Path, into: Path, path: Path, previous: Previous | None) -> tuple[str, Entry]:
    name = _name(root, path)
    linked = previous.link(name, path, into / name) if previous else None
    return name, linked or copy_file(path, into / name)


def _name(root: Path, path: Path) -> str:
    """The name of a file of the archive in a backup."""
    return f"{ARCHIVE}/{path.relative_to(root).as_posix()}"


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file())
