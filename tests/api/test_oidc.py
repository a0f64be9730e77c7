"""Signing in by a provider: who is let in, as whom, and everything that is not believed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from gateway.accounts import oidc
from gateway.api.access import Role
from infra.settings import AccountSettings, OidcSettings, Settings
from tests.api.accounts import add_account
from tests.api.people import BASE, Desk, open_desk
from tests.api.provider import SECRET, Claims, Provider, running_provider

pytestmark = pytest.mark.live

OPTIONS = {"role_claim": "groups", "roles": {"security": "officer", "audit": "auditor"}, "auto_create": True}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that signs Ann in."""
    with running_provider() as running:
        yield running


@pytest.fixture
async def desk(backing: Settings, tmp_path: Path, provider: Provider) -> AsyncIterator[Desk]:
    """A console that knows the provider, gives roles by groups and makes accounts."""
    async with open_desk_for(backing, tmp_path, provider, **OPTIONS) as opened:
        yield opened


def open_desk_for(backing: Settings, root: Path, provider: Provider, **options: Any) -> Any:
    """A console that knows the provider."""
    (root / "secrets").mkdir(exist_ok=True)
    (root / "secrets" / "oidc.secret").write_text(SECRET + "\n")
    group = OidcSettings(
        issuer=provider.issuer, client_id="console", client_secret_file=root / "secrets" / "oidc.secret", **options
    )
    return open_desk(backing, root, oidc=group, accounts=AccountSettings(address=BASE))


async def go(desk: Desk, client: httpx.AsyncClient | None = None) -> httpx.Response:
    """The browser goes to the provider and comes back; the answer of the callback."""
    browser = client or desk.client
    back = await fetch_answer(browser)
    return await browser.get(back)


async def fetch_answer(browser: httpx.AsyncClient) -> str:
    """The address that the provider sends the browser back to."""
    begun = await browser.get("/api/v1/oidc/begin")
    assert begun.status_code == 302, begun.text
    async with httpx.AsyncClient() as outside:
        return (await outside.get(begun.headers["location"])).headers["location"]


def word_of(answer: httpx.Response) -> str:
    """Why it was refused, as the sign-in page is told; empty for who is in."""
    assert answer.status_code == 303
    return answer.headers["location"].partition("refused=")[2]


async def test_who_the_provider_knows_is_let_in(desk: Desk, provider: Provider) -> None:
    """With the role of their group, found again the next time by who they are and not by their name."""
    assert (await desk.get("/oidc")) == {"enabled": True, "title": "your organisation"}
    assert word_of(await go(desk)) == ""
    told = await desk.get("/session")
    assert (told["account"]["name"], told["account"]["role"], told["account"]["display_name"]) == (
        "ann",
        "officer",
        "Ann",
    )
    assert (await desk.get("/account/sessions"))["sessions"][0]["way"] == "oidc"
    provider.person = {**provider.person, "preferred_username": "ann-new", "groups": ["audit"]}
    async with desk.another_client() as later:
        assert word_of(await go(desk, later)) == ""
        told = (await later.get("/api/v1/session")).json()
        assert (told["account"]["name"], told["account"]["role"]) == ("ann", "auditor")
    assert len(await desk.sql("SELECT * FROM account")) == 1
    changes = [entry["detail"] for entry in desk.entries if entry["action"] == "account_change"]
    assert [change["change"] for change in changes] == ["make", "role by claim"]
    assert provider.asked.count("/keys") == 1


async def test_the_answer_works_once_and_in_one_browser(desk: Desk) -> None:
    """Neither again, nor elsewhere, nor with another's state."""
    back = await fetch_answer(desk.client)
    async with desk.another_client() as thief:
        assert word_of(await thief.get(back)) == "expired"
        await fetch_answer(thief)
        assert word_of(await thief.get(back)) == "wrong_state"
    cookies = httpx.Cookies(desk.client.cookies)
    assert word_of(await desk.client.get(back)) == ""
    async with desk.another_client() as again:
        again.cookies = cookies
        assert word_of(await again.get(back)) == "provider_refused"


def _set(name: str, value: Any) -> Callable[[Claims, dict[str, Any]], None]:
    def twist(claims: Claims, _header: dict[str, Any]) -> None:
        claims[name] = value

    return twist


