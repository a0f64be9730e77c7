"""The page that shows screens and sound live, in a browser, with an agent under Xvfb and its own gateway."""

from __future__ import annotations

import shutil
import statistics
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from infra.settings import Settings
from schemas.keys import Identity
from tests.console.harness import NARROW, WIDE, Console, Theme, Visit, chromium
from tests.live.live_site import PATIENCE_S, Desk, Site, open_desk, open_site
from tests.live.operator import until

_MISSING = [program for program in ("Xvfb", "xterm") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

LATENCY_MS = 500
PASSPHRASE = "wandering heron"


@pytest.fixture(scope="module")
def site(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway beside the stack's."""
    with open_site(stack, tmp_path_factory.mktemp("live-page")) as opened:
        yield opened


@pytest.fixture(scope="module")
def officer_kek() -> Identity:
    """An officer's KEK, for the endpoint whose screen is sealed end to end."""
    return Identity.generate(2048)


@pytest.fixture(scope="module")
def desk(site: Site, officer_kek: Identity) -> Iterator[Desk]:
    """An endpoint that records for the server, and has an officer's KEK for when the policy wants it."""
    kek_file = site.folder / "kek.pem"
    kek_file.write_bytes(officer_kek.recipient.to_pem())
    with open_desk(site, site.folder / "desk", kek_file) as opened:
        yield opened


@pytest.fixture(scope="module")
def console(stack: Settings, site: Site) -> Iterator[Console]:
    """The console of that gateway."""
    gateway = stack.gateway.model_copy(update={"https_port": site.ports["https"]})
    with chromium() as browser:
        yield Console(stack.model_copy(update={"gateway": gateway}), browser)


def watch(visit: Visit, desk: Desk, purpose: str = "to see that it works") -> Page:
    """Choose the agent, and say why."""
    page = visit.go(f"/live?agent={desk.agent_id}")
    page.get_by_label("Purpose").fill(purpose)
    page.get_by_role("button", name="Go on").click()
    page.locator(f"[data-agent='{desk.agent_id}']").wait_for()
    return page


def drawn(page: Page) -> bool:
    """Whether the canvas of a tile shows more than one colour."""
    colours: int = page.evaluate(
        """() => {
          const canvas = document.querySelector(".live-tile canvas");
          if (!canvas || !canvas.width) return 0;
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const seen = new Set();
          for (let at = 0; at < data.length; at += 4) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
          return seen.size;
        }"""
    )
    return colours > 1


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (NARROW, "dark")])
def test_a_screen_is_watched(console: Console, desk: Desk, size: tuple[int, int], theme: Theme) -> None:
    """Chosen by its link, with a purpose; the picture comes, is half a second late at most, and can be stopped."""
    with console.visit("officer", size=size, theme=theme) as visit:
        page = visit.go("/live")
        page.get_by_role("heading", name="There now").wait_for()
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"live-list-{size[0]}-{theme}")
        watch(visit, desk)
        lateness = page.locator("[data-latency]")
        lateness.wait_for()
        late = deque[int](maxlen=12)

        def is_soon() -> bool:
            late.append(int(lateness.get_attribute("data-latency") or 9999))
            return len(late) == late.maxlen and statistics.median(late) < LATENCY_MS

        until("a picture that is half a second late at most", is_soon, PATIENCE_S, every_s=0.4)
        until("a picture", lambda: drawn(page))
        until("the notice", lambda: "watched live now" in desk.notice())
        visit.check_accessible()
        visit.check_fits()
        visit.shot(f"live-{size[0]}-{theme}")
        page.get_by_role("button", name="Stop all").click()
        page.locator(".live-tile").wait_for(state="detached")
        until("nobody watches", lambda: not desk.status()["live"])


def test_sound_is_heard(console: Console, desk: Desk) -> None:
    """The meter moves with the tone, and the person is told that they are heard."""
    with console.visit("officer") as visit:
        page = watch(visit, desk)
        tile = page.locator(f"[data-agent='{desk.agent_id}']")
        tile.get_by_role("button", name="Listen").click()
        meter = page.get_by_role("meter", name="Loudness")
        meter.wait_for()
        levels = set[int]()

        def moves() -> bool:
            levels.add(int(meter.get_attribute("aria-valuenow") or 0))
            return max(levels) > 60 and min(levels) < 50

        until("a meter that moves", moves, PATIENCE_S, every_s=0.1)
        until("the notice", lambda: "heard live now" in desk.notice())
        visit.check_accessible()
        visit.shot("live-sound")
        tile.get_by_role("button", name="Stop listening").click()
        meter.wait_for(state="detached")


def test_a_pause_is_told_and_not_papered_over(console: Console, desk: Desk, site: Site) -> None:
    """The picture is not called live any more, and the reason is there."""
    with console.visit("officer") as visit:
        page = watch(visit, desk)
        page.locator("[data-latency]").wait_for()
        site.cli("agent", "pause", "--dir", str(desk.directory))
        try:
            page.get_by_text("Recording is paused").wait_for()
            assert page.locator("[data-latency]").count() == 0
            visit.shot("live-paused")
        finally:
            site.cli("agent", "resume", "--dir", str(desk.directory))


def test_leaving_the_page_ends_it(console: Console, desk: Desk) -> None:
    """Going elsewhere in the console closes every view."""
    with console.visit("officer") as visit:
        page = watch(visit, desk)
        page.locator("[data-latency]").wait_for()
        page.get_by_role("navigation").get_by_role("link", name="Search").click()
        until("nobody watches", lambda: not desk.status()["live"])


def test_an_end_to_end_screen_is_unlocked_in_the_page(
    console: Console, desk: Desk, site: Site, officer_kek: Identity, tmp_path: Path
) -> None:
    """It stays sealed until the officer's key is open here, and is gone when that is locked."""
    key_file = tmp_path / "officer.pem"
    key_file.write_bytes(officer_kek.to_pem(PASSPHRASE.encode()))
    site.set_policy(end_to_end=["screen"])
    try:
        until("the policy is told", lambda: "screen" in desk.status()["policy"]["end_to_end"])
        with console.visit("officer") as visit:
            page = watch(visit, desk)
            page.get_by_role("button", name="Unlock to watch").click()
            visit.shot("live-sealed")
            page.get_by_label("Key file").set_input_files(key_file)
            page.get_by_label("Passphrase").fill(PASSPHRASE)
            page.get_by_label("Purpose").last.fill("to see that it works")
            page.get_by_role("button", name="Unlock", exact=True).click()
            page.locator("[data-latency]").wait_for()
            until("a picture", lambda: drawn(page))
            visit.shot("live-unlocked")
            page.get_by_role("button", name="Lock now").click()
            page.get_by_role("button", name="Unlock to watch").wait_for()
            assert page.locator(".live-tile canvas").count() == 0
    finally:
        site.set_policy(end_to_end=[])


def test_who_may_not_watch_does_not_see_the_page(console: Console) -> None:
    """An auditor has no such page."""
    with console.visit("auditor") as visit:
        page = visit.go("/live")
        page.get_by_role("heading", name="There is no such page").wait_for()
