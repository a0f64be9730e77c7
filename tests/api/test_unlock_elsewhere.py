"""Unlocks over HTTPS with several gateways behind one name: each is one gateway's, and the others say whose."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock
from uuid import uuid4

import httpx2 as httpx
import pytest

from gateway.api.access import Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.marks import Marks
from gateway.unlock.process import Survey
from infra.settings import Settings
from tests.api.accounts import add_account, as_principal, principal_of
from tests.api.people import Desk, open_desk
from tests.redis_server import open_redis_server

pytestmark = pytest.mark.live

WISH = {"agents": [str(uuid4())], "streams": ["email"], "since_ms": 0, "until_ms": 1000, "reason": "case 4711"}


@pytest.fixture
async def gateways(backing: Settings, tmp_path: Path) -> AsyncIterator[list[Desk]]:
    """Two on one database and one Redis; unlocks begin without an opener process."""
    with open_redis_server(tmp_path) as redis:
        async with open_desk(backing, tmp_path) as desk:
            await add_account(desk.settings, "olga", Role.OFFICER, all_teams=True)
            desks = []
            for number in (1, 2):
                facts = Facts(desk.publisher, reporter=f"node-{number}/gateway", incarnation="0")
                services = Services(desk.settings, facts, desk.services.metrics, Marks(redis.settings))
                services.unlocks.begin = AsyncMock(return_value=Survey(b"key", 1))  # type: ignore[method-assign]
                as_principal(services, principal_of(Role.OFFICER, name="olga", persons=None))
                transport = httpx.ASGITransport(app=create_app(services))
                desks.append(replace(desk, services=services, transport=transport))
            yield desks
            for one in desks:
                await one.services.marks.close()
                await one.services.close()


async def ask(desk: Desk, method: str, session: str, part: str = "") -> tuple[int, str, str]:
    body = {"public_key": base64.b64encode(b"x").decode(), "sealed": base64.b64encode(b"x").decode()}
    async with desk.another_client() as client:
        answer = await client.request(
            method, f"/api/v1/unlock/{session}{part}", json=body if method == "POST" else None
        )
    told = answer.json()
    return answer.status_code, told["error"], told["message"]


async def test_a_gateway_says_which_one_has_an_unlock(gateways: list[Desk]) -> None:
    """Whatever is asked of it; to nobody but its person; the one that had it says that it is over."""
    one, other = gateways
    async with one.another_client() as client:
        begun = await client.post("/api/v1/unlock", json=WISH)
    assert begun.status_code == 201, begun.text
    session = begun.json()["session"]
    for method, part in (("POST", "/passphrase"), ("GET", "/segments"), ("DELETE", "")):
        status, word, message = await ask(other, method, session, part)
        assert (status, word) == (409, "elsewhere")
        assert "node-1/gateway" in message
        assert (await ask(one, method, session, part))[:2] == (404, "nothing_found")
    as_principal(other.services, principal_of(Role.OFFICER, name="otto", persons=None))
    assert (await ask(other, "DELETE", session))[:2] == (404, "nothing_found")
    assert (await ask(other, "DELETE", "00"))[:2] == (404, "nothing_found")
