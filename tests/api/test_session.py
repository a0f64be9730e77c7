"""Signing in and out on a real database: limits, codes, links, and what another site cannot do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2 as httpx
import pyotp
import pytest

from gateway.accounts import links
from gateway.accounts.sessions import COOKIE
from gateway.api.access import Role
from infra.settings import AccountSettings, Settings, postgresql_dsn
from tests.api.accounts import PASSWORD, add_account, sign_in
from tests.api.people import Desk, open_desk

pytestmark = pytest.mark.live


@pytest.fixture
async def desk(backing: Settings, tmp_path: Path) -> AsyncIterator[Desk]:
    """The application over an empty database."""
    async with open_desk(backing, tmp_path) as opened:
        yield opened


async def test_who_signs_in_is_known_by_a_cookie_that_scripts_do_not_see(desk: Desk) -> None:
    """What a session tells is what pages need; the cookie is bound to the host, to TLS and to this site."""
    await add_account(desk.settings, "ann", Role.OFFICER, all_teams=True)
    answer = await desk.client.post("/api/v1/session", json={"name": " Ann ", "password": PASSWORD})
    told = answer.json()
    assert (told["account"]["name"], told["all_teams"], told["unlock_on_server"]) == ("ann", True, False)
    assert "search" in told["permissions"]
    assert "unlock_server" not in told["permissions"]
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert (await desk.get("/session"))["account"]["name"] == "ann"
    assert (await desk.client.delete("/api/v1/session")).status_code == 204
    await desk.get("/session", 401)
    assert [entry[:3] for entry in desk.audited] == [("sign_in", "ann", "done"), ("sign_out", "ann", "done")]


async def test_nobody_learns_whether_a_name_exists(desk: Desk) -> None:
    """Same status, same words, and about the same time; the audit has the name only when there is one."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await add_account(desk.settings, "bob", Role.OFFICER, disabled=True)
    answers, times = [], []
    for name, password in (("ann", "wrong password"), ("nobody", "wrong password"), ("bob", PASSWORD)):
        began = time.perf_counter()
        answers.append(await desk.client.post("/api/v1/session", json={"name": name, "password": password}))
        times.append(time.perf_counter() - began)
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
    assert max(times) < 5 * min(times)
    assert [target for _, target, _ in desk.audited] == ["ann", "an unknown name", "bob"]


async def test_a_name_is_locked_after_too_many_failures(desk: Desk) -> None:
    """Also for the right password, also for a name that does not exist; until the window has passed."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    for name in ("ann", "nobody"):
        for _ in range(3):
            assert (await desk.try_to_sign_in(name, "wrong")).status_code == 401
        locked = await desk.try_to_sign_in(name, PASSWORD)
        assert (locked.status_code, locked.json()["error"]) == (429, "too_many_attempts")
        assert 0 < int(locked.headers["retry-after"]) <= 900
    await desk.sql("UPDATE sign_in_failure SET failed_at = now() - interval '1 hour'")
    assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 200


async def test_an_address_is_locked_after_too_many_failures(desk: Desk) -> None:
    """Whatever names it tries; what succeeded does not count."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    for _ in range(10):
        assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 200
    statuses = {(await desk.try_to_sign_in(f"name{number}", "wrong")).status_code for number in range(8)}
    assert statuses == {401}
    assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 429


