"""Fixtures of the tests of processors: a broker in memory, and a worker on it."""

from __future__ import annotations

import pytest

from streams.memory import MemoryBroker
from tests.streams.rig import Worker


@pytest.fixture
async def broker():
    return MemoryBroker(partitions=2)


@pytest.fixture
async def worker(broker):
    worker = Worker(broker)
    yield worker
    await worker.stop()
