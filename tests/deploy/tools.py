"""The programs that deployment files are validated with: on PATH, in .sealstream/tools, or in SEALSTREAM_TOOLS.

Never the product's own: a machine that runs the product has none of them, and these tests are skipped there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BESIDE = Path(sys.executable).parent
"""Where the environment that runs the tests has its programs, Node's among them where the machine has none."""

DEPLOY = ROOT / "infra" / "deploy"


def find_tool(name: str, how: str) -> str:
    """The program; skips the test where it is not, and says how it is had."""
    places = [
        os.environ.get("SEALSTREAM_TOOLS", ""),
        str(ROOT / ".sealstream/tools/bin"),
        str(BESIDE),
        os.environ.get("PATH", ""),
    ]
    found = shutil.which(name, path=os.pathsep.join(place for place in places if place))
    if found is None:
        pytest.skip(f"{name} is not here: {how}")
    return found


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program's end, whatever its code."""
    return subprocess.run(
        [str(it) for it in arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
