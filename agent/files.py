"""Files that are there whole or not at all.

Never leaves a half-written file under its name, whenever the process or the machine dies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from schemas.errors import ConfigError


def write_whole(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write beside, sync, rename, sync the directory. Not `durable`: without the syncs, for what may be older."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        write_all(descriptor, data)
        if durable:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)
    if durable:
        sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, or raise `OSError` after some of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Make names in `path` durable: created, renamed, removed."""
    if os.name == "nt":
        return  # Windows journals names itself and cannot open a directory
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_directory(path: Path) -> int:
    """A descriptor that keeps other processes out of `path` until it is closed; raises `ConfigError`."""
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigError(f"{path} is in use: another agent runs on it (`sealstream agent status`)") from None
    return descriptor
