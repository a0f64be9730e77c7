"""Similar screens as one search result: what the page makes of answers that hold many of them, page after page."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.harness import NARROW, WIDE, Console, Theme, Visit

pytestmark = [pytest.mark.live, pytest.mark.slow]

expect.set_options(timeout=30_000)

WORD = "ledger"
BEGAN_MS = 1_795_794_000_000
MINUTE_MS = 60_000
FEW = 15
"""On one page."""
LINE = f"The {WORD} of Rossi is not balanced"
LONG_LINE = (
    "Minutes of the board, Thursday: nobody has told the auditors yet why the second"
    f" account was closed in March, and that the {WORD} is not balanced"
)
"""As long as the search store makes a piece of a text, the word at its end."""


def make_hit(number: int, line: str, at_ms: int) -> dict[str, Any]:
    """A screen on which the word stands in that line."""
    before, after = line.split(WORD)
    pieces = [{"text": before, "hit": False}, {"text": WORD, "hit": True}, {"text": after, "hit": False}]
    names = ("session", "sender", "recipients", "attachments")
    return {
        "id": f"a-b-{number}-0", "index": "i", "score": 1.0, "time_ms": at_ms, "until_ms": at_ms, "agent_id": "a",
        "person": "ann", "computer": "desk", "stream": "screen", "kind": "screen", "application": "Writer",
        "title": [{"text": "report.odt", "hit": False}], "fragments": [pieces], "display": 0, "frame_at_ms": at_ms,
        **{name: [] if name in {"recipients", "attachments"} else "" for name in names},
    }  # fmt: skip


def make_hits(stood: int, line: str) -> list[dict[str, Any]]:
    """The newest first."""
    hits = []
    for number in range(stood, 0, -1):
        at_ms = BEGAN_MS + number * MINUTE_MS
        hits.append(make_hit(number, line, at_ms))
        if number % 10 == 0:
            hits.append(make_hit(1000 + number, f"{WORD} number {number}", at_ms - 1))
    return hits


def open_search(visit: Visit, stood: int, line: str = LINE) -> tuple[Page, list[dict[str, list[str]]]]:
    """The page while the server answers, page by page; what it was asked.

    So many screens have the same line, one a minute; beside each tenth is one of something else.
    """
    hits, asked = make_hits(stood, line), list[dict[str, list[str]]]()

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        asked.append(query)
        begin, limit = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        until = begin + limit
        told = {
            "total": len(hits), "at_least": False, "took_ms": 3, "hits": hits[begin:until], "facets": None,
            "after": str(until) if until < len(hits) else None, "end_to_end": 0,
        }  # fmt: skip
        route.fulfill(json=told)

    gone = {"error": "nothing_found", "message": "there is none"}
    visit.page.route("**/api/v1/search?*", answer)
    visit.page.route("**/api/v1/search/documents/**", lambda route: route.fulfill(status=404, json=gone))
    visit.page.goto(f"{visit.base}/search?q={WORD}&order=newest")
    return visit.page, asked


def test_screens_that_are_alike_are_one_result(console: Console) -> None:
    """However many pages they fill; how many there are in all is told, and none is missing or shown twice."""
    stood, others = 130, 13
    with console.visit("officer") as visit:
        page, asked = open_search(visit, stood)
        summary = page.locator(".summary")
        expect(summary).to_have_text(re.compile(r"^143 results in 3 ms, .*; the first \d+ shown as \d+, similar"))
        page.get_by_role("button", name="More", exact=True).scroll_into_view_if_needed()
        expect(summary).to_have_text(re.compile(r"^143 results .*; 143 shown as 14, similar screens together$"))
        expect(page.locator(".results > .result")).to_have_count(1 + others)
        assert len(asked) <= 4  # pages are longer where most of them is one result
        page.get_by_role("button", name=re.compile(f"^and {stood - 1} more since ")).click()
        moments = page.get_by_role("list", name="Similar screens").get_by_role("link")
        expect(moments).to_have_count(stood - 1)
        links = moments.evaluate_all("links => links.map(link => new URL(link.href).searchParams.get('at'))")
        assert links == [str(BEGAN_MS + number * MINUTE_MS) for number in range(1, stood)]


def test_keys_open_them_and_move_among_them(console: Console) -> None:
    """Right and left fold; the arrows go through what is open; Enter plays that moment, and back leads there."""
    with console.visit("officer", may_fail=True) as visit:
        page, _ = open_search(visit, FEW)
        expect(page.get_by_role("button", name=re.compile(f"^and {FEW - 1} more"))).to_be_visible()
        page.get_by_role("searchbox").press("ArrowDown")
        first = page.locator(".results > .result > .told > .main-link").first
        expect(first).to_be_focused()
        page.keyboard.press("ArrowRight")
        moments = page.get_by_role("list", name="Similar screens").get_by_role("link")
        expect(moments).to_have_count(FEW - 1)
        page.keyboard.press("j")
        page.keyboard.press("ArrowDown")
        expect(moments.nth(1)).to_be_focused()
        expect(page.locator(".alike .chosen")).to_have_count(1)
        page.keyboard.press("ArrowLeft")
        expect(first).to_be_focused()
        expect(moments).to_have_count(0)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(moments.nth(1)).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(rf"/player\?.*at={BEGAN_MS + 2 * MINUTE_MS}"))
        page.go_back()
        expect(moments.nth(1)).to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_moments_are_accessible_and_fit(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """With the moments shown: no words are cut, and those of moments have the whole width, below the picture."""
    with console.visit("officer", size=size, theme=theme) as visit:
        page, _ = open_search(visit, FEW, LONG_LINE)
        page.get_by_role("button", name=re.compile("^and .* more")).click()
        moments = page.get_by_role("list", name="Similar screens")
        expect(moments).to_be_visible()
        shown = page.locator(".result", has=moments).locator(".fragment").all()
        assert len(shown) == FEW
        for words in shown:
            assert words.evaluate("one => one.scrollHeight <= one.clientHeight")
        card, words = (
            one.bounding_box() for one in (page.locator(".result").first, moments.locator(".fragment").first)
        )
        assert card
        assert words
        assert words["width"] > 0.7 * card["width"]
        visit.check_accessible()
        visit.check_fits()
        moments.scroll_into_view_if_needed()
        visit.shot(f"search-alike-{size[0]}-{theme}")
