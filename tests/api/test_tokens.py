"""API tokens: scopes, never more than the role; and those of the file, which go on working."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gateway.api.access import Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.marks import Marks
from gateway.unlock.tokens import ApiTokens
from infra.settings import Settings
from tests.api.accounts import make_signed_in
from tests.api.people import Desk, open_desk
from tests.redis_server import open_redis_server

pytestmark = pytest.mark.live


@pytest.fixture
async def desk(backing: Settings, tmp_path: Path) -> AsyncIterator[Desk]:
    """An officer is signed in."""
    async with open_desk(backing, tmp_path) as opened:
        await make_signed_in(opened.settings, opened.client, "ann", Role.OFFICER, all_teams=True)
        yield opened


async def ask(desk: Desk, method: str, path: str, token: str, **body: Any) -> httpx.Response:
    """A program's request."""
    headers = {"Authorization": f"Bearer {token}"}
    async with desk.another_client() as client:
        return await client.request(method, f"/api/v1{path}", headers=headers, json=body or None)


async def test_a_token_may_what_it_was_given_and_no_more(desk: Desk) -> None:
    """It is shown once, tells its scopes, and cannot make others."""
    made = await desk.post("/tokens", 201, name="reports", scopes=["reports", "overview"], days=7)
    told = (await ask(desk, "GET", "/session", made["token"])).json()
    assert (told["permissions"], told["session"]) == (["overview", "reports"], None)
    assert (await ask(desk, "GET", "/audit", made["token"])).status_code == 403
    refused = await ask(desk, "POST", "/tokens", made["token"], name="more", scopes=["search"])
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    (row,) = (await desk.get("/tokens"))["tokens"]
    assert (row["name"], row["scopes"]) == ("reports", ["overview", "reports"])
    assert row["used_at_ms"]
    assert made["token"] not in str(await desk.get("/tokens"))
    assert made["token"].encode() not in (await desk.sql("SELECT token_hash FROM api_token"))[0]["token_hash"]


@pytest.mark.parametrize(
    ("scopes", "status"), [(["accounts"], 403), (["unlock_server"], 403), ([], 422), (["everything"], 422)]
)
async def test_never_more_than_the_account_itself(desk: Desk, scopes: list[str], status: int) -> None:
    """Neither another role's permissions, nor opening on the server where that was not allowed."""
    assert (await desk.client.post("/api/v1/tokens", json={"name": "x", "scopes": scopes})).status_code == status


async def test_a_token_loses_what_its_account_loses(desk: Desk) -> None:
    """With the role, with the scope, and with the account."""
    token = (await desk.post("/tokens", 201, name="x", scopes=["search", "overview"]))["token"]
    await desk.sql("UPDATE account SET role = 'operator', all_teams = false")
    desk.services.desk.identities.forget()
    told = (await ask(desk, "GET", "/session", token)).json()
    assert (told["permissions"], told["all_teams"]) == (["overview"], False)
    await desk.sql("UPDATE account SET disabled = true")
    desk.services.desk.identities.forget()
    assert (await ask(desk, "GET", "/session", token)).status_code == 401


async def test_tokens_end(desk: Desk) -> None:
    """By their owner, by themselves, and by the clock; the name is free again."""
    for _ in range(2):
        made = await desk.post("/tokens", 201, name="x", scopes=["search"])
        await desk.delete(f"/tokens/{made['id']}")
        assert (await ask(desk, "GET", "/session", made["token"])).status_code == 401
    made = await desk.post("/tokens", 201, name="x", scopes=["search"])
    assert (await desk.client.post("/api/v1/tokens", json={"name": "x", "scopes": ["search"]})).status_code == 409
    assert (await ask(desk, "DELETE", f"/tokens/{made['id']}", made["token"])).status_code == 204
    made = await desk.post("/tokens", 201, name="x", scopes=["search"])
    await desk.sql("UPDATE api_token SET expires_at = now()")
    assert (await ask(desk, "GET", "/session", made["token"])).status_code == 401
    await desk.post("/tokens", 201, name="x", scopes=["search"])
    actions = [entry["action"] for entry in desk.entries]
    assert actions.count("token_make") >= 5
    assert actions.count("token_revoke") == 3


async def test_tokens_are_not_guessed_quickly(desk: Desk) -> None:
    """After ten wrong ones an address waits, also with a right one."""
    token = (await desk.post("/tokens", 201, name="x", scopes=["search"]))["token"]
    statuses = [(await ask(desk, "GET", "/session", f"sealstream-token.{number}")).status_code for number in range(10)]
    assert statuses == [401] * 10
    assert (await ask(desk, "GET", "/session", token)).status_code == 429


async def test_wrong_tokens_count_at_all_gateways(desk: Desk, tmp_path: Path) -> None:
    """Of an address that asks two in turns: together they allow it no more than one does."""
    token = (await desk.post("/tokens", 201, name="x", scopes=["search"]))["token"]
    with open_redis_server(tmp_path) as redis:
        gateways = [
            Services(desk.settings, desk.services.facts, desk.services.metrics, Marks(redis.settings)) for _ in range(2)
        ]
        desks = [replace(desk, services=one, transport=httpx.ASGITransport(app=create_app(one))) for one in gateways]
        for number in range(10):
            wrong = await ask(desks[number % 2], "GET", "/session", f"sealstream-token.{number}")
            assert wrong.status_code == 401
        assert [(await ask(one, "GET", "/session", token)).status_code for one in desks] == [429, 429]
        assert (await ask(desk, "GET", "/session", token)).status_code == 200, "one that shares nothing knows of none"
        for one in gateways:
            await one.marks.close()
            await one.close()


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "x"])
async def test_a_cookie_does_not_help_a_wrong_token(desk: Desk, header: str) -> None:
    """Who shows a token is asked by that alone."""
    answer = await desk.client.get("/api/v1/session", headers={"Authorization": header})
    assert answer.status_code == 401


async def test_tokens_of_the_file_go_on_working(desk: Desk) -> None:
    """For unlocking and fetching envelopes, as ever; and for nothing else."""
    token = ApiTokens(desk.settings.unlock.tokens_file).issue("old", 1)
    told = (await ask(desk, "GET", "/session", token)).json()
    assert (told["account"]["name"], told["permissions"]) == ("old", ["envelopes", "unlock_server"])
    assert told["all_teams"]
    assert (await ask(desk, "GET", "/recordings/people", token)).status_code == 403
    ApiTokens(desk.settings.unlock.tokens_file).withdraw("old")
    assert (await ask(desk, "GET", "/session", token)).status_code == 401
