"""Signing in by the page: password, codes, links, and one's own account; by a person with a browser."""

from __future__ import annotations

import re

import pyotp
import pytest

from tests.console.harness import NARROW, PASSWORD, WIDE, Console, Visit
from tests.running_stack import run_cli

pytestmark = [pytest.mark.live, pytest.mark.slow]

NEW_PASSWORD = "a-quiet-otter-on-the-ice"


def _sign_in(visit: Visit, name: str, password: str = PASSWORD) -> None:
    page = visit.page
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_is_told_and_the_right_one_leads_on(console: Console) -> None:
    """To the page that was wanted."""
    name = console.account("auditor")
    with console.visit() as visit:
        page = visit.go("/audit")
        _sign_in(visit, name, "not the password")
        page.get_by_role("alert").get_by_text("do not go together").wait_for()
        _sign_in(visit, name)
        page.get_by_role("heading", name="Audit").wait_for()


def test_codes_from_setting_up_to_signing_in(console: Console) -> None:
    """The picture and the secret are shown once; then the code is asked for; a recovery code does as well."""
    name = console.account("officer", name="codes")
    with console.visit("officer", name="codes") as visit:
        page = visit.go("/account")
        page.get_by_role("button", name="Set up codes").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("img", name="QR code").wait_for()
        visit.check_accessible()
        visit.shot("codes-set-up")
        secret = re.sub(r"\s", "", dialog.locator("code").inner_text())
        dialog.get_by_label("Code").fill(pyotp.TOTP(secret).now())
        dialog.get_by_role("button", name="Turn codes on").click()
        page.get_by_role("heading", name="Recovery codes").wait_for()
        codes = page.locator("ul.codes code").all_inner_texts()
        assert len(codes) == 10
        page.get_by_role("button", name="I have kept them").click()
        page.get_by_text("10 of 10 recovery codes are left").wait_for()
    with console.visit() as visit:
        page = visit.go("/account")
        _sign_in(visit, name)
        page.get_by_role("heading", name="Code").wait_for()
        visit.check_accessible()
        page.get_by_role("button", name="Use a recovery code").click()
        page.get_by_label("One of your recovery codes").fill(codes[0])
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("9 of 10 recovery codes are left").wait_for()


def test_a_link_sets_the_password_and_leaves_the_address(console: Console) -> None:
    """Its secret is not in the history; a second use is refused in words."""
    root = console.settings.data.root
    name = console.account("auditor", name="link")
    link = run_cli(root, "accounts", "link", name).stdout.strip()
    path = "/" + link.split("/", 3)[3]
    with console.visit(size=NARROW) as visit:
        page = visit.go(path)
        page.get_by_role("heading", name="Set your password").wait_for()
        assert "#" not in page.url
        visit.check_accessible()
        visit.check_fits()
        visit.shot("set-password-400")
        page.get_by_label("Password").fill(NEW_PASSWORD)
        page.get_by_label("The same again").fill("something else here")
        page.get_by_role("button", name="Set the password").click()
        page.get_by_text("not the same").wait_for()
        page.get_by_label("The same again").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Set the password").click()
        page.get_by_role("button", name="Menu").wait_for()
    with console.visit() as visit:
        page = visit.go(path)
        page.get_by_role("heading", name="This link does not work").wait_for()


def test_sessions_and_tokens_of_ones_own(console: Console) -> None:
    """A token is shown once, and is gone when it is revoked; another session is ended."""
    with console.visit("officer", name="tokens") as visit, console.visit("officer", name="tokens") as other:
        other.go("/account")
        page = visit.go("/account")
        visit.check_accessible()
        page.get_by_role("button", name="New token").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("nightly report")
        dialog.get_by_label("reports").check()
        dialog.get_by_role("button", name="Make the token").click()
        token = page.get_by_role("textbox", name="Token").input_value()
        assert token.startswith("sealstream-token.")
        page.get_by_role("button", name="I have kept it").click()
        row = page.get_by_role("row", name="nightly report")
        row.get_by_role("button", name="Revoke").click()
        row.wait_for(state="detached")
        page.get_by_role("button", name="Sign out everywhere else").click()
        page.get_by_text("You are signed out everywhere else").wait_for()
        other.go("/account").get_by_role("heading", name="Sign in").wait_for()


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_an_administrator_makes_an_account_and_a_team(console: Console, size: tuple[int, int]) -> None:
    """The link is shown once; the account is limited to the team."""
    mark = f"{console.account('administrator')[-6:]}{size[0]}"
    with console.visit("administrator", size=size, theme="dark" if size == NARROW else "light") as visit:
        page = visit.go("/accounts?tab=teams")
        page.get_by_role("button", name="New team").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill(f"team {mark}")
        dialog.get_by_label("People").fill("nobody-yet\nnor-this-one")
        dialog.get_by_role("button", name="Make the team").click()
        page.get_by_role("table", name="Teams").get_by_text(f"team {mark}").wait_for()
        page.get_by_role("tab", name="Accounts").click()
        page.get_by_role("button", name="New account").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name", exact=True).fill(f"made-{mark}")
        dialog.get_by_label(f"team {mark}").check()
        visit.check_accessible()
        visit.shot(f"new-account-{size[0]}")
        dialog.get_by_role("button", name="Make the account").click()
        assert "/set-password#" in page.get_by_role("textbox", name="Link").input_value()
        page.get_by_role("button", name="Done").click()
        page.get_by_role("row", name=f"made-{mark}").get_by_text("no password yet").wait_for()
        visit.check_fits()
        visit.check_accessible()
