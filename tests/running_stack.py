"""A real stack for tests: how one is started in a data directory of its own, and how commands are run on it.

SEALSTREAM_TEST_DATA names the data directory of a running stack to use instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.datadir import CONFIG_VARIABLE, VARIABLE, DataDir
from infra.settings import Settings, load_settings

RUNNING = "SEALSTREAM_TEST_DATA"


def run_cli(data: Path, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    """`sealstream ARGUMENTS` on that data directory, as a person would run it."""
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", *arguments],
        env={**environment, VARIABLE: str(data)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def open_directory() -> Path:
    """A new directory that other accounts (the stores') may enter, unlike those that pytest makes."""
    root = Path(tempfile.mkdtemp(prefix="sealstream-test-"))
    root.chmod(0o755)
    return root


@contextmanager
def running_stack(*options: str) -> Iterator[Settings]:
    """A stack of its own, gone again afterwards whatever happened; its logs stay where it did not start."""
    root = open_directory()
    started = False
    try:
        up = run_cli(root, "up", "--ports", "random", *options)
        assert up.returncode == 0, f"{up.stdout}{up.stderr}\nlogs are in {root / 'log'}"
        started = True
        yield load_settings(DataDir(root).config)
    finally:
        down = run_cli(root, "down")
        assert down.returncode == 0, down.stderr
        if started:
            shutil.rmtree(root, ignore_errors=True)


@contextmanager
def chosen_stack(*options: str) -> Iterator[Settings]:
    if named := os.environ.get(RUNNING):
        yield load_settings(DataDir(Path(named)).config)
        return
    with running_stack(*options) as settings:
        yield settings
