"""Disks of a size of their own, for a folder each: files with a file system in them, mounted as loops. Needs root.

Never leaves one mounted, and never takes room of this machine's disk for what only pretends to fill one.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

MIB = 1024 * 1024
_FILLING = "filled-by-the-test"


class Disk:
    """A file system of `size_mb` at `place`, its file beside it below `images`."""

    def __init__(self, place: Path, images: Path, size_mb: int) -> None:
        self.place = place
        self._image = images / f"{place.parent.name}-{place.name}.img"
        self._size_mb = size_mb

    def mount(self) -> None:
        """Make it, empty, and let everybody into its folder who may come into those above."""
        self.place.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(self._size_mb * MIB)
        options = ["-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1"]
        _run("mkfs.ext4", "-q", "-F", *options, str(self._image))
        _run("mount", "-o", "loop", str(self._image), str(self.place))
        (self.place / "lost+found").rmdir()
        self.place.chmod(0o755)

    def fill(self, left_mb: int = 0) -> None:
        """Leave no more than that; blocks are only set aside, and written nowhere."""
        free = os.statvfs(self.place)
        size = free.f_bfree * free.f_frsize - left_mb * MIB
        filling = os.open(self.place / _FILLING, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while size > 0:
                try:
                    os.posix_fallocate(filling, os.fstat(filling).st_size, size)
                except OSError:  # what it wants for keeping account of blocks is no longer there
                    size //= 2
                else:
                    size = 0 if left_mb else min(size, _free(self.place))
        finally:
            os.close(filling)

    def free(self) -> None:
        """Have the room again."""
        (self.place / _FILLING).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away; what still uses it keeps it until it ends."""
        subprocess.run(["umount", "-l", str(self.place)], capture_output=True, check=False)
        self._image.unlink(missing_ok=True)


def _free(place: Path) -> int:
    told = os.statvfs(place)
    return told.f_bfree * told.f_frsize


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
