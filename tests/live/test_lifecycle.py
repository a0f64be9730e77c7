"""A node's life, as `nc HOST 42001` shows it: it joins, is ready, drains, leaves; and is lost after kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.datadir import VARIABLE
from infra.settings import Settings
from tests.live.operator import end, mirror_lines, sealstream, until

pytestmark = [pytest.mark.live, pytest.mark.slow]

WORKER = 9


@contextmanager
def extra_worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker beside those of the stack, which nobody restarts."""
    command = [sys.executable, "-m", "infra.cli", "streams", "run", "--worker", str(WORKER)]
    with settings.data.log(f"streams-{WORKER}").open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, VARIABLE: str(settings.data.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        end(process)


def life(settings: Settings, offset: int) -> list[str]:
    """What the mirror tells of the extra worker from that offset on."""
    node = f"{settings.node.id}/streams-{WORKER}"
    lines = mirror_lines(settings, f"from {offset}", for_s=1.5)
    return [line["event"] for line in lines if line["line"] == "event" and line["id"] == node]


def head(settings: Settings) -> dict[str, Any]:
    """The mirror's first line."""
    return mirror_lines(settings, "from now", for_s=1.5)[0]


def test_a_node_joins_drains_leaves_and_is_lost(stack: Settings) -> None:
    """In order: joined, ready, draining, left; and after kill -9 lost, once and soon."""
    offset = head(stack)["next_offset"]
    with extra_worker(stack) as worker:
        until("the worker to be ready", lambda: life(stack, offset) == ["joined", "ready"], 60)
        worker.terminate()
        assert worker.wait(60) == 0
    until("its leaving", lambda: life(stack, offset) == ["joined", "ready", "draining", "left"])

    offset = head(stack)["next_offset"]
    with extra_worker(stack) as worker:
        until("the worker to be ready", lambda: life(stack, offset) == ["joined", "ready"], 60)
        worker.kill()
        worker.wait()
        until("its loss", lambda: life(stack, offset) == ["joined", "ready", "lost"], 60)
    printed = sealstream(stack, "lifecycle", "tail", "--from-start", "--once", "--json")
    assert '"lost"' in printed
