"""The account under which the stores run where root starts the stack: they refuse root, and should.

Never used where a person starts the stack: then everything is theirs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, UnavailableError

NAME = "sealstream"


@dataclass(frozen=True, slots=True)
class Account:
    """A system account, by its numbers."""

    uid: int
    gid: int

    @property
    def arguments(self) -> dict[str, Any]:
        """What `subprocess` wants in order to start a program under it."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def find_account() -> Account | None:
    """The stores' account, made if root has none yet; none where a person starts the stack."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _make()
    return Account(entry.pw_uid, entry.pw_gid)


def give(path: Path, account: Account | None) -> Path:
    """Make the directory `path` and give it, with what is in it, to the account."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if account is not None:
        for place in (path, *path.rglob("*")):
            os.chown(place, account.uid, account.gid, follow_symlinks=False)
    return path


def check_reach(path: Path, account: Account | None) -> None:
    """Raise `ConfigError` where the account cannot enter `path`, such as below root's home."""
    if account is None:
        return
    for place in [*reversed(path.parents), path]:
        found = subprocess.run(["test", "-x", place], check=False, **account.arguments).returncode
        if place.exists() and found != 0:
            raise ConfigError(
                f"the account {NAME!r}, under which the stores run, cannot enter {place}: "
                f"choose a directory that it can by --data DIR, or chmod o+x {place}"
            )


def _make() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise UnavailableError(f"there is no account {NAME!r} and no useradd to make it: make it, then try again")
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    made = subprocess.run(
        [useradd, *options, "--shell", "/usr/sbin/nologin", NAME], check=False, capture_output=True, text=True
    )
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise UnavailableError(f"the account {NAME!r} cannot be made: {made.stderr.strip()}") from None
