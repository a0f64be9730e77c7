"""Node for the tests of the console: where it is, and its packages installed as the lock file says.

Never installs anew what is there already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CONSOLE = Path(__file__).parents[2] / "gateway" / "console"

_OWN = Path(sys.executable).parent
_PATH = f"{_OWN}{os.pathsep}{os.environ['PATH']}" if (_OWN / "npm").exists() else os.environ["PATH"]
"""Bootstrap puts a Node into the virtual environment where the machine has none that is new enough."""


def install_packages() -> None:
    """`npm ci`, when the lock file is another than the one that was installed."""
    assert shutil.which("npm", path=_PATH), "npm is needed: infra/bootstrap.sh --demo installs it"
    lock = hashlib.sha256((CONSOLE / "package-lock.json").read_bytes()).hexdigest()
    stamp = CONSOLE / "node_modules" / ".installed-lock"
    if not stamp.exists() or stamp.read_text() != lock:
        run_npm("ci", "--no-audit", "--no-fund")
        stamp.write_text(lock)


def run_npm(*arguments: str, **environment: str) -> str:
    """What `npm ARGUMENTS` in the console's folder prints; fails with it."""
    done = subprocess.run(
        [shutil.which("npm", path=_PATH) or "npm", *arguments],
        cwd=CONSOLE,
        env={**os.environ, "PATH": _PATH, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"npm {' '.join(arguments)}:\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    return done.stdout
