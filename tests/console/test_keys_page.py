"""Keys: who may see them does, who may change them is led through it, and no private half leaves the page."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Request, expect

from infra.settings import Settings
from schemas.keys import Identity
from tests.console.harness import NARROW, WIDE, Console, Theme
from tests.running_stack import run_cli

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture
def name(stack: Settings) -> Iterator[str]:
    """The name of a key that no test had before; it is revoked afterwards, so that nothing is ever sealed to it."""
    chosen = f"test-{secrets.token_hex(3)}"
    yield chosen
    run_cli(stack.data.root, "keys", "revoke", chosen, "--yes", "--reason", "a test ended")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_keys_are_seen(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """Every KEK with its purpose and state; the server's leads to what it protects and where it lies."""
    with console.visit("administrator", size=size, theme=theme) as visit:
        page = visit.go("/keys")
        page.get_by_role("link", name="server", exact=True).wait_for()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"keys-{size[0]}-{theme}")
        page.get_by_role("link", name="server", exact=True).click()
        page.get_by_role("heading", name="What it protects").wait_for()
        page.get_by_text("was counted in this node's archive").wait_for(timeout=60_000)
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"kek-{size[0]}-{theme}")


def test_a_public_key_is_registered(console: Console, name: str) -> None:
    """From its file or its text; it stands in the list, and its page says what comes next."""
    pem = Identity.generate(2048).recipient.to_pem().decode()
    with console.visit("administrator") as visit:
        page = visit.go("/keys")
        page.get_by_role("button", name="Register a public key").click()
        page.get_by_label("Or its text").fill(pem)
        page.get_by_label("Name").fill(name)
        visit.check_accessible()
        page.get_by_role("button", name="Register", exact=True).click()
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_text("only people with its passphrase open it").wait_for()
        page.get_by_text("Nobody: it is not assigned.").wait_for()


def test_a_private_key_is_not_even_sent(console: Console) -> None:
    """The page sees what it is and says so; no request holds any of it."""
    pem = "-----BEGIN " + "PRIVATE KEY-----\nc2VjcmV0\n-----END " + "PRIVATE KEY-----"
    sent: list[str] = []

    def note(request: Request) -> None:
        sent.append(request.post_data or "")

    with console.visit("administrator") as visit:
        page = visit.go("/keys")
        page.on("request", note)
        page.get_by_role("button", name="Register a public key").click()
        page.get_by_label("Name").fill("mine")
        page.get_by_label("Or its text").fill(pem)
        page.get_by_text("This holds a private key. It was not sent.").wait_for()
        expect(page.get_by_role("button", name="Register", exact=True)).to_be_disabled()
        assert not any("c2VjcmV0" in one for one in sent)


def test_checks_and_who_seals_to_what(console: Console) -> None:
    """Both views say what needs a person, and what an officer runs."""
    with console.visit("auditor") as visit:
        page = visit.go("/keys")
        assert page.get_by_role("button", name="Register a public key").count() == 0
        page.get_by_role("tab", name="Who seals to what").click()
        page.get_by_text("sealstream keys distribute").wait_for()
        visit.check_accessible()
        page.get_by_role("tab", name="Checks").click()
        page.get_by_role("table", name="Findings").wait_for(timeout=60_000)
        visit.check_accessible()


def test_revoking_asks_and_wants_a_reason(console: Console, name: str) -> None:
    """One click revokes nothing."""
    pem = Identity.generate(2048).recipient.to_pem().decode()
    with console.visit("administrator") as visit:
        page = visit.go("/keys")
        page.get_by_role("button", name="Register a public key").click()
        page.get_by_label("Or its text").fill(pem)
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Register", exact=True).click()
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("button", name="Revoke", exact=True).click()
        revoke = page.get_by_role("button", name=f"Revoke {name}")
        expect(revoke).to_be_disabled()
        visit.check_accessible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
