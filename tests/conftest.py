"""The real stack that live tests and browser tests share: started once in a session, and stopped at its end.

SEALSTREAM_TEST_DATA names the data directory of a running stack to use instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings

from infra.settings import Settings
from tests.running_stack import chosen_stack

hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The settings of a whole running stack: stores, gateway, stream workers, sinks."""
    with chosen_stack() as settings:
        yield settings


@pytest.fixture(scope="session")
def backing(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """The settings of running stores: those of the whole stack, where this session starts one anyway.

    Tests share them, so each takes a topic prefix, index prefix and database of its own.
    """
    if any("stack" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield request.getfixturevalue("stack")
        return
    with chosen_stack("--backing") as settings:
        yield settings
