"""A real Redis for each test of presence, and keys that are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.presence.fleet import make_ground
from tests.redis_server import RedisServer, open_redis_server


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop, so its tests do."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    (tmp_path / "redis").mkdir()
    with open_redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and a KEK, made once."""
    directory = tmp_path_factory.mktemp("ground")
    make_ground(directory)
    return directory
