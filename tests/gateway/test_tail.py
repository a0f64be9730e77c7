"""`sealstream lifecycle tail --mirror`: of several mirrors any will do, and none is told twice of the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.lifecycle import LifecycleLog
from gateway.metrics import TABLE
from gateway.mirror import Mirror
from infra.approved import ApprovedNodes
from infra.cli import lifecycle
from infra.cli.lifecycle import follow_mirrors, render_event
from infra.metrics import Metrics
from infra.settings import Settings
from schemas.errors import ConfigError, UnavailableError
from tests.gateway.test_mirror import fact


class Node:
    """A node's mirror; both nodes read the same topic."""

    def __init__(self, name: str, folder: Path) -> None:
        self.events = LifecycleLog(lambda: 0.0)
        approved = ApprovedNodes(Settings(node={"data_dir": folder, "approved": ["127.0.0.1"]}))
        self.mirror = Mirror(self.events, _read_nothing, approved, Metrics(TABLE), node_id=f"{name}/front")

    async def listen(self) -> str:
        return f"127.0.0.1:{await self.mirror.listen('127.0.0.1', 0)}"


async def _read_nothing(start: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
    for _ in range(start, end):
        yield 0, b""


async def next_event(lines: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        async for line in lines:
            if line["line"] == "event":
                return line
    raise AssertionError("it ended")


async def test_another_mirror_goes_on_where_one_fell_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is left out and nothing is told twice; the person is told which mirror speaks now."""
    monkeypatch.setattr(lifecycle, "_PAUSE_S", 0.01)
    one, other = Node("one", tmp_path), Node("other", tmp_path)
    places = [await one.listen(), await other.listen()]
    lines = follow_mirrors(places, from_start=True)
    for offset, event in enumerate(("joined", "ready")):
        one.events.take(offset, fact(event))
        other.events.take(offset, fact(event))
    assert [(await next_event(lines))["event"] for _ in range(2)] == ["joined", "ready"]
    await one.mirror.close()
    other.events.take(2, fact("draining"))
    told = await next_event(lines)
    assert (told["offset"], told["event"]) == (2, "draining")
    assert f"goes on at the mirror {places[1]}" in capsys.readouterr().err
    await lines.aclose()  # type: ignore[attr-defined]
    await other.mirror.close()


async def test_when_no_mirror_serves_it_ends(tmp_path: Path) -> None:
    """With what is wrong with each."""
    closed = Node("one", tmp_path)
    place = await closed.listen()
    await closed.mirror.close()
    with pytest.raises(UnavailableError, match=f"{place}.*127.0.0.1:1:"):
        await anext(follow_mirrors([place, "127.0.0.1:1"], from_start=False))
    with pytest.raises(ConfigError, match="HOST:PORT"):
        await anext(follow_mirrors(["somewhere"], from_start=False))


def test_a_person_reads_how_old_it_is() -> None:
    """The age in words, and plainly when Kafka is not read."""
    head = {"line": "mirror", "node": "n/front", "next_offset": 4, "kafka": "connected", "age_s": 0.4}
    assert render_event(head) == "# mirror of n/front: as it was 0 seconds ago, Kafka is read"
    away = render_event({**head, "kafka": "away", "age_s": 7300})
    assert "2 hours ago; KAFKA IS NOT READ" in away
    assert "has not read" in render_event({**head, "line": "alive", "age_s": None})
