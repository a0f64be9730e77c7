"""Copying single files: durable, for the owner alone, and hashed on the way.

Never leaves a file that is half there under a name that a manifest gives.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from infra.backup.manifest import Entry, mode_of
from infra.files import sync_directory, write_all
from schemas.errors import ConfigError, MalformedError, UnavailableError

_CHUNK = 1024 * 1024

Measure = Callable[[Path], int]
"""How many bytes of a file that may be torn are whole."""


def copy_file(source: Path, target: Path, *, measure: Measure | None = None) -> Entry:
    """Copy the bytes that `source` has now; with `measure`, cut the copy to what of it is whole.

    Raises `FileNotFoundError` when there is no such file (any more), `UnavailableError` when the disk is full, and
    `ConfigError` when it cannot be copied.
    """
    make_private(target.parent)
    try:
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
            digest, size = _copy(file.fileno(), status.st_size, target)
        if measure is not None:
            whole = measure(target)
            if whole < size:
                os.truncate(target, whole)
                digest, size = hash_file(target), whole
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UnavailableError(f"the disk of {target.parent} is full") from None
        raise ConfigError(f"{source} cannot be copied to {target}: {error.strerror}") from None
    return Entry(size, digest, mode_of(status), status.st_mtime_ns)


def restore_file(source: Path, target: Path, entry: Entry) -> None:
    """Copy a file out of a backup, with its permissions; raises `MalformedError` when it is not what was backed up."""
    made = copy_file(source, target)
    if (made.size, made.sha256) != (entry.size, entry.sha256):
        target.unlink()
        raise MalformedError(f"{source} changed while it was read")
    target.chmod(entry.mode)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_private(path: Path) -> None:
    """Make a directory and what is missing above it, for the owner alone."""
    if not path.is_dir():
        make_private(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def sync_tree(root: Path) -> None:
    """Make the names of all files below `root` durable."""
    for path in [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]:
        sync_directory(path)


def _copy(source: int, size: int, target: Path) -> tuple[str, int]:
    digest, copied = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while copied < size and (chunk := os.read(source, min(_CHUNK, size - copied))):
            digest.update(chunk)
            write_all(descriptor, chunk)
            copied += len(chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest.hexdigest(), copied
