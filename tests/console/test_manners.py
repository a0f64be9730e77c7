"""What people expect of every page: keys, where the focus is, other tabs, the way back, and a server that is away.

Never asks how soon: each of these happens by itself, sooner or later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from infra.settings import Settings
from tests.console.harness import PASSWORD, Console
from tests.console.recorded import Recorded, recorded_people

pytestmark = [pytest.mark.live, pytest.mark.slow]

API = re.compile("/api/v1/(?!session)")


@pytest.fixture(scope="module")
def recorded(stack: Settings) -> Iterator[Recorded]:
    """Somebody of whom there is more than one page of results."""
    with recorded_people(stack) as people:
        for number in range(24):
            people.publish(people.ann, f"the {people.run} delivery, look {number}", days_ago=number / 24)
        yield people


def sign_in(page: Page, name: str) -> None:
    """By the page."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_with_a_keyboard_finds_the_keys_and_the_page(console: Console) -> None:
    """`?` tells the keys and Escape goes back; `/` searches from anywhere; a new page is where reading goes on."""
    with console.visit("officer") as visit:
        page = visit.go("/reports")
        page.keyboard.press("?")
        keys = page.get_by_role("dialog", name="Keyboard")
        expect(keys).to_contain_text("to the search, from any page")
        visit.check_accessible()
        visit.shot("keyboard")
        page.keyboard.press("Escape")
        expect(keys).to_have_count(0)
        page.keyboard.press("/")
        expect(page.get_by_label("Words to search for")).to_be_focused()
        page.keyboard.type("what?")
        expect(keys).to_have_count(0)
        page.get_by_role("navigation").get_by_role("link", name="Your account").press("Enter")
        expect(page.get_by_role("heading", name="Your account")).to_be_visible()
        expect(page.locator("#main")).to_be_focused()


def test_tabs_agree_on_who_is_signed_in(console: Console) -> None:
    """Signing out in one ends all; signing in again goes on where each was; another person begins anew."""
    with console.visit("auditor", may_fail=True) as visit:
        page = visit.go("/overview")
        other = page.context.new_page()
        other.goto(f"{console.base}/audit?action=sign_in")
        expect(other.get_by_role("heading", name="Audit")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(other.get_by_text("Your session has ended")).to_be_visible()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        sign_in(other, console.account("auditor"))
        expect(other.get_by_label("Did")).to_have_value("sign_in")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        sign_in(other, console.account("officer"))
        expect(page.get_by_role("navigation").get_by_role("link", name="Search")).to_be_visible()


def test_a_part_that_is_missing_is_loaded_with_the_console_anew(console: Console) -> None:
    """Once, as after an update of the server; where that does not help, it is said."""
    with console.visit("officer", may_fail=True) as visit:
        page = visit.go("/overview")
        page.route("**/assets/Reports-*.js", lambda route: route.abort(), times=1)
        page.get_by_role("navigation").get_by_role("link", name="Reports").click()
        expect(page.get_by_role("heading", name="Reports", level=1)).to_be_visible()
        page.route("**/assets/Rules-*.js", lambda route: route.abort())
        page.get_by_role("navigation").get_by_role("link", name="Rules").click()
        expect(page.get_by_text("This page could not be loaded")).to_be_visible()
        page.unroute("**/assets/Rules-*.js")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("heading", name="Rules", level=1)).to_be_visible()


def test_a_page_goes_on_by_itself_when_the_server_is_back(console: Console) -> None:
    """Meanwhile it says that the server is away, and what to do."""
    with console.visit("officer", may_fail=True) as visit:
        page = visit.page
        page.context.route(API, lambda route: route.abort())
        for path, heading in (("/overview", "Overview"), ("/keys", "Keys")):
            page.goto(console.base + path)
            expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
            expect(page.get_by_role("heading", name=heading)).to_be_visible()
        page.context.unroute(API)
        expect(page.get_by_role("table", name="KEKs")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


def test_back_from_a_recording_leads_to_the_result(console: Console, recorded: Recorded) -> None:
    """Though it was far down in the list, and the list had to be asked for page by page."""
    with console.visit("officer", may_fail=True) as visit:
        page = visit.page
        for _ in range(30):
            visit.go(f"/search?q={recorded.run}&order=newest&person={recorded.ann}")
            if page.get_by_text(re.compile("^24 results")).count():
                break
            page.wait_for_timeout(1000)
        links = page.locator(".results a.main-link")
        expect(links).to_have_count(20)
        links.last.scroll_into_view_if_needed()
        expect(links).to_have_count(24)
        chosen = links.nth(22).get_attribute("href")
        links.nth(22).click()
        page.wait_for_url("**/player**")
        page.go_back()
        expect(links).to_have_count(24)
        expect(links.nth(22)).to_be_focused()
        expect(links.nth(22)).to_be_in_viewport()
        assert links.nth(22).get_attribute("href") == chosen


def test_nothing_found_says_what_else_to_try(console: Console) -> None:
    """Each way is a button away."""
    with console.visit("officer") as visit:
        page = visit.go("/search?q=zzyqqxzz&person=nobody")
        page.get_by_role("button", name="Search without filters").click()
        page.wait_for_url(lambda url: "person" not in url)
        page.get_by_role("button", name="Search similar words").click()
        page.wait_for_url("**fuzzy=true**")
        expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()
