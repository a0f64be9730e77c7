"""What all tests of the agent share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What was logged, kept in memory: a test that fills the disk must not fail for its log."""
    with capture_logs() as events:
        yield events
