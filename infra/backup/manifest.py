"""The manifest of a backup: each file with its size and SHA-256. It is written last; without it there is no backup.

Never trusts a name that it reads: one that leads out of the backup is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from schemas.errors import ConfigError, MalformedError

FORMAT = 1
NAME = "manifest.json"
DUMP = "postgresql.dump"
DATA = "data"
"""What lay in the data directory."""
ELSEWHERE = "elsewhere"
"""What settings named outside of it."""
ARCHIVE = "archive"

_CHUNK = 1024 * 1024
_MODES = 0o777


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a backup; `mode` is what it had where it came from."""

    size: int
    sha256: str
    mode: int = 0o600
    time_ns: int = 0
    """When it was last changed, where that tells whether it still is the same."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a backup holds. `left_out` are files that were there and are not in it, since they are secret."""

    made_ms: int
    node: str
    with_keys: bool
    tables: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    files: dict[str, Entry] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    def encode(self) -> bytes:
        """The manifest as it is written."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """What `encode` wrote; raises `MalformedError`."""
        try:
            body = json.loads(data)
            number = body.pop("format")
            files = {_inside(name): Entry(**entry) for name, entry in body.pop("files").items()}
            manifest = cls(**body, files=files)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MalformedError(f"the manifest is damaged: {error}") from None
        if number != FORMAT:
            raise MalformedError(f"the backup has format {number}, this release reads {FORMAT}", "bad_version")
        return manifest


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or not path.parts:
        raise ValueError(f"{name!r} is no name of a file in a backup")
    return name


def read_manifest(root: Path) -> tuple[Manifest, str]:
    """The manifest of the backup at `root`, and its own SHA-256. Raises `ConfigError` where there is no backup."""
    try:
        data = (root / NAME).read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{root} is no backup: it has no {NAME}, which is written last; if taking it was interrupted, remove it"
        ) from None
    except OSError as error:
        raise ConfigError(f"{root / NAME} cannot be read: {error.strerror}") from None
    return Manifest.parse(data), hashlib.sha256(data).hexdigest()


def find_faults(root: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the backup: files that are missing, changed, or not of it. Reads every byte."""
    for name, entry in manifest.files.items():
        fault = check_file(root / name, entry)
        if fault:
            yield f"{name}: {fault}"
    known = {NAME, *manifest.files}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name not in known and (path.is_symlink() or not path.is_dir()):
            yield f"{name}: is not of this backup"


def check_file(path: Path, entry: Entry) -> str:
    """What is wrong with one file, in a few words, or nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        if status.st_size != entry.size:
            return f"has {status.st_size} bytes instead of {entry.size}"
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
    finally:
        os.close(descriptor)
    return "" if digest.hexdigest() == entry.sha256 else "was changed: its SHA-256 is another"


def mode_of(status: os.stat_result) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(status.st_mode) & _MODES
