"""The audit in a browser: found by filters that stand in the address, looked at in detail, downloaded, checked."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.harness import NARROW, WIDE, Console

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_audit_is_read(console: Console, size: tuple[int, int]) -> None:
    """Accessible, dark and light, wide and narrow; an entry opens with all that was written."""
    with console.visit("auditor", size=size, theme="dark" if size == NARROW else "light") as visit:
        page = visit.go("/audit")
        page.get_by_role("table", name="Audit entries").wait_for()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"audit-{size[0]}")
        page.get_by_role("button", name="Details of").first.click()
        page.get_by_role("dialog").get_by_text("When").wait_for()
        visit.check_accessible()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")


def test_filters_stand_in_the_address(console: Console) -> None:
    """So that what one sees can be sent to somebody; clearing shows all again."""
    name = console.account("auditor")
    with console.visit("auditor") as visit:
        page = visit.go("/audit")
        page.get_by_label("Who").fill(f"{name}@console")
        page.get_by_label("Did").select_option("sign_in")
        page.wait_for_url("**action=sign_in**")
        page.get_by_role("button", name="Apply").click()
        page.wait_for_url("**actor=**")
        page.get_by_role("table", name="Audit entries").wait_for()
        actors = page.locator("table tbody td:nth-child(2)")
        expect(actors.first).to_have_text(f"{name}@console")
        expect(actors.filter(has_not_text=f"{name}@console")).to_have_count(0)
        page.reload()
        expect(page.get_by_label("Who")).to_have_value(f"{name}@console")
        page.get_by_role("button", name="Clear").click()
        page.wait_for_url("**/audit")


def test_it_is_checked_and_downloaded(console: Console) -> None:
    """The verdict says how much was checked; the file is named by its time."""
    with console.visit("auditor") as visit:
        page = visit.go("/audit")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download CSV").click()
        assert waiting.value.suggested_filename.startswith("audit-")
        page.get_by_role("button", name="Check that it is whole").click()
        page.get_by_role("heading", name="The audit is whole").wait_for(timeout=90_000)
        assert ":" in page.get_by_role("textbox", name="Checkpoint").input_value()