def _unsigned(claims: Claims, _header: dict[str, Any]) -> str:
    parts = [{"alg": "none"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*texts, ""])


def _other_key(claims: Claims, header: dict[str, Any]) -> str:
    return jwt.encode(header, claims, RSAKey.generate_key(2048, {"kid": header["kid"]}))


def _shared_secret(claims: Claims, _header: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


@pytest.mark.parametrize(
    "twist",
    [
        _set("nonce", "another"),
        _set("aud", "another service"),
        _set("aud", ["console", "another service"]),
        _set("iss", "https://evil.example"),
        _set("exp", int(time.time()) - 600),
        _set("sub", None),
        _unsigned,
        _other_key,
        _shared_secret,
        lambda _claims, _header: "not a token",
    ],
    ids=["nonce", "audience", "two audiences", "issuer", "expired", "nobody", "none", "other key", "HS256", "junk"],
)
async def test_what_the_provider_did_not_say_is_not_believed(
    desk: Desk, provider: Provider, twist: Callable[[Claims, dict[str, Any]], str | None]
) -> None:
    """No session, no account, and the audit knows that somebody was refused."""
    provider.twist = twist
    assert word_of(await go(desk)) == "wrong_token"
    await desk.get("/session", 401)
    assert await desk.sql("SELECT * FROM account") == []


async def test_new_keys_of_the_provider_are_fetched(
    desk: Desk, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation does not lock anybody out; asking again is bounded."""
    monkeypatch.setattr(oidc, "_AGAIN_S", 0.0)
    assert word_of(await go(desk)) == ""
    provider.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    async with desk.another_client() as later:
        assert word_of(await go(desk, later)) == ""


@pytest.mark.parametrize(("groups", "word"), [([], "no_role"), (["kitchen"], "no_role"), ("audit", "")])
async def test_who_has_no_role_is_not_let_in(desk: Desk, provider: Provider, groups: Any, word: str) -> None:
    """A single group may come as a text."""
    provider.person["groups"] = groups
    assert word_of(await go(desk)) == word


async def test_an_account_that_is_there_is_tied_unless_it_has_a_password(
    backing: Settings, tmp_path: Path, provider: Provider
) -> None:
    """Who chooses a name at the provider does not become somebody who signs in here; nobody is made without a wish."""
    async with open_desk_for(backing, tmp_path, provider) as desk:
        assert word_of(await go(desk)) == "no_account"
        await add_account(desk.settings, "ann", Role.OFFICER)
        assert word_of(await go(desk)) == "no_account"
        await desk.sql("UPDATE account SET password_hash = NULL")
        assert word_of(await go(desk)) == ""
        provider.person["sub"] = "2"
        async with desk.another_client() as other:
            assert word_of(await go(desk, other)) == "no_account"
        await desk.sql("UPDATE account SET disabled = true")
        provider.person["sub"] = "1"
        async with desk.another_client() as later:
            assert word_of(await go(desk, later)) == "no_account"


async def test_a_provider_that_is_away_is_told(backing: Settings, tmp_path: Path, provider: Provider) -> None:
    """As a store that is away; one that calls itself otherwise, as what it is."""
    group = OidcSettings(issuer="http://127.0.0.1:9", client_id="console")
    async with open_desk(backing, tmp_path, oidc=group) as desk:
        assert (await desk.client.get("/api/v1/oidc/begin")).status_code == 503
    group = OidcSettings(issuer=provider.issuer + "/", client_id="console")
    async with open_desk(backing, tmp_path, oidc=group) as desk:
        assert "calls itself" in (await desk.client.get("/api/v1/oidc/begin")).json()["message"]
    group = OidcSettings(issuer="http://login.example.org", client_id="console")
    async with open_desk(backing, tmp_path, oidc=group) as desk:
        assert "https" in (await desk.client.get("/api/v1/oidc/begin")).json()["message"]


async def test_without_a_provider_there_is_no_such_way(backing: Settings, tmp_path: Path) -> None:
    """404, and the page has no button."""
    async with open_desk(backing, tmp_path) as desk:
        assert not (await desk.get("/oidc"))["enabled"]
        for path in ("/oidc/begin", "/oidc/callback"):
            await desk.get(path, 404)
