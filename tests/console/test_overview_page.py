"""The overview as people see it: live, telling when it is not, in both themes and on narrow screens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.harness import NARROW, WIDE, Console, Theme, Visit

pytestmark = [pytest.mark.live, pytest.mark.slow]


KEEP_SOURCES = """
globalThis.sources = [];
globalThis.EventSource = class extends EventSource {
  constructor(...given) {
    super(...given);
    sources.push(this);
  }
};
"""
"""Lets a test cut the stream of events: being offline does not end what is open."""


def show_picture(visit: Visit, **parts: Any) -> None:
    """Go there while the server tells its picture with these parts of it changed."""
    picture = visit.page.context.request.get(f"{visit.base}/api/v1/overview").json() | parts
    event = f"retry: 60000\nevent: overview\nid: 1\ndata: {json.dumps(picture)}\n\n"
    visit.page.route(
        "**/api/v1/overview/events", lambda route: route.fulfill(content_type="text/event-stream", body=event)
    )
    visit.page.goto(f"{visit.base}/overview")


def open_overview(visit: Visit) -> None:
    """Go there and wait for the first picture."""
    visit.page.goto(f"{visit.base}/overview")
    visit.page.get_by_role("region", name="Streams").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_it_is_readable_and_accessible(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """Tiles, streams, readers, nodes, storage, gaps and agents, without scrolling sideways."""
    with console.visit("operator", size=size, theme=theme) as visit:
        open_overview(visit)
        for title in ("Streams", "Readers of Kafka", "Nodes", "Storage", "Gaps, two weeks", "Agents that went away"):
            expect(visit.page.get_by_role("region", name=title)).to_have_count(1)
        expect(visit.page.get_by_text("Agents online")).to_be_visible()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"overview-{size[0]}-{theme}")


@pytest.mark.parametrize("role", ["administrator", "operator", "officer", "auditor"])
def test_it_is_the_first_page_of_who_may_see_it(console: Console, role: str) -> None:
    """And links go only where that role may go."""
    with console.visit(role) as visit:
        visit.page.goto(visit.base)
        visit.page.wait_for_url("**/overview")
        visit.page.get_by_role("region", name="Streams").wait_for()
        seen = int(role in ("administrator", "operator"))
        expect(visit.page.get_by_role("link", name="see why")).to_have_count(seen)


def test_it_changes_by_itself_and_says_when_it_does_not(console: Console) -> None:
    """Numbers come without asking; without the server they are called old, and come again with it."""
    with console.visit("operator", may_fail=True) as visit:
        page = visit.page
        page.add_init_script(KEEP_SOURCES)
        open_overview(visit)
        page.get_by_text("live", exact=True).wait_for()
        page.route("**/api/v1/overview**", lambda route: route.abort())
        page.evaluate("sources.forEach(source => source.close())")
        page.get_by_role("alert").filter(has_text="The connection to the server is lost").wait_for(timeout=30_000)
        expect(page.get_by_role("region", name="Streams")).to_be_visible()
        page.unroute("**/api/v1/overview**")
        page.get_by_text("live", exact=True).wait_for(timeout=30_000)
        expect(page.get_by_text("connection to the server is lost")).to_have_count(0)


def test_each_part_is_shown_as_soon_as_it_is_read(console: Console) -> None:
    """What is not read yet is being read, what is old says so, and nothing is called well before all was looked at."""
    parts = [
        {"part": "readers", "read_ms": None, "measuring": True},
        {"part": "arrivals", "read_ms": 1_000_000, "measuring": True},
        {"part": "tables", "read_ms": None, "measuring": True},
        {"part": "archive", "read_ms": 1_720_000, "measuring": False},
    ]
    unread = {"groups": [], "gaps": None, "dead_letters": None, "alerts": None, "problems": []}
    with console.visit("officer", may_fail=True) as visit:
        page = visit.page
        show_picture(visit, measured_ms=1_720_000, parts=parts, **unread)
        page.get_by_text("Agents online").wait_for()
        expect(page.get_by_text("Looking for what needs attention.")).to_be_visible()
        expect(page.get_by_role("region", name="Streams").get_by_role("status")).to_have_text("Reading")
        expect(page.get_by_role("region", name="Gaps, two weeks").get_by_role("status")).to_have_text("Reading")
        expect(page.locator(".tile", has_text="Records behind")).to_contain_text("not read yet")
        expect(page.locator(".tile", has_text="Data a second")).to_contain_text("12 min 00 s old")
        expect(page.get_by_role("region", name="Storage")).to_contain_text("Archive by stream")
        visit.check_accessible()
        visit.shot("overview-reading")


def test_a_gap_leads_to_its_moment(console: Console) -> None:
    """In the player, which says that nothing was recorded; beside the list of markers for what is no screen."""
    gap: dict[str, Any] = {"agent_id": "", "person": "ann", "computer": "desk", "reason": "capture_failed"}
    gap |= {"noticed_ms": 1_700_000_090_000, "from_ms": 1_700_000_000_000, "until_ms": 1_700_000_020_000}
    recent = [{**gap, "stream": "screen"}, {**gap, "stream": "email"}]
    gaps = {"last_day": 2, "days": [{"day": "2023-11-14", "count": 2}], "recent": recent}
    with console.visit("officer", may_fail=True) as visit:
        show_picture(visit, gaps=gaps)
        rows = visit.page.get_by_role("table", name="Newest gaps").get_by_role("row")
        expect(rows.nth(1)).to_contain_text("for 20 s")
        links = [rows.nth(row).get_by_role("link", name="ann on desk") for row in (1, 2)]
        at = "/player?person=ann&at=1700000000000"
        assert [link.get_attribute("href") for link in links] == [at, f"{at}&pane=markers"]


def test_whose_session_was_revoked_sees_nothing_more(console: Console) -> None:
    """The stream ends, and the page asks to sign in."""
    with console.visit("auditor", may_fail=True) as visit:
        open_overview(visit)
        visit.page.context.request.delete(f"{visit.base}/api/v1/session")
        visit.page.get_by_role("heading", name="Sign in").wait_for(timeout=45_000)
