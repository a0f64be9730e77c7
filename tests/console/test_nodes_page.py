"""Nodes: as they are and as things happen; draining says what will happen before it does."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.harness import NARROW, WIDE, Console, Theme

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_nodes_and_what_happens_are_seen(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """Every view, in both themes, wide and narrow."""
    with console.visit("operator", size=size, theme=theme) as visit:
        page = visit.go("/nodes")
        page.get_by_text(f"{console.settings.node.id}/gateway", exact=True).first.wait_for()
        for tab, shown in (
            ("Nodes", "table"),
            ("What happens", "list"),
            ("Approved addresses", "table"),
            ("Update", "heading"),
        ):
            page.get_by_role("tab", name=tab).click()
            page.locator("main").get_by_role(shown).first.wait_for()  # type: ignore[arg-type]
            visit.check_accessible()
            visit.check_fits()
            visit.shot(f"nodes-{tab.split()[-1].lower()}-{size[0]}-{theme}")


def test_a_gateway_is_drained_and_taken_back(console: Console) -> None:
    """The confirmation says what becomes of its agents; the state follows while one looks, and says who wished it."""
    gateway = f"{console.settings.node.id}/gateway"
    with console.visit("operator") as visit:
        page = visit.go("/nodes")
        row = page.get_by_role("row").filter(has=page.get_by_text(gateway, exact=True))
        row.get_by_text("ready", exact=True).wait_for()
        drain = page.get_by_role("button", name=f"Drain {gateway}", exact=True)
        drain.click()
        page.get_by_text("sent away").wait_for()
        page.keyboard.press("Escape")
        expect(row.get_by_text("ready", exact=True)).to_be_visible()
        try:
            drain.click()
            page.get_by_label("Why (goes into the audit)").fill("a test")
            visit.check_accessible()
            page.get_by_role("button", name="Drain it").click()
            row.get_by_text("draining", exact=True).wait_for(timeout=60_000)
            row.get_by_text("drained by operator").wait_for()
        finally:
            page.get_by_role("button", name=f"Take back {gateway}", exact=True).click()
            page.get_by_role("button", name="Take it back").click()
            row.get_by_text("ready", exact=True).wait_for(timeout=60_000)


def test_what_happens_can_be_filtered_and_held(console: Console) -> None:
    """The filter stands in the address; what comes while held is counted and shown afterwards."""
    with console.visit("operator") as visit:
        page = visit.go("/nodes?tab=log")
        page.get_by_text("live", exact=True).wait_for()
        page.get_by_label("Of").select_option("node")
        page.get_by_label("Search").fill("gateway joined")
        page.wait_for_url("**q=gateway*joined*")
        items = page.get_by_role("list", name="What happened, the newest first").get_by_role("listitem")
        expect(items.filter(has_not_text="joined")).to_have_count(0)
        expect(items.first).to_contain_text("joined")
        page.get_by_role("button", name="Hold").click()
        page.get_by_text("held", exact=True).wait_for()
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("live", exact=True).wait_for()


def test_who_may_not_change_sees_no_buttons(console: Console) -> None:
    """An officer does not see nodes at all."""
    with console.visit("officer") as visit:
        page = visit.go("/nodes")
        page.get_by_role("heading", name="There is no such page").wait_for()


def test_an_address_is_approved_and_removed(console: Console) -> None:
    """In the table of all nodes; what the settings approve cannot be removed here."""
    with console.visit("operator") as visit:
        page = visit.go("/nodes?tab=approved")
        page.get_by_label("Address or network").fill("203.0.113.7")
        page.get_by_label("What it is").fill("a test")
        page.get_by_role("button", name="Approve", exact=True).click()
        page.get_by_role("button", name="Remove 203.0.113.7/32").click()
        page.get_by_role("cell", name="203.0.113.7/32", exact=True).wait_for(state="detached")
        assert page.get_by_role("button", name="Remove 127.0.0.1/32").count() == 0