async def test_guesses_at_once_do_not_slip_through(desk: Desk) -> None:
    """An attempt counts before it is looked at."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    answers = await asyncio.gather(*(desk.try_to_sign_in("ann", f"guess {number}") for number in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 9


async def test_codes_are_asked_for_and_taken_once(desk: Desk) -> None:
    """After the password a challenge; a code works once, a recovery code works once, a challenge works once."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await sign_in(desk.client, "ann")
    offer = await desk.post("/account/totp")
    assert offer["picture"].startswith("data:image/svg+xml,")
    assert (await desk.put("/account/totp", 400, code="000000"))["error"] == "wrong_code"
    authenticator = pyotp.TOTP(offer["secret"])
    first = authenticator.now()
    codes = (await desk.put("/account/totp", code=first))["recovery_codes"]
    assert len(set(codes)) == 10

    challenge = await _challenge(desk)
    body = {"challenge": challenge, "code": first}
    replayed = await desk.client.post("/api/v1/session/totp", json=body)
    assert (replayed.status_code, replayed.json()["error"]) == (401, "wrong_code")
    following = authenticator.at(time.time() + 30)
    assert (await desk.post("/session/totp", challenge=challenge, code=following))["totp"]
    again = await desk.client.post("/api/v1/session/totp", json={"challenge": challenge, "code": codes[0]})
    assert (again.status_code, again.json()["error"]) == (401, "expired")

    await desk.sql("DELETE FROM sign_in_failure")
    assert await desk.post("/session/totp", challenge=await _challenge(desk), code=codes[1].upper())
    used = await desk.client.post("/api/v1/session/totp", json={"challenge": await _challenge(desk), "code": codes[1]})
    assert used.status_code == 401
    assert (await desk.get("/account/security"))["recovery_codes_left"] == 9
    stored = await desk.sql("SELECT totp_secret FROM account")
    assert offer["secret"].encode() not in stored[0]["totp_secret"]


async def _challenge(desk: Desk) -> str:
    told: dict[str, Any] = await desk.post("/session", name="ann", password=PASSWORD)
    assert told["needs"] == "totp"
    return str(told["challenge"])


async def test_a_challenge_that_is_not_ours_or_too_old_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that one must begin again."""
    for challenge in ("", "x" * 40, "AAAA"):
        answer = await desk.client.post("/api/v1/session/totp", json={"challenge": challenge, "code": "123456"})
        assert (answer.status_code, answer.json()["error"]) == (401, "expired")
    sealed = await desk.services.desk.key.seal_object("sign-in challenge", {"account": "x"}, -1)
    answer = await desk.client.post("/api/v1/session/totp", json={"challenge": sealed, "code": "123456"})
    assert answer.json()["error"] == "expired"


async def test_a_session_ends_by_doing_nothing_and_by_the_clock(desk: Desk) -> None:
    """What no person did does not count as doing."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await sign_in(desk.client, "ann")
    background = {"X-Sealstream-Background": "1"}
    await desk.sql("UPDATE account_session SET seen_at = now() - interval '20 minutes'")
    desk.services.desk.identities.forget()
    assert (await desk.client.get("/api/v1/session", headers=background)).status_code == 200
    assert (await desk.sql("SELECT seen_at < now() - interval '19 minutes' AS old FROM account_session"))[0]["old"]
    await desk.get("/session")
    assert not (await desk.sql("SELECT seen_at < now() - interval '19 minutes' AS old FROM account_session"))[0]["old"]
    for change in ("seen_at = now() - interval '31 minutes'", "seen_at = now(), expires_at = now()"):
        await desk.sql(f"UPDATE account_session SET {change}")
        desk.services.desk.identities.forget()
        await desk.get("/session", 401)


async def test_another_site_cannot_act_with_the_cookie(desk: Desk) -> None:
    """Neither change anything nor sign somebody in."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await sign_in(desk.client, "ann")
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        answer = await desk.client.delete("/api/v1/session", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "cross_site")
        body = {"name": "ann", "password": PASSWORD}
        assert (await desk.client.post("/api/v1/session", json=body, headers=headers)).status_code == 403
    assert (await desk.client.delete("/api/v1/session", headers={"Origin": "https://node"})).status_code == 204


async def test_a_new_password_ends_the_other_sessions(desk: Desk) -> None:
    """The one that changed it goes on; the old password is no more."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await sign_in(desk.client, "ann")
    async with desk.another_client() as elsewhere:
        await sign_in(elsewhere, "ann")
        wrong = await desk.client.post("/api/v1/account/password", json={"current": "x", "new": "quiet-otter-77"})
        assert (wrong.status_code, wrong.json()["error"]) == (403, "wrong_password")
        weak = await desk.client.post("/api/v1/account/password", json={"current": PASSWORD, "new": "password1234"})
        assert (weak.status_code, weak.json()["error"]) == (400, "weak_password")
        await desk.post("/account/password", 204, current=PASSWORD, new="quiet-otter-77")
        assert (await elsewhere.get("/api/v1/session")).status_code == 401
    await desk.get("/session")
    assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 401
    assert (await desk.try_to_sign_in("ann", "quiet-otter-77")).status_code == 200


