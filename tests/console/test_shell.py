"""The frame of the console: who is not signed in signs in, who is sees what their role may, and nothing else runs."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.harness import NARROW, WIDE, Console, Theme

pytestmark = pytest.mark.live

FIRST_PAGES = {"administrator": "/overview", "operator": "/overview", "officer": "/overview", "auditor": "/overview"}


@pytest.mark.parametrize("role", FIRST_PAGES)
def test_each_role_sees_its_own_navigation(console: Console, role: str) -> None:
    """What is in the navigation can be opened, and what is not cannot; the first page is the first of them."""
    with console.visit(role) as visit:
        page = visit.go("/")
        page.wait_for_url(f"**{FIRST_PAGES[role]}")
        links = page.locator("nav a.item")
        shown = {links.nth(at).get_attribute("href") for at in range(links.count())}
        assert ("/search" in shown) == (role == "officer")
        assert ("/accounts" in shown) == (role == "administrator")
        assert ("/audit" in shown) == (role in ("administrator", "auditor"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_signing_in(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """A person without a session is asked for name and password, wherever they wanted to go; the page is accessible."""
    with console.visit(size=size, theme=theme) as visit:
        page = visit.go("/search?q=invoice")
        page.get_by_role("heading", name="Sign in").wait_for()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"sign-in-{size[0]}-{theme}")


def test_a_page_that_is_not_permitted_says_so(console: Console) -> None:
    """An operator who is sent a link to the search sees that there is nothing for them."""
    with console.visit("operator") as visit:
        page = visit.go("/search?q=invoice")
        page.get_by_role("heading", name="There is no such page").wait_for()


def test_the_navigation_folds_on_narrow_screens(console: Console) -> None:
    """It opens by its button, and closes when a page was chosen."""
    with console.visit("administrator", size=NARROW) as visit:
        page = visit.go("/overview")
        expect(page.get_by_role("navigation")).to_be_hidden()
        page.get_by_role("button", name="Menu").click()
        page.get_by_role("navigation").get_by_role("link", name="Nodes").click()
        page.wait_for_url("**/nodes")
        expect(page.get_by_role("navigation")).to_be_hidden()


def test_the_theme_can_be_chosen(console: Console) -> None:
    """And stays chosen."""
    with console.visit("administrator") as visit:
        page = visit.go("/overview")
        light = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
        button = page.get_by_role("button", name="Colours:")
        button.click()
        button.click()
        page.reload()
        assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") != light
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
