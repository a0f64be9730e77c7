"""The lock that keeps two agents out of one directory.

Never waits: who comes second is told.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from schemas.errors import ConfigError


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
