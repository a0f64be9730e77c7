"""The page of reports, as an officer and an administrator see it: from a chart down to a moment in the player."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from pyarrow import parquet

from infra.settings import Settings
from tests.console.harness import NARROW, WIDE, Console, Theme
from tests.console.recorded import Recorded, recorded_people

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(scope="module")
def recorded(stack: Settings) -> Iterator[Recorded]:
    with recorded_people(stack) as people:
        yield people


def test_from_the_overview_to_a_moment_in_the_player(console: Console, recorded: Recorded) -> None:
    """Chart, applications, people, days, one day, and the link that plays it; each of them an address of its own."""
    with console.visit("officer") as visit:
        page = visit.go(f"/reports?team={recorded.team}")
        expect(page.get_by_role("img", name="Active and idle hours")).to_be_visible()
        expect(page.get_by_role("region", name="Applications")).to_contain_text("Editor")
        visit.check_accessible()
        visit.shot("reports-overview")
        page.get_by_role("tab", name="People").click()
        row = page.get_by_role("row").filter(has_text=recorded.ann)
        expect(row).to_contain_text("Editor (42 %)")
        visit.check_accessible()
        visit.shot("reports-people")
        row.get_by_role("link").click()
        days = page.get_by_role("table", name="Days")
        expect(days.get_by_role("row")).to_have_count(1 + len(recorded.shown))
        visit.shot("reports-days")
        days.get_by_role("link").first.click()
        expect(page.get_by_role("img", name="Active ")).to_be_visible()
        visit.check_accessible()
        visit.shot("reports-day")
        link = page.get_by_role("link", name=f"Watch {recorded.ann}").last
        asked = parse_qs(urlsplit(link.get_attribute("href") or "").query)
        assert asked["person"] == [recorded.ann]
        assert int(asked["at"][0]) % 60_000 == 0
        page.go_back()
        expect(days).to_be_visible()


def test_overtime_goes_by_the_hours_of_the_team(console: Console, recorded: Recorded) -> None:
    """An administrator gives the team hours; the people's overtime is another at once."""
    with console.visit("administrator") as visit:
        page = visit.go(f"/reports?view=people&team={recorded.team}")
        assert _cell(page, recorded.ann, "Overtime") != "0:00"
        assert _cell(page, recorded.bob, "Overtime") == "0:00"
        page.goto(f"{console.base}/reports?view=week")
        page.get_by_label("Give a team hours of its own").select_option(recorded.team)
        week = page.get_by_role("region", name=f"Working hours: {recorded.team}")
        expect(week.get_by_role("group")).to_have_count(5)
        visit.check_accessible()
        visit.shot("reports-week")
        for number in range(5):
            week.get_by_role("group").nth(number).get_by_label("To").fill("12:00")
        week.get_by_role("button", name="Save").click()
        expect(page.get_by_text(f"Working hours of {recorded.team} are changed")).to_be_visible()
        page.goto(f"{console.base}/reports?view=people&team={recorded.team}")
        assert _cell(page, recorded.bob, "Overtime") != "0:00"
        page.goto(f"{console.base}/reports?view=week")
        week.get_by_role("button", name="Use those of everybody else").click()
        expect(week).to_have_count(0)


def _cell(page: Page, person: str, title: str) -> str:
    row = page.get_by_role("row").filter(has_text=person)
    expect(row).to_have_count(1)
    return row.locator(f"td[data-label='{title}']").inner_text()


def test_a_report_is_a_file_with_what_the_page_shows(console: Console, recorded: Recorded) -> None:
    """CSV and Parquet of the view and its filters."""
    with console.visit("officer") as visit:
        page = visit.go(f"/reports?view=people&team={recorded.team}")
        expect(page.get_by_role("row").filter(has_text=recorded.bob)).to_be_visible()
        with page.expect_download() as waiting:
            page.get_by_role("button", name="CSV").click()
        content = waiting.value.path().read_text("utf-8")
        rows = list(csv.DictReader(io.StringIO(content, newline="")))
        assert [row["person"] for row in rows] == [recorded.ann, recorded.bob]
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Parquet").click()
        table = parquet.read_table(waiting.value.path())
        assert table.column("active_ms").to_pylist() == [int(row["active_ms"]) for row in rows]


def test_filters_are_in_the_address(console: Console, recorded: Recorded) -> None:
    """A chosen person and span of days are there again when the page is loaded anew."""
    with console.visit("officer") as visit:
        page = visit.go(f"/reports?team={recorded.team}")
        page.get_by_role("button", name="30 days").click()
        page.get_by_label("Person").fill(recorded.bob)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(f"since=.*person={recorded.bob}"))
        page.reload()
        expect(page.get_by_label("Person")).to_have_value(recorded.bob)
        expect(page.get_by_role("button", name="30 days")).to_have_attribute("aria-pressed", "true")
        page.get_by_label("Person").fill("nobody at all")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Nothing was recorded in this time")).to_be_visible()


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_it_fits_and_can_be_read(console: Console, recorded: Recorded, size: tuple[int, int], theme: Theme) -> None:
    """On a phone and on a desk, in both themes, with WCAG 2.2 AA."""
    with console.visit("officer", size=size, theme=theme) as visit:
        for view in ("overview", "people", "days", "applications", "hours", "week"):
            page = visit.go(f"/reports?view={view}&team={recorded.team}")
            expect(page.get_by_role("tabpanel").locator("table, svg, ul, canvas").first).to_be_visible()
            visit.check_fits()
            visit.check_accessible()
            visit.shot(f"reports-{view}-{size[0]}-{theme}")


def test_who_may_not_see_reports_has_no_page(console: Console) -> None:
    """An operator runs the installation and sees nobody's days."""
    with console.visit("operator") as visit:
        page = visit.go("/reports")
        expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
        assert page.request.get(f"{console.base}/api/v1/reports/choices").status == 403