async def test_own_sessions_are_listed_and_ended(desk: Desk) -> None:
    """Each with where it is from; nobody ends those of others."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await add_account(desk.settings, "bob", Role.OFFICER)
    await sign_in(desk.client, "ann")
    async with desk.another_client() as elsewhere:
        await sign_in(elsewhere, "ann")
        rows = (await desk.get("/account/sessions"))["sessions"]
        assert [row["current"] for row in rows].count(True) == 1
        other = next(row["id"] for row in rows if not row["current"])
        async with desk.another_client() as bobs:
            await sign_in(bobs, "bob")
            assert (await bobs.delete(f"/api/v1/account/sessions/{other}")).status_code == 404
        assert (await desk.client.delete(f"/api/v1/account/sessions/{other}")).status_code == 204
        assert (await elsewhere.get("/api/v1/session")).status_code == 401


async def test_the_first_administrator_comes_by_a_link_that_works_once(desk: Desk) -> None:
    """It makes one administrator; a second use, a wrong secret and an expired one find nothing."""
    await add_account(desk.settings, "bob", Role.OFFICER)
    connection = await asyncpg.connect(postgresql_dsn(desk.settings))
    void = await links.make_first_link(connection, 60)
    secret = await links.make_first_link(connection, 60)
    assert await desk.post("/links/look", secret=secret) == {"purpose": "first", "name": ""}
    body = {"name": "Ada", "password": "quiet-otter-77", "display_name": "Ada"}
    for changes, status in (({"secret": void}, 404), ({"secret": secret, "password": "short"}, 400)):
        assert (await desk.client.post("/api/v1/links/use", json={**body, **changes})).status_code == status
    told = await desk.post("/links/use", secret=secret, **body)
    assert (told["account"]["name"], told["account"]["role"]) == ("ada", "administrator")
    again = await desk.client.post("/api/v1/links/use", json={**body, "secret": secret, "name": "eve"})
    assert again.status_code == 404
    with pytest.raises(Exception, match="administrator already"):
        await links.make_first_link(connection, 60)
    rows = await connection.fetch("SELECT name FROM account")
    assert sorted(row["name"] for row in rows) == ["ada", "bob"]
    await connection.close()


async def test_links_cannot_be_guessed_quickly(desk: Desk) -> None:
    """After ten that there are not, an address waits."""
    statuses = [
        (await desk.client.post("/api/v1/links/look", json={"secret": f"{number:040}"})).status_code
        for number in range(12)
    ]
    assert statuses == [404] * 10 + [429] * 2


async def test_nobody_signs_in_while_the_audit_is_away(desk: Desk) -> None:
    """503, and no session was made."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    desk.facts_fail()
    assert (await desk.try_to_sign_in("ann", PASSWORD)).status_code == 503
    assert await desk.sql("SELECT * FROM account_session") == []


async def test_a_changed_account_key_says_what_is_wrong(desk: Desk) -> None:
    """A damaged file is told, with its name."""
    desk.settings.accounts.key_file.parent.mkdir(exist_ok=True)
    desk.settings.accounts.key_file.write_text("short\n")
    await add_account(desk.settings, "ann", Role.OFFICER)
    await sign_in(desk.client, "ann")
    answer = await desk.client.post("/api/v1/account/totp")
    assert (answer.status_code, "accounts.key" in answer.text) == (400, True)


def test_the_usual_limits_are_documented() -> None:
    """Ten failures of a name, fifty of an address, in a quarter of an hour."""
    usual = AccountSettings()
    assert (usual.attempts, usual.address_attempts, usual.window_s) == (10, 50, 900)


async def test_a_cookie_is_not_kept_as_it_is(desk: Desk) -> None:
    """Who reads the database cannot become anybody."""
    await add_account(desk.settings, "ann", Role.OFFICER)
    await sign_in(desk.client, "ann")
    secret = desk.client.cookies[COOKIE]
    rows = await desk.sql("SELECT token_hash FROM account_session")
    assert secret.encode() not in rows[0]["token_hash"]
    stolen = httpx.Cookies({COOKIE: rows[0]["token_hash"].hex()})
    async with desk.another_client() as thief:
        thief.cookies = stolen
        assert (await thief.get("/api/v1/session")).status_code == 401
