"""The metric of stores that several nodes keep: what it shows, and which process shows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.metrics import TABLE
from gateway.servers import ServerMeter, server_tasks
from infra.metrics import Metrics
from infra.settings import Settings
from tests.infra.test_sentinels import sentinels_that_say, settings_with


def shown(metrics: Metrics) -> dict[tuple[str, str], float]:
    """The gauge's rows, by store and state."""
    row = re.compile(r'^gateway_store_servers\{state="(\w+)",store="(\w+)"\} (\S+)$', re.MULTILINE)
    return {(store, state): float(value) for state, store, value in row.findall(metrics.expose().decode())}


def watched(root: Path, sentinels: list[str], **tables: Any) -> Settings:
    return settings_with(root, redis={"sentinels": sentinels}, **tables)


async def test_what_is_away_is_shown_and_what_nobody_tells_is_not(tmp_path: Path) -> None:
    """Of Redis's servers no figure stays once all Sentinels are gone."""
    metrics = Metrics(TABLE)
    async with sentinels_that_say({}, {}, {}) as named:
        meter = ServerMeter(watched(tmp_path, [*named.sentinels, "127.0.0.1:1"]), metrics)
        await meter.look()
        assert shown(metrics) == {
            ("sentinel", "there"): 3,
            ("sentinel", "away"): 1,
            ("redis", "there"): 2,
            ("redis", "away"): 0,
        }
    await meter.look()
    assert shown(metrics) == {("sentinel", "there"): 0, ("sentinel", "away"): 4}


async def test_a_store_that_cannot_be_asked_hides_no_other(tmp_path: Path) -> None:
    """Here the certificate for etcd is missing."""
    metrics = Metrics(TABLE)
    async with sentinels_that_say({}, {}, {}) as named:
        tables = {"postgresql": {"etcd": ["https://10.0.0.5:2379"]}}
        await ServerMeter(watched(tmp_path, named.sentinels, **tables), metrics).look()
    assert {store for store, _ in shown(metrics)} == {"sentinel", "redis"}


@pytest.mark.parametrize(
    ("parts", "sentinels", "counts"),
    [
        (["https", "console", "mirror"], ["10.0.0.5"], True),
        (["https", "console", "mirror"], [], False),
        (["agents"], ["10.0.0.5"], False),
        (["https", "mirror"], ["10.0.0.5"], False),
    ],
    ids=["a master", "a site of one machine", "a gateway", "an application server's front"],
)
async def test_masters_alone_count(tmp_path: Path, parts: list[str], sentinels: list[str], *, counts: bool) -> None:
    """By the console, which each has once; where there is nothing to count no series appears."""
    metrics = Metrics(TABLE)
    tasks = server_tasks(watched(tmp_path, sentinels, gateway={"parts": parts}), metrics)
    for task in tasks.values():
        task.close()
    assert bool(tasks) is counts
    assert shown(metrics) == {}
