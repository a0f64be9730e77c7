"""A real stack for the live tests: started once in a session, in a data directory of its own, and stopped at its end.

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

import pytest

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
def _chosen_stack(*options: str) -> Iterator[Settings]:
    if named := os.environ.get(RUNNING):
        yield load_settings(DataDir(Path(named)).config)
        return
    with running_stack(*options) as settings:
        yield settings


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The settings of a whole running stack: stores, gateway, stream workers, sinks."""
    with _chosen_stack() as settings:
        yield settings


@pytest.fixture(scope="session")
def backing(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """The settings of running stores: those of the whole stack, where this session starts one anyway.

    Tests share them, so each takes a topic prefix, index prefix and database of its own.
    """
    if any("stack" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield request.getfixturevalue("stack")
        return
    with _chosen_stack("--backing") as settings:
        yield settings
