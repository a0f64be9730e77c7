"""A whole host dies: each of its processes is told lost once, though the one that watched died with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from infra.kafka import admin, ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.records import decode_record
from schemas.topics import LIFECYCLE, TOPICS
from tests.live.operator import end, read_topic, until

pytestmark = [pytest.mark.live, pytest.mark.slow]

QUIET_S = 15.0
"""Longer than a silence that counts."""


@pytest.fixture
async def place(backing: Settings, tmp_path: Path) -> Settings:
    """Topics of their own."""
    kafka = KafkaSettings(**{**backing.kafka.model_dump(), "topic_prefix": f"t{uuid4().hex[:8]}."})
    settings = Settings(node={"data_dir": tmp_path}, kafka=kafka)
    await ensure_topics(settings)
    yield settings
    client = admin(settings)
    await client.start()
    await client.delete_topics([kafka.topic_prefix + name for name in TOPICS])
    await client.close()


class Host:
    """One `tests.live.watching_host`."""

    def __init__(self, settings: Settings, node: str, *names: str) -> None:
        self.log = settings.node.data_dir / f"{node}.log"
        environment = {
            **os.environ,
            "SEALSTREAM_DATA": str(settings.node.data_dir),
            "SEALSTREAM_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
            "SEALSTREAM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "tests.live.watching_host", node, *names]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    @property
    def last(self) -> str:
        words = [line for line in self.log.read_text().splitlines() if line in ("watching", "waiting")]
        return words[-1] if words else ""


@contextlib.contextmanager
def host(settings: Settings, node: str, *names: str) -> Iterator[Host]:
    one = Host(settings, node, *names)
    try:
        yield one
    finally:
        end(one.process)


def lost(settings: Settings) -> Counter[str]:
    """How often each process was told lost."""
    facts = [decode_record(record.value() or b"", "lifecycle_event") for record in read_topic(settings, LIFECYCLE.name)]
    return Counter(fact["id"] for fact in facts if fact["event"] == "lost")


def test_each_process_of_a_dead_host_is_lost_once(place: Settings) -> None:
    """Also when the watch goes on to a third host afterwards."""
    dead = ("gateway-10000", "gateway-10002", "node")
    with ExitStack() as stack:
        first = stack.enter_context(host(place, "app-1", *dead))
        until("the first to watch", lambda: first.last == "watching")
        others = [stack.enter_context(host(place, name, "node")) for name in ("app-2", "app-3")]
        until("the others", lambda: all(one.last for one in others))
        until("one to watch", lambda: [one.last for one in (first, *others)].count("watching") == 1)
        started = time.monotonic()
        first.process.kill()
        until("the losses", lambda: set(lost(place)) == {f"app-1/{name}" for name in dead}, 90)
        print(f"told lost after {time.monotonic() - started:.1f} s")  # noqa: T201  # shown with -s
        watching = next(one for one in others if one.last == "watching")
        (third,) = (one for one in others if one is not watching)
        assert end(watching.process) == 0
        until("the third to watch", lambda: third.last == "watching")
        time.sleep(QUIET_S)
        assert lost(place) == Counter({f"app-1/{name}": 1 for name in dead})
