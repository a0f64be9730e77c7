"""Searching in the console on the real stack: as one types, by filters and keys, to the moment in the player."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Route, expect

from infra.settings import Settings
from tests.console.harness import NARROW, WIDE, Console, Theme
from tests.console.open_endpoint import OpenEndpoint, open_endpoint

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(scope="module")
def endpoint(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenEndpoint]:
    """An endpoint whose texts the server reads."""
    with open_endpoint(stack, tmp_path_factory.mktemp("open")) as made:
        yield made


def query_of(page: Page) -> dict[str, list[str]]:
    """The query of the page's address."""
    return parse_qs(urlsplit(page.url).query)


def test_results_come_as_one_types_with_the_words_marked(console: Console, endpoint: OpenEndpoint) -> None:
    """No key but those of the word is pressed; the address holds the search, and how long it took is told."""
    with console.visit("officer") as visit:
        page = visit.go("/search")
        expect(page.get_by_role("heading", name="Search everything that was recorded")).to_be_visible()
        page.get_by_role("searchbox").press_sequentially(endpoint.word)
        results = page.locator(".result")
        expect(results).to_have_count(2)
        expect(results.locator(".fragment mark").first).to_have_text(endpoint.word, ignore_case=True)
        expect(page.locator(".summary")).to_have_text(re.compile(r"^2 results in \d+ ms, \d"))
        assert query_of(page)["q"] == [endpoint.word]
        page.get_by_role("searchbox").fill(f'"look at {endpoint.word}"')
        expect(results).to_have_count(1)
        page.get_by_role("searchbox").fill(f"{endpoint.word[:6]}*")
        expect(results).to_have_count(2)
        page.get_by_role("searchbox").fill(f"{endpoint.word[:-1]}q")
        expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()
        page.get_by_label("Similar words").check()
        expect(results.first).to_be_visible()


def test_a_screen_is_shown_with_the_words_boxed(console: Console, endpoint: OpenEndpoint) -> None:
    """Small in the list, larger beside it; the box is where the line is, as the server read it."""
    with console.visit("officer") as visit:
        page = visit.go(f"/search?q={endpoint.word}&stream=screen")
        picture = page.locator(".result .frame img")
        expect(picture).to_be_visible()
        expect(page.locator(".result .box")).to_have_count(1)
        preview = page.locator(".preview .frame")
        expect(preview.locator(".box")).to_have_count(1)
        box, frame = preview.locator(".box").bounding_box(), preview.bounding_box()
        assert box
        assert frame
        assert frame["x"] <= box["x"] < frame["x"] + frame["width"] / 3  # the note is at the left
        assert frame["y"] <= box["y"] < frame["y"] + frame["height"] / 5  # and at the top
        assert 0 < box["height"] < frame["height"] / 8
        visit.shot("search-screen")


def test_keys_move_among_the_results_and_open_the_player(console: Console, endpoint: OpenEndpoint) -> None:
    """Down, j, k, Enter, and the way back to the words; the player gets person, moment and words."""
    with console.visit("officer") as visit:
        page = visit.go(f"/search?q={endpoint.word}&order=oldest")
        links = page.locator(".result .main-link")
        expect(links).to_have_count(2)
        page.get_by_role("searchbox").press("ArrowDown")
        expect(links.nth(0)).to_be_focused()
        page.keyboard.press("j")
        expect(links.nth(1)).to_be_focused()
        expect(page.locator(".result.chosen")).to_have_count(1)
        page.keyboard.press("k")
        page.keyboard.press("k")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.get_by_role("searchbox").press("ArrowDown")
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.get_by_role("searchbox").press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/player\?"))
        query = query_of(page)
        assert query["q"] == [endpoint.word]
        assert query["person"]
        assert int(query["at"][0]) > 1_700_000_000_000


def test_filters_narrow_and_are_in_the_address(console: Console, endpoint: OpenEndpoint) -> None:
    """By kind with its count, by time; a link to it shows the same, and all can be cleared."""
    with console.visit("officer") as visit:
        page = visit.go(f"/search?q={endpoint.word}")
        expect(page.locator(".result")).to_have_count(2)
        page.locator("summary", has_text="Kind").click()
        page.get_by_role("group", name="Kind").get_by_label("Email").check()
        expect(page.locator(".result")).to_have_count(1)
        assert query_of(page)["stream"] == ["email"]
        page.keyboard.press("Escape")
        expect(page.get_by_role("group", name="Kind")).to_be_hidden()
        page.get_by_label("Time").select_option("24h")
        expect(page.locator(".result")).to_have_count(1)
        page.reload()
        expect(page.locator(".result")).to_have_count(1)
        assert query_of(page)["when"] == ["24h"]
        page.get_by_role("button", name="Clear filters").click()
        expect(page.locator(".result")).to_have_count(2)
        page.locator("summary", has_text="Computer").click()
        page.get_by_label("Find by name: Computer").fill("no-such-computer")
        page.get_by_label("Find by name: Computer").press("Enter")
        expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()


