"""Who runs a node's replays: one process at a time, and another when that one ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from infra.replays.runner import Replays
from infra.settings import Settings
from schemas.errors import UnavailableError


async def test_one_process_of_a_node_runs_replays_and_the_next_goes_on(tmp_path: Path) -> None:
    """Gateway and miner both offer to; whoever holds the lock looks, and the other takes over."""
    settings, looks = Settings(node={"data_dir": tmp_path}), {"gateway": 0, "miner": 0}

    def database_of(name: str) -> Any:
        @asynccontextmanager
        async def away() -> AsyncIterator[Any]:
            looks[name] += 1
            raise UnavailableError("PostgreSQL is away")
            yield

        return away

    async def until_looks(name: str, count: int) -> None:
        async with asyncio.timeout(30):
            while looks[name] < count:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0.02)

    first = asyncio.create_task(Replays(settings, database_of("gateway")).follow())
    await until_looks("gateway", 1)
    second = asyncio.create_task(Replays(settings, database_of("miner")).follow())
    await until_looks("gateway", 2)
    assert looks["miner"] == 0
    first.cancel()
    await until_looks("miner", 1)
    seen = looks["gateway"]
    await until_looks("miner", 2)
    assert looks["gateway"] == seen
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
