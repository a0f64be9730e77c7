"""Clocks that jump, for whole hosts and their programs: libfaketime before the wall clock, read from a file.

Never touches a monotonic clock, which no jump of a host's clock moves either, nor this machine's own.
"""

from __future__ import annotations

from pathlib import Path

_LIBRARIES = "*/faketime/libfaketimeMT.so.1"
MISSING = "clocks cannot jump here: libfaketime is missing (`apt-get install libfaketime`)"


def find_library() -> Path | None:
    """Where Debian has it."""
    return next(iter(sorted(Path("/usr/lib").glob(_LIBRARIES))), None)


class HostClock:
    """The clock of one host; `environment` is for each of its programs."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program go by this clock; nothing where the library is missing."""
        library = find_library()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def jump(self, seconds: float) -> None:
        """So far from the true time, within a second."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+.0f}\n")
        beside.chmod(0o644)
        beside.replace(self._file)
