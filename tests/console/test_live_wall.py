"""A wall of live screens: many at once, those out of sight held, and one that goes away disturbs no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from infra.settings import Settings
from tests.console.harness import NARROW, Console, chromium
from tests.live.live_site import Site, end, open_site

pytestmark = [pytest.mark.live, pytest.mark.slow]

AGENTS = 12


@pytest.fixture(scope="module")
def site(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway beside the stack's."""
    with open_site(stack, tmp_path_factory.mktemp("wall")) as opened:
        yield opened


@pytest.fixture(scope="module")
def wall(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    """The endpoints."""
    token = site.cli("agent", "token", "--uses", str(AGENTS)).split()[-1]
    command = [sys.executable, "-m", "tests.live.wall", token, str(AGENTS), str(site.folder / "fleet")]
    with (site.folder / "fleet.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        yield process
    finally:
        end(process)


def test_many_screens_are_watched_at_once(stack: Settings, site: Site, wall: subprocess.Popen[bytes]) -> None:
    """On a narrow screen few are in sight; scrolled to, the last is live; the order stays when one goes away."""
    gateway = stack.gateway.model_copy(update={"https_port": site.ports["https"]})
    with (
        chromium() as browser,
        Console(stack.model_copy(update={"gateway": gateway}), browser).visit("officer", size=NARROW) as visit,
    ):
        page = visit.go("/live")
        page.get_by_label("Person or computer").fill("person-00")
        page.get_by_role("button", name=f"Watch all {AGENTS}").click(timeout=120_000)
        page.get_by_label("Purpose").fill("to see that it works")
        page.get_by_role("button", name="Go on").click()
        tiles = page.locator(".live-tile")
        expect(tiles).to_have_count(AGENTS)
        names = tiles.locator(".who strong")
        order = [f"person-{number:04}" for number in range(1, AGENTS + 1)]
        expect(names).to_have_text(order)
        first, last = tiles.first.locator("[data-latency]"), tiles.last.locator("[data-latency]")
        expect(first).to_be_attached(timeout=60_000)
        expect(last).not_to_be_attached(timeout=60_000)
        tiles.last.scroll_into_view_if_needed()
        expect(last).to_be_attached(timeout=60_000)
        expect(first).not_to_be_attached(timeout=60_000)
        assert wall.stdin
        wall.stdin.write(f"{AGENTS - 1:04}\n".encode())
        wall.stdin.flush()
        expect(tiles.nth(AGENTS - 2)).to_contain_text("The picture goes on by itself.", timeout=60_000)
        expect(last).to_be_attached()
        expect(names).to_have_text(order)
        visit.check_accessible()
        visit.check_fits()
        visit.shot("live-wall")
