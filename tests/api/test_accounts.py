"""Accounts and teams by the API: who may change what, scopes that follow at once, and what the audit tells of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.accounts.lives import WATCHING_ROLES, still_lives, still_watches
from gateway.api.access import PERMISSIONS, Permission, Role
from infra.settings import Settings
from tests.api.accounts import PASSWORD, add_account, make_signed_in, sign_in
from tests.api.people import Desk, open_desk

pytestmark = pytest.mark.live


@pytest.fixture
async def desk(backing: Settings, tmp_path: Path) -> AsyncIterator[Desk]:
    """An administrator is signed in."""
    async with open_desk(backing, tmp_path) as opened:
        await make_signed_in(opened.settings, opened.client, "ada", Role.ADMINISTRATOR, all_teams=True)
        yield opened


async def _make(desk: Desk, name: str, role: str = "officer", **wish: Any) -> dict[str, Any]:
    made: dict[str, Any] = await desk.post("/accounts", 201, name=name, role=role, **wish)
    return made


async def _set_password(desk: Desk, link: str) -> dict[str, Any]:
    """As its owner does, in a browser of their own."""
    address, _, secret = link.partition("#")
    assert address.endswith("/set-password")
    async with desk.another_client() as client:
        answer = await client.post("/api/v1/links/use", json={"secret": secret, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_an_account_is_made_and_its_owner_sets_the_password(desk: Desk) -> None:
    """Nobody else ever knows it; the link stands in no audit entry and works once."""
    made = await _make(desk, "ann", display_name="Ann")
    assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 401
    told = await _set_password(desk, made["link"])
    assert (told["account"]["name"], told["account"]["role"]) == ("ann", "officer")
    assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 200
    secret = made["link"].partition("#")[2]
    assert (await desk.client.post("/api/v1/links/look", json={"secret": secret})).status_code == 404
    assert secret not in str(desk.entries)
    changes = [entry["detail"]["change"] for entry in desk.entries if entry["action"] == "account_change"]
    assert changes == ["make", "password by link"]
    assert (await desk.client.post("/api/v1/accounts", json={"name": "ann", "role": "officer"})).status_code == 409


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
async def test_nobody_else_manages_accounts(desk: Desk, role: Role) -> None:
    """Neither sees them nor changes them."""
    await add_account(desk.settings, "eve", role, person="eve")
    async with desk.another_client() as client:
        await sign_in(client, "eve")
        for path in ("/accounts", "/teams"):
            assert (await client.get(f"/api/v1{path}")).status_code == 403
            assert (await client.post(f"/api/v1{path}", json={"name": "x", "role": "officer"})).status_code == 403


async def test_a_scope_by_team_holds_at_once_and_changes_at_once(desk: Desk) -> None:
    """An officer sees the people of their teams; who joins or leaves is seen, or not, with the next request."""
    await desk.post("/teams", 201, name="sales", members=["bob", "cid"])
    made = await _make(desk, "ann", teams=["sales"])
    await _set_password(desk, made["link"])
    async with desk.another_client() as client:
        await sign_in(client, "ann")

        async def persons() -> frozenset[str] | None:
            request = client.build_request("GET", "/api/v1/session")
            await client.send(request)
            return (await _principal(desk, client)).persons

        assert await persons() == {"bob", "cid"}
        await desk.put("/teams/sales", 204, members=["cid", "dan"])
        assert await persons() == {"cid", "dan"}
        account = {"role": "officer", "teams": [], "all_teams": True}
        await desk.put(f"/accounts/{made['account']['id']}", **account)
        assert await persons() is None
        await desk.delete("/teams/sales")
        await desk.put(f"/accounts/{made['account']['id']}", role="officer")
        assert await persons() == frozenset()
    joined = next(entry for entry in desk.entries if entry["detail"].get("joined"))
    assert (joined["detail"]["joined"], joined["detail"]["left"]) == ("dan", "bob")


async def _principal(desk: Desk, client: Any) -> Any:
    from starlette.requests import Request

    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", cookie.encode())], "client": ("127.0.0.1", 1)}
    return await desk.services.identify(Request(scope))


async def test_a_subject_sees_themselves_alone(desk: Desk) -> None:
    """Whatever teams or marks its account has; one without a person is refused."""
    assert (await desk.client.post("/api/v1/accounts", json={"name": "sub", "role": "subject"})).status_code == 400
    made = await _make(desk, "sub", "subject", person="bob", all_teams=True)
    await _set_password(desk, made["link"])
    async with desk.another_client() as client:
        told = await sign_in(client, "sub")
        assert told["permissions"] == ["own", "recordings"]
        assert (await _principal(desk, client)).persons == {"bob"}


async def test_who_is_disabled_is_out_at_once(desk: Desk) -> None:
    """Signed out, with tokens that do not work; enabling does not bring the sessions back."""
    made = await _make(desk, "ann")
    await _set_password(desk, made["link"])
    at = f"/accounts/{made['account']['id']}"
    async with desk.another_client() as client:
        await sign_in(client, "ann")
        await desk.put(at, role="officer", disabled=True)
        assert (await client.get("/api/v1/session")).status_code == 401
        assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 401
        await desk.put(at, role="officer", disabled=False)
        assert (await client.get("/api/v1/session")).status_code == 401
        assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 200


async def test_what_changed_is_told_before_and_after(desk: Desk) -> None:
    """Of role, scope and rights; what stayed is not."""
    made = await _make(desk, "ann")
    await desk.put(f"/accounts/{made['account']['id']}", role="auditor", all_teams=True)
    detail = desk.entries[-1]["detail"]
    assert (detail["role"], detail["all_teams"]) == ("officer → auditor", "no → yes")
    assert "teams" not in detail


async def test_an_administrator_cannot_lock_everybody_out_nor_raise_themselves(desk: Desk) -> None:
    """One's own role is another's to change, and the last administrator stays."""
    ada = (await desk.get("/session"))["account"]["id"]
    for wish in ({"role": "officer"}, {"role": "administrator", "disabled": True}):
        assert (await desk.put(f"/accounts/{ada}", 409, all_teams=True, **wish))["error"] == "own_account"
    assert (await desk.delete(f"/accounts/{ada}", 409))["error"] == "own_account"
    await make_signed_in(desk.settings, desk.client, "bea", Role.ADMINISTRATOR, all_teams=True)
    await desk.put(f"/accounts/{ada}", role="officer")
    await desk.put(f"/accounts/{ada}", role="administrator", all_teams=True)
    await desk.delete(f"/accounts/{ada}")
    assert [row["name"] for row in (await desk.get("/accounts"))["accounts"]] == ["bea"]


async def test_accounts_are_changed_by_who_has_just_proved_who_they_are(desk: Desk) -> None:
    """An old session is asked for the password again, and only then changes something."""
    await desk.sql("UPDATE account_session SET fresh_at = now() - interval '16 minutes'")
    desk.services.desk.identities.forget()
    refused = await desk.client.post("/api/v1/accounts", json={"name": "ann", "role": "officer"})
    assert (refused.status_code, refused.json()["error"]) == (403, "not_fresh")
    wrong = await desk.client.post("/api/v1/session/fresh", json={"password": "wrong"})
    assert (wrong.status_code, wrong.json()["error"]) == (403, "wrong_password")
    await desk.post("/session/fresh", 204, password=PASSWORD)
    await _make(desk, "ann")


async def test_lost_devices_and_passwords_are_helped(desk: Desk) -> None:
    """A new link ends the old one; taking codes away ends the sessions."""
    made = await _make(desk, "ann")
    at = f"/accounts/{made['account']['id']}"
    link = (await desk.post(f"{at}/link"))["link"]
    void = {"secret": made["link"].partition("#")[2], "password": PASSWORD}
    assert (await desk.client.post("/api/v1/links/use", json=void)).status_code == 404
    await _set_password(desk, link)
    async with desk.another_client() as client:
        await sign_in(client, "ann")
        assert len((await desk.get(f"{at}/sessions"))["sessions"]) == 2
        await desk.delete(f"{at}/totp")
        assert (await client.get("/api/v1/session")).status_code == 401


async def test_what_cannot_be_is_refused_with_a_reason(desk: Desk) -> None:
    """Names, teams and accounts that there are not."""
    for wish in ({"name": "A b", "role": "officer"}, {"name": "ann", "role": "officer", "teams": ["none"]}):
        answer = await desk.client.post("/api/v1/accounts", json=wish)
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    unknown = "00000000-0000-4000-8000-000000000000"
    await desk.get(f"/accounts/{unknown}", 404)
    await desk.put("/teams/none", 404, members=[])
    await desk.delete("/teams/none", 404)
    assert (await desk.client.post("/api/v1/teams", json={"name": "a,b"})).status_code == 400
    assert [row["name"] for row in (await desk.get("/accounts"))["accounts"]] == ["ada"]


async def test_nothing_is_changed_while_the_audit_is_away(desk: Desk) -> None:
    """503, and everything as it was."""
    desk.facts_fail()
    assert (await desk.client.post("/api/v1/accounts", json={"name": "ann", "role": "officer"})).status_code == 503
    assert (await desk.client.post("/api/v1/teams", json={"name": "sales"})).status_code == 503
    assert await desk.sql("SELECT name FROM account WHERE name = 'ann' UNION SELECT name FROM team") == []


async def test_what_the_database_cannot_hold_is_the_senders_fault(desk: Desk) -> None:
    """A zero character in a text; and what was refused stands in no audit as done."""
    before = len(desk.entries)
    for path, body in (
        ("/accounts", {"name": "ann", "role": "officer", "person": "a\0b"}),
        ("/teams", {"name": "sales", "note": "a\0b"}),
        ("/teams", {"name": "a,b"}),
    ):
        answer = await desk.client.post(f"/api/v1{path}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_request"), answer.text
    assert (await desk.client.get("/api/v1/accounts")).status_code == 200
    assert len(desk.entries) == before


async def test_what_is_long_ends_when_the_role_or_the_teams_change(desk: Desk) -> None:
    """A live view by who may watch that person now, an event stream by the role that began it."""
    assert {role for role in Role if PERMISSIONS[role] & {Permission.WATCH, Permission.LISTEN}} == WATCHING_ROLES
    account = UUID((await _make(desk, "olga", all_teams=True))["account"]["id"])
    async with desk.services.database() as connection:
        assert await still_watches(connection, account, "bob")
        await desk.post("/teams", 201, name="sales")
        await desk.put("/teams/sales", 204, note="", members=["bob"])
        await desk.put(f"/accounts/{account}", role="officer", teams=["sales"])
        assert [await still_watches(connection, account, user) for user in ("bob", "ann")] == [True, False]
        assert await still_lives(connection, account, None, "olga", "officer")
        await desk.put(f"/accounts/{account}", role="auditor", all_teams=True)
        assert not await still_watches(connection, account, "bob")
        assert await still_lives(connection, account, None, "olga")
        assert not await still_lives(connection, account, None, "olga", "officer")
