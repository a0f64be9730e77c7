"""Fixtures of tests of live views across gateways: three of them, and waits that are short."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.live_fleet import Fleet, open_fleet
from tests.gateway.live_viewing import hasten


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for in minutes takes moments."""
    hasten(monkeypatch)


@pytest.fixture(name="fleet")
async def three_gateways(pki: Path, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Three gateways."""
    async with open_fleet(pki, tmp_path) as opened:
        yield opened
