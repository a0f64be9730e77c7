"""Rules and alerts in the browser: what a rule would have matched while it is typed, and what it raises afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from infra.settings import Settings
from tests.console.harness import NARROW, PATIENCE_MS, WIDE, Console, Theme
from tests.console.recorded import Recorded, recorded_people
from tests.live.operator import psql, until

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(scope="module")
def recorded(stack: Settings) -> Iterator[Recorded]:
    with recorded_people(stack) as people:
        people.publish(people.ann, f"The tender {people.run} is confidential until May", "Mail", 2)
        people.publish(people.bob, f"tender {people.run}: nothing to see", "Editor", 1)
        yield people


def preview_of(page: Page) -> Page:
    return page.get_by_role("region", name="What it would have matched")  # type: ignore[return-value]  # it has what is used


def test_a_rule_shows_its_last_week_while_it_is_typed_and_then_raises_alerts(
    console: Console, recorded: Recorded
) -> None:
    """From words to a preview, from the preview to a rule in force, from a document to an alert that is closed."""
    name = f"Tender {recorded.run}"
    with console.visit("officer") as visit:
        page = visit.go("/rules?rule=new")
        preview = preview_of(page)
        expect(preview).to_contain_text("Set a condition")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Words or phrases").fill(f"tender {recorded.run}")
        expect(preview.get_by_role("status")).to_have_text("2 alerts, 2 people", timeout=PATIENCE_MS)
        expect(preview.locator("mark").first).to_have_text("tender")
        page.get_by_label("Words or phrases").fill(f'tender {recorded.run}\n"confidential until" {recorded.run}')
        page.get_by_label("Applications").fill("mail")
        expect(preview.get_by_role("status")).to_have_text("1 alert, 1 person", timeout=PATIENCE_MS)
        expect(preview.get_by_role("link", name=f"Watch {recorded.ann}")).to_be_visible()
        visit.check_accessible()
        visit.shot("rules-editor")
        page.get_by_label("Severity").select_option("high")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("link", name=name)).to_be_visible()
        visit.check_accessible()
        visit.shot("rules-list")
        await_in_force(recorded)
        recorded.publish(recorded.ann, f"A new tender {recorded.run} by mail", "Mail")
        page.goto(f"{console.base}/alerts?person={recorded.ann}")
        card = page.get_by_role("article", name=f"{name}, {recorded.ann}")
        expect(card).to_have_count(1, timeout=PATIENCE_MS)
        card.get_by_role("button", name="Details").click()
        expect(card.locator("mark").first).to_have_text("tender", timeout=PATIENCE_MS)
        visit.check_accessible()
        visit.shot("alerts")
        card.get_by_label("Note").fill("agreed with the buyer")
        card.get_by_role("button", name="Close").click()
        expect(card).to_have_count(0)
        page.get_by_role("tab", name="Closed").click()
        expect(card).to_contain_text("closed by officer")
        expect(card).to_contain_text("agreed with the buyer")


def await_in_force(recorded: Recorded) -> None:
    """Wait until the worker has read the rule: what another person does raises an alert by then."""
    raised = f"select 1 from alert where person = '{recorded.bob}' and rule_name = 'Tender {recorded.run}'"

    def is_raised() -> bool:
        recorded.publish(recorded.bob, f"Another tender {recorded.run} by mail", "Mail")
        return bool(psql(recorded.settings, raised))

    until("an alert", is_raised, within_s=90, every_s=3)


def test_a_rule_that_cannot_be_is_told_while_it_is_typed(console: Console) -> None:
    """In words, beside the form; nothing can be saved without a condition."""
    with console.visit("officer") as visit:
        page = visit.go("/rules?rule=new")
        page.get_by_label("Name").fill("nothing")
        expect(page.get_by_role("button", name="Save")).to_be_disabled()
        page.get_by_label("Words or phrases").fill("??")
        expect(preview_of(page)).to_contain_text("there is no word in", timeout=PATIENCE_MS)


def test_a_volume_counts_what_is_recorded(console: Console, recorded: Recorded) -> None:
    """Minutes in an application; fields that make no sense for it go away, and come back."""
    with console.visit("officer") as visit:
        page = visit.go("/rules?rule=new")
        page.get_by_label("An alert for").select_option("active_minutes")
        expect(page.get_by_label("Words or phrases")).to_have_count(0)
        page.get_by_label("Applications").fill("editor")
        page.get_by_label("People").fill(f"*-{recorded.run}")
        page.get_by_label("More than").fill("20")
        preview = preview_of(page)
        expect(preview).to_contain_text("22 minutes active by then", timeout=PATIENCE_MS)
        visit.check_accessible()
        visit.shot("rules-volume")
        page.get_by_label("More than").fill("30")
        expect(preview.get_by_role("status")).to_have_text("0 alerts", timeout=PATIENCE_MS)
        page.get_by_label("An alert for").select_option("")
        expect(page.get_by_label("Words or phrases")).to_be_visible()


def test_what_somebody_else_changed_is_not_overwritten(console: Console, recorded: Recorded) -> None:
    """The second one to save is told, and can look again."""
    name = f"Shared {recorded.run}"
    with console.visit("officer") as visit:
        api = f"{console.base}/api/v1/rules"
        made = visit.page.request.post(api, data={"name": name, "conditions": {"persons": [recorded.bob]}}).json()
        page = visit.go(f"/rules?rule={made['rule_id']}")
        expect(page.get_by_label("Name")).to_have_value(name)
        wish = {"name": name, "severity": "low", "conditions": {"persons": [recorded.ann]}, "version": 1}
        assert page.request.put(f"{api}/{made['rule_id']}", data=wish).ok
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("changed this rule meanwhile")
        page.reload()
        expect(page.get_by_label("People")).to_have_value(recorded.ann)
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("link", name=name)).to_have_count(0)


def test_a_rule_of_a_team_concerns_its_people_alone(console: Console, recorded: Recorded) -> None:
    """An officer with a scope cannot reach beyond it; one who sees all teams sees whom it concerns, and chooses."""
    name = f"Of a team {recorded.run}"
    with console.visit("officer", "--team", recorded.team, name=f"team-{recorded.run}") as visit:
        page = visit.go("/rules?rule=new")
        concerns = page.get_by_role("region", name="Whom it concerns")
        expect(concerns.get_by_role("checkbox", name=recorded.team)).to_be_checked()
        expect(concerns.get_by_label("Everybody")).to_have_count(0)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Words or phrases").fill(f'"nothing to see" {recorded.run}')
        expect(preview_of(page).get_by_role("status")).to_have_text("1 alert, 1 person", timeout=PATIENCE_MS)
        concerns.get_by_role("checkbox", name=recorded.team).uncheck()
        expect(preview_of(page)).to_contain_text("Choose whom it concerns")
        expect(page.get_by_role("button", name="Save")).to_be_disabled()
        concerns.get_by_role("checkbox", name=recorded.team).check()
        visit.check_accessible()
        page.get_by_role("button", name="Save").click()
        card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=name))
        expect(card).to_contain_text(f"concerns the team {recorded.team}")
        visit.shot("rules-of-a-team")
    with console.visit("officer") as visit:
        page = visit.go("/rules")
        card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=name))
        expect(card).to_contain_text(f"concerns the team {recorded.team}")
        page.get_by_role("link", name=name).click()
        concerns = page.get_by_role("region", name="Whom it concerns")
        expect(concerns.get_by_label("Only some teams")).to_be_checked()
        expect(concerns.get_by_role("checkbox", name=recorded.team)).to_be_checked()
        visit.check_accessible()
        visit.check_fits()
        visit.shot("rules-concerns")
        concerns.get_by_label("Everybody").check()
        page.get_by_role("button", name="Save").click()
        expect(card).to_contain_text("concerns everybody")
    with console.visit("officer", "--team", recorded.team, name=f"team-{recorded.run}") as visit:
        expect(visit.go("/rules").get_by_role("link", name=name)).to_have_count(0)


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_they_fit_and_can_be_read(console: Console, recorded: Recorded, size: tuple[int, int], theme: Theme) -> None:
    """On a phone and on a desk, in both themes, with WCAG 2.2 AA."""
    with console.visit("officer", size=size, theme=theme) as visit:
        for path in ("/rules", "/alerts", "/alerts?state=all", "/rules?rule=new"):
            page = visit.go(path)
            if "new" in path:
                page.get_by_label("Words or phrases").fill(f"tender {recorded.run}")
                page.get_by_role("button", name="Add a time").click()
                page.get_by_role("button", name="Saturday").click()
                page.get_by_role("button", name="Sunday").click()
                expect(preview_of(page).get_by_role("status")).to_be_visible(timeout=PATIENCE_MS)
            visit.check_fits()
            visit.check_accessible()
            visit.shot(f"rules{path.replace('/', '-').replace('?', '-').replace('=', '-')}-{size[0]}-{theme}")


def test_who_sees_no_content_has_neither_page(console: Console) -> None:
    """An auditor sees who did what, not what people did."""
    with console.visit("auditor") as visit:
        for path in ("/rules", "/alerts"):
            expect(visit.go(path).get_by_role("heading", name="There is no such page")).to_be_visible()
        assert visit.page.request.get(f"{console.base}/api/v1/rules").status == 403
