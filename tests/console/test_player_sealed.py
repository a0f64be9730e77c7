"""Watching what is sealed end to end: opened in the officer's page, and gone from it with the lock."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from infra.settings import Settings
from tests.console.harness import Console, zone_of_noon
from tests.console.sealed_endpoint import SealedEndpoint, sealed_endpoint
from tests.console.test_unlock_traffic import unlock
from tests.live.operator import until

pytestmark = [pytest.mark.live, pytest.mark.slow]

BACK_MS = 20 * 60_000
PICTURES = """() => [...document.querySelectorAll(".display canvas")].filter((canvas) => canvas.width > 300).length"""


@pytest.fixture(scope="module")
def endpoint(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedEndpoint]:
    """An endpoint that seals its streams to an officer's KEK."""
    with sealed_endpoint(stack, tmp_path_factory.mktemp("sealed")) as made:
        yield made


@pytest.fixture(scope="module")
def console(console: Console) -> Console:
    """Where no midnight is near: the player shows one day."""
    return replace(console, time_zone=zone_of_noon())


def open_end(page: Page, base: str, agent_id: str) -> None:
    """The player at the end of the agent's last terminal, which came after the mail."""
    person = getpass.getuser()

    def terminals() -> list[int]:
        now = int(time.time() * 1000)
        query = f"person={person}&since_ms={now - BACK_MS}&until_ms={now}"
        told = page.request.get(f"{base}/api/v1/recordings/timeline?{query}").json()
        sealed = [span for span in told["spans"] if span["end_to_end"] and span["agent_id"] == agent_id]
        return [span["until_ms"] for span in sealed if span["stream"] == "keystrokes"]

    end = max(until("the terminal on the timeline", terminals))
    page.goto(f"{base}/player?person={person}&at={end + 500}&pane=mail")


def test_what_is_sealed_opens_in_the_page_and_goes_with_the_lock(console: Console, endpoint: SealedEndpoint) -> None:
    """Before: that it is sealed. After: the mail, the terminal, the screen. With the lock: that it is sealed."""
    with console.visit("officer") as visit:
        page = visit.page
        open_end(page, visit.base, endpoint.agent.agent_id)
        expect(page.locator(".mails")).to_contain_text("Sealed end to end")
        visit.shot("player-sealed")
        visit.check_accessible()
        unlock(page, endpoint, "a test of the player")
        expect(page.locator(".mails")).to_contain_text(endpoint.words.mail)
        page.get_by_role("tab", name="Terminal").last.click()
        expect(page.get_by_role("region", name="Terminal", exact=True)).to_contain_text(endpoint.words.typed)
        expect(page.locator(".display canvas").first).to_be_visible()
        page.wait_for_function(f"() => ({PICTURES})() > 0")
        visit.shot("player-opened")
        page.get_by_role("button", name="Lock", exact=False).first.click()
        expect(page.locator(".side-body")).not_to_contain_text(endpoint.words.typed)
        expect(page.locator(".screens")).to_contain_text("Sealed end to end")
        assert page.evaluate(PICTURES) == 0
        assert endpoint.words.mail not in page.content()
