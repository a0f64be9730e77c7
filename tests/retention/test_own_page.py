"""What the API of the own page tells a recorded person."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.api.access import Role
from infra.settings import RetentionSettings, Settings
from tests.api.accounts import add_account, sign_in
from tests.api.people import open_desk

pytestmark = pytest.mark.live


async def test_a_recorded_person_reads_for_how_long_it_is_kept(backing: Settings, tmp_path: Path) -> None:
    """In words, by the settings of their installation."""
    keeping = RetentionSettings(days=90, streams={"screen": 30})
    async with open_desk(backing, tmp_path, retention=keeping) as desk:
        await add_account(desk.settings, "sub", Role.SUBJECT, person="bob")
        await sign_in(desk.client, "sub")
        told = (await desk.get("/own"))["kept"]
    assert "30 days for pictures of your screens; 90 days for your terminals" in told
    assert "nobody can look without a trace" in told
