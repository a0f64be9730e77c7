"""What a source has taken already, remembered across restarts in one small file.

Never claims more than was written: a torn last line is forgotten, and what it stood for is taken again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_KEYS = 1_000_000
"""More than this, and the older half is forgotten."""

_LINE_BYTES = 33


class Seen:
    """A set of keys, kept as 16 bytes of their hash each, one a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        keys = [line for line in lines if len(line) == _LINE_BYTES - 1]
        if len(keys) > MAX_KEYS:
            keys = keys[-MAX_KEYS // 2 :]
        self._keys = set(keys)
        if len(keys) != len(lines) or (lines and path.stat().st_size != len(lines) * _LINE_BYTES):
            self._rewrite(keys)

    def __contains__(self, key: str) -> bool:
        return _digest(key) in self._keys

    def note(self, key: str) -> None:
        """Remember it while this process lives."""
        self._keys.add(_digest(key))

    def keep(self, keys: Iterable[str]) -> None:
        """Remember them for good."""
        digests = [_digest(key) for key in keys]
        self._keys.update(digests)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.open("ab") as file:
            file.write(b"".join(digest + b"\n" for digest in digests))
            file.flush()
            os.fsync(file.fileno())

    def _rewrite(self, keys: list[bytes]) -> None:
        beside = self._path.with_suffix(".tmp")
        with beside.open("wb") as file:
            file.write(b"".join(key + b"\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[: _LINE_BYTES - 1].encode()
