"""Redis on three nodes, under the account of the stores: who is primary outlives a stop of all of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from infra.stack.account import find_account
from schemas.errors import UnavailableError
from tests.live.redis_nodes import open_redis_nodes, primary_of, settled
from tests.live.store_node import store_root, until  # noqa: F401  # a fixture

pytestmark = [pytest.mark.live, pytest.mark.slow]


async def test_a_site_that_starts_again_has_the_primary_that_it_had(root: Path) -> None:
    """Also when the one of `redis.url` is there first, and no other Sentinel yet."""
    async with open_redis_nodes(root, find_account()) as nodes:
        await settled(nodes)
        first = nodes[0]
        await first.kill()

        async def other() -> bool:
            with contextlib.suppress(UnavailableError):
                return await primary_of(nodes) is not first
            return False

        await until("another is promoted", other)
        await first.start()
        await settled(nodes)
        last = await primary_of(nodes)
        early, late = (node for node in nodes if node is not last)
        for node in nodes:
            await node.kill()
        await early.start()
        assert (await early.role())[0] == "slave"
        await last.start()
        await late.start()
        assert (await settled(nodes)).startswith(f"{last.place} is primary")
