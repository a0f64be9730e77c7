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


def make_hits(stood: int) -> list[dict[str, Any]]:
    """The newest first."""
    hits = []
    for number in range(stood, 0, -1):
        at_ms = BEGAN_MS + number * MINUTE_MS
        hits.append(make_hit(number, f"The {WORD} of Rossi is not balanced", at_ms))
        if number % 10 == 0:
            hits.append(make_hit(1000 + number, f"{WORD} number {number}", at_ms - 1))
    return hits


def open_search(visit: Visit, stood: int) -> tuple[Page, list[dict[str, list[str]]]]:
    """The page while the server answers, page by page; what it was asked.

    So many screens have the same line, one a minute; beside each tenth is one of something else.
    """
    hits, asked = make_hits(stood), list[dict[str, list[str]]]()

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


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (NARROW, "dark")])
def test_it_is_accessible_and_fits(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """With the moments shown."""
    with console.visit("officer", size=size, theme=theme) as visit:
        page, _ = open_search(visit, FEW)
        page.get_by_role("button", name=re.compile("^and .* more")).click()
        expect(page.get_by_role("list", name="Similar screens")).to_be_visible()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"search-alike-{size[0]}-{theme}")
