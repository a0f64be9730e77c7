"""Processors, replays and dead letters as operators use them: each change says first what it means."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from infra.kafka import producer, topic_name
from infra.settings import Settings
from tests.console.harness import NARROW, WIDE, Console, Theme, Visit

pytestmark = [pytest.mark.live, pytest.mark.slow]

TABS = ("processors", "replays", "dead-letters")


def open_tab(visit: Visit, tab: str = "processors") -> None:
    visit.page.goto(f"{visit.base}/processors?tab={tab}")
    visit.page.get_by_role("tab", selected=True).wait_for()
    ready = {"processors": "Workers and sinks", "replays": "", "dead-letters": ""}[tab]
    if ready:
        visit.page.get_by_role("heading", name=ready).wait_for()
    else:
        visit.page.get_by_text("Loading").wait_for(state="hidden")


async def spoil(settings: Settings) -> None:
    """A record that nobody can process."""
    sending = producer(settings)
    await sending.start()
    await sending.send_and_wait(topic_name(settings, "envelopes.email"), b"no envelope", key=str(uuid4()).encode())
    await sending.stop()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_each_tab_is_readable_and_accessible(console: Console, size: tuple[int, int], theme: Theme) -> None:
    """All three, with what there is on the stack."""
    with console.visit("operator", size=size, theme=theme) as visit:
        for tab in TABS:
            open_tab(visit, tab)
            visit.check_accessible()
            visit.check_fits()
            visit.shot(f"processors-{tab}-{size[0]}-{theme}")


def test_every_processor_is_shown(console: Console) -> None:
    """With its state; what it reads is one press away."""
    with console.visit("operator") as visit:
        open_tab(visit)
        for name in ("mine", "activity, gaps", "nodes", "archive", "postgresql", "elasticsearch"):
            visit.page.get_by_role("article", name=name, exact=True).wait_for()
        card = visit.page.get_by_role("article", name="mine", exact=True)
        card.get_by_text("Topics and readers").click()
        expect(card.get_by_text("envelopes.screen")).to_be_visible()


def test_stopping_says_what_it_means_and_can_be_left(console: Console) -> None:
    """Nothing happens before it is confirmed; the stores cannot be stopped at all."""
    with console.visit("operator") as visit:
        open_tab(visit)
        page = visit.page
        stop = page.get_by_role("button", name="Stop sinks-elasticsearch")
        if not stop.count():
            pytest.skip("the stack's supervisor tells nothing of its components")
        assert page.get_by_role("button", name="Stop kafka").count() == 0
        stop.first.click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text("waits in Kafka for up to 7 days")).to_be_visible()
        expect(dialog.get_by_text("It stays stopped")).to_be_visible()
        visit.check_accessible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(stop.first).to_be_visible()


def test_a_replay_is_counted_before_it_begins_and_goes_on_without_the_page(console: Console) -> None:
    """Its amount is told, its purpose asked; after the page was left and opened again it is there."""
    with console.visit("operator") as visit:
        open_tab(visit, "replays")
        page = visit.page
        page.get_by_role("button", name="New replay").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Stream").select_option("envelopes.activity")
        dialog.get_by_text("envelopes,").wait_for()
        expect(dialog.get_by_role("button", name="Begin")).to_be_disabled()
        dialog.get_by_label("Why").fill("a test of the console")
        visit.check_accessible()
        visit.shot("replay-form")
        dialog.get_by_role("button", name="Begin").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        open_tab(visit)
        open_tab(visit, "replays")
        run = page.locator("li.run").filter(has_text="a test of the console").first
        run.get_by_text("done", exact=True).wait_for(timeout=120_000)


def test_what_is_wrong_with_a_range_is_told_at_once(console: Console) -> None:
    """In words, beside what can be pressed."""
    with console.visit("operator") as visit:
        open_tab(visit, "replays")
        page = visit.page
        page.get_by_role("button", name="New replay").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Range by").select_option("offset")
        dialog.get_by_label("Offsets").fill("nonsense")
        dialog.get_by_text("is not PARTITION:FIRST").wait_for()
        dialog.get_by_label("Offsets").fill("0:99999999")
        dialog.get_by_text("There is nothing in that range").wait_for()
        dialog.get_by_label("From").select_option("archive")
        expect(dialog.get_by_label("Received from")).to_have_count(0)
        expect(dialog.get_by_label("Captured from")).to_be_visible()


def test_a_dead_letter_is_looked_at_and_given_up(console: Console, stack: Settings) -> None:
    """What it holds is not shown to an operator; giving up wants a reason."""
    with ThreadPoolExecutor(1) as aside:  # the browser has this thread's event loop
        aside.submit(lambda: asyncio.run(spoil(stack))).result()
    with console.visit("operator") as visit:
        page = visit.page
        open_tab(visit, "dead-letters")
        for _ in range(60):
            if page.get_by_role("button", name="envelopes.email-").count():
                break
            page.wait_for_timeout(1000)
            open_tab(visit, "dead-letters")
        name = page.get_by_role("button", name="envelopes.email-").first.inner_text()
        letter = page.get_by_role("button", name=name, exact=True)
        letter.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("is not shown to your account").wait_for()
        visit.check_accessible()
        visit.shot("dead-letter")
        dialog.get_by_role("button", name="Give up").click()
        confirm = page.get_by_role("dialog").get_by_role("button", name="Give up")
        expect(confirm).to_be_disabled()
        page.get_by_role("dialog").get_by_label("Why").fill("sent by a test")
        confirm.click()
        page.get_by_role("dialog").wait_for(state="hidden")
        letter.wait_for(state="hidden")
        page.get_by_label("State").select_option("settled")
        page.get_by_role("row").filter(has=letter).get_by_text("dropped by").wait_for()


def test_who_only_sees_changes_nothing(console: Console) -> None:
    """An officer has no such page."""
    with console.visit("officer") as visit:
        visit.page.goto(f"{visit.base}/processors")
        visit.page.get_by_role("heading", name="There is no such page").wait_for()
