"""The data directory: where one installation keeps everything, and where in it each thing lies.

Light to import; never creates anything by merely being asked for a path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SEALSTREAM_DATA"
"""The environment variable that names the data directory; `--data` sets it."""

CONFIG_VARIABLE = "SEALSTREAM_CONFIG"
"""The environment variable that names the settings file, where it does not lie in the data directory."""

CONFIG_NAME = "sealstream.toml"


@dataclass(frozen=True, slots=True)
class DataDir:
    """The places within one data directory."""

    root: Path

    @classmethod
    def find(cls, given: Path | None = None) -> DataDir:
        """The directory given, else the one that the environment names, else the usual one."""
        named = given or os.environ.get(VARIABLE) or usual_place()
        return cls(Path(named).expanduser().absolute())

    @property
    def config(self) -> Path:
        """The settings of this installation."""
        return self.root / CONFIG_NAME

    @property
    def keys(self) -> Path:
        """KEKs of the server: public halves `*.pub.pem`, private halves `*.pem`."""
        return self.root / "keys"

    @property
    def pki(self) -> Path:
        """The CA and the certificates that it issued."""
        return self.root / "pki"

    @property
    def secrets(self) -> Path:
        """Passwords and passphrases, one a file, for the owner alone."""
        return self.root / "secrets"

    @property
    def run(self) -> Path:
        """What runs now: one JSON file a process."""
        return self.root / "run"

    def log(self, name: str) -> Path:
        """The log file of the process of that name."""
        return self.root / "log" / f"{name}.log"

    def store(self, name: str) -> Path:
        """Where the component of that name keeps its data."""
        return self.root / name


def usual_place() -> Path:
    """`/var/lib/sealstream` for root, else `sealstream` in the person's own data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/sealstream")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "sealstream"
