"""What a recorded person sees: what is recorded of them, and everybody who looked."""

from __future__ import annotations

import pytest

from tests.console.harness import NARROW, WIDE, Console

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_subject_begins_with_what_is_recorded_of_them(console: Console, size: tuple[int, int]) -> None:
    """In plain words, accessible, and without sideways scrolling; nothing of the console that is not theirs."""
    with console.visit("subject", "--person", "root", size=size, theme="dark" if size == NARROW else "light") as visit:
        page = visit.go("/")
        page.wait_for_url("**/own")
        page.get_by_role("heading", name="Who looked at it").wait_for()
        page.get_by_text("Pictures of your screens").wait_for()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"own-{size[0]}")
        links = page.locator("nav a.item")
        shown = {links.nth(at).get_attribute("href") for at in range(links.count())}
        assert shown == {"/own", "/account", "/player"}


def test_who_looks_is_seen_by_the_person(console: Console) -> None:
    """With the reason that they gave."""
    reason = "checking that a look is seen"
    with console.visit("officer") as officer:
        people = officer.page.request.get(f"{console.base}/api/v1/recordings/people?query=root").json()["people"]
        agents = [agent["agent_id"] for person in people for agent in person["agents"]]
        if not agents:
            pytest.skip("this stack has no recorded person called root")
        query = f"agent={agents[0]}&stream=email&since_ms=1&until_ms=2&reason={reason.replace(' ', '%20')}"
        assert officer.page.request.get(f"{console.base}/api/v1/envelopes?{query}").ok
    with console.visit("subject", "--person", "root") as visit:
        page = visit.go("/own")
        for _ in range(20):
            if page.get_by_text(reason).count():
                break
            page.wait_for_timeout(500)
            page.reload()
            page.get_by_role("heading", name="Who looked at it").wait_for()
        page.get_by_role("table", name="Who looked").get_by_text(reason).first.wait_for()
        page.get_by_text("Took sealed recordings of your emails").first.wait_for()


def test_an_account_that_is_not_recorded_is_told_so(console: Console) -> None:
    """And what to do about it."""
    with console.visit("auditor") as visit:
        page = visit.go("/own")
        page.get_by_role("heading", name="Nothing is known to be recorded of you").wait_for()
        visit.check_accessible()