def test_an_older_answer_never_replaces_a_newer_one(console: Console, endpoint: OpenEndpoint) -> None:
    """What is asked again is not waited for: the older request is broken off."""
    with console.visit("officer") as visit:
        page = visit.go("/search")
        broken: list[str] = []
        page.on("requestfailed", lambda request: broken.append(request.url))
        held: list[Route] = []  # as a busy server holds it
        page.route("**/api/v1/search?q=nothing*", lambda route: held.append(route))  # noqa: PLW0108 - no built-in
        page.get_by_role("searchbox").fill("nothing")
        page.wait_for_timeout(400)
        page.get_by_role("searchbox").fill(endpoint.word)
        expect(page.locator(".result")).to_have_count(2)
        assert held
        assert any("q=nothing" in url for url in broken)


def test_text_is_never_markup(console: Console, endpoint: OpenEndpoint) -> None:
    """What a recorded person wrote is shown as it stands, in the list and beside it."""
    with console.visit("officer") as visit:
        page = visit.go(f"/search?q={endpoint.only_mail}")
        expect(page.locator(".result .main-link")).to_contain_text("<img src=x onerror=alert(1)>")
        expect(page.locator(".preview .whole")).to_contain_text(f"<b>{endpoint.only_mail}</b> & more")
        assert page.locator(".result b, .result img[src=x], .preview b").count() == 0


def test_searches_are_kept_renamed_shared_and_deleted(console: Console, endpoint: OpenEndpoint) -> None:
    """With all that belongs to them; another officer sees what is shared, and cannot change it."""
    name = f"case {uuid4().hex[:8]}"
    with console.visit("officer") as visit:
        page = visit.go(f"/search?q={endpoint.word}&stream=email")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Saved searches").click()
        page.get_by_role("button", name=f"Change {name}").click()
        page.get_by_label("Name", exact=True).fill(f"{name} again")
        page.get_by_label("Share it with everybody who may search").check()
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog").get_by_text("shared", exact=True).first).to_be_visible()
    with console.visit("officer", name="colleague") as visit:
        page = visit.go("/search")
        page.get_by_role("button", name="Saved searches").click()
        expect(page.get_by_role("button", name=f"Delete {name} again")).to_have_count(0)
        page.get_by_role("link", name=f"{name} again").click()
        expect(page.locator(".result")).to_have_count(1)
        assert query_of(page) == {"q": [endpoint.word], "stream": ["email"]}
    with console.visit("officer") as visit:
        page = visit.go("/search")
        page.get_by_role("button", name="Saved searches").click()
        page.get_by_role("button", name=f"Delete {name} again").click()
        expect(page.get_by_role("link", name=f"{name} again")).to_have_count(0)


def test_who_may_see_nobody_finds_nothing(console: Console, endpoint: OpenEndpoint) -> None:
    """An officer without teams."""
    with console.visit("officer", "--unlock-on-server", name="teamless") as visit:
        page = visit.go(f"/search?q={endpoint.word}")
        expect(page.get_by_role("heading", name="Nothing was found")).to_be_visible()


def test_a_store_that_is_away_is_told_and_asked_again(console: Console, endpoint: OpenEndpoint) -> None:
    """In the server's words, with a way to try again."""
    with console.visit("officer") as visit:
        page = visit.page
        body = {"error": "unavailable", "message": "Elasticsearch is away: try again in a moment"}
        page.route("**/api/v1/search?*", lambda route: route.fulfill(status=503, json=body))
        visit.go(f"/search?q={endpoint.word}")
        expect(page.get_by_text("Elasticsearch is away")).to_be_visible()
        page.unroute("**/api/v1/search?*")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".result")).to_have_count(2)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_it_is_accessible_and_fits(
    console: Console, endpoint: OpenEndpoint, size: tuple[int, int], theme: Theme
) -> None:
    """Empty, with results, with filters open, and the dialog that unlocks; wide and narrow, light and dark."""
    with console.visit("officer", size=size, theme=theme) as visit:
        page = visit.go("/search")
        visit.check_accessible()
        page.get_by_role("searchbox").fill(endpoint.word)
        expect(page.locator(".result .frame img")).to_be_visible()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"search-{size[0]}-{theme}")
        page.locator("summary", has_text="Kind").click()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"search-filter-{size[0]}-{theme}")
        page.keyboard.press("Escape")
        if size == NARROW:
            page.get_by_role("button", name="Menu").click()
        page.get_by_role("button", name="Unlock sealed recordings").click()
        expect(page.get_by_label("Purpose")).to_be_visible()
        visit.check_accessible()
        visit.shot(f"unlock-{size[0]}-{theme}")
