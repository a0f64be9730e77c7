"""Unlocking in the page, proved by recorded traffic: what the officer types and opens stays there (R6.7, R6.10).

Every byte between the browser and the server is kept and searched, in both directions; the same search must find what
was sent on purpose, else it would prove nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from infra.demo.canary import Needle, text_needles
from infra.settings import Settings
from tests.console.harness import Console, Visit
from tests.console.sealed_endpoint import SealedEndpoint, sealed_endpoint
from tests.console.traffic import Traffic, recorded
from tests.live.operator import psql, until

pytestmark = [pytest.mark.live, pytest.mark.slow]

STORED = """async () => JSON.stringify({
    local: {...localStorage}, session: {...sessionStorage}, cookie: document.cookie, history: history.state,
    databases: await indexedDB.databases(), caches: await caches.keys(), title: document.title, name: window.name,
    workers: (await navigator.serviceWorker.getRegistrations()).length,
})"""
SHOWN = """() => [document.documentElement.outerHTML,
    ...[...document.querySelectorAll("input, textarea")].map((field) => field.value)].join("\\n")"""
PIXELS = """() => [...document.querySelectorAll("canvas")].map((canvas) => canvas.width * canvas.height &&
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value))"""

PAINTED = """() => new Promise((done) =>
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))"""


@dataclass
class Recorded(Console):
    """The console behind the server that records."""

    address: str = ""

    @property
    def base(self) -> str:
        """Its address."""
        return self.address


@pytest.fixture(scope="module")
def endpoint(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedEndpoint]:
    """An endpoint that seals its streams to an officer's KEK."""
    with sealed_endpoint(stack, tmp_path_factory.mktemp("sealed")) as made:
        yield made


@contextmanager
def watching(console: Console, folder: Path, *options: str) -> Iterator[tuple[Visit, Traffic]]:
    """An officer's window, and all that it sends and gets."""
    with recorded(console.settings.gateway.https_port, folder) as (address, traffic):
        behind = Recorded(console.settings, console.browser, console.time_zone, address)
        with behind.visit("officer", *options, name="chief" if options else "") as visit:
            visit.page.on("websocket", lambda socket: socket.on("framesent", lambda data: _keep(traffic, data)))
            yield visit, traffic


def _keep(traffic: Traffic, data: str | bytes) -> None:
    traffic.frames.append(data.encode() if isinstance(data, str) else data)


def unlock(page: Page, endpoint: SealedEndpoint, purpose: str, *, minutes: int = 15) -> None:
    """As an officer does it."""
    page.get_by_role("button", name="Unlock sealed recordings").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key file").set_input_files(endpoint.key_file)
    dialog.get_by_label("Passphrase").fill(endpoint.passphrase)
    dialog.get_by_label("Purpose").fill(purpose)
    dialog.get_by_label(f"{minutes} min", exact=True).check()
    dialog.get_by_role("button", name="Unlock", exact=True).click()
    expect(page.get_by_label("Sealed recordings are open")).to_be_visible()


def search(page: Page, words: str, shown: str) -> None:
    """Type words, and wait for a result with `shown` in it."""
    page.get_by_role("searchbox").fill(words)
    expect(page.locator(".result", has_text=shown).first).to_be_visible()


def only_sealed(page: Page) -> None:
    """From now on what is typed stays in the page."""
    page.get_by_label("Search sealed texts only").check()


LOCK_NOW = """() => {
  [...document.querySelectorAll(".unlock-bar button")].find((one) => one.textContent === "Lock now").click();
}"""
"""At once, without the waiting that a click of the driver does."""


def secrets_in(text: str, endpoint: SealedEndpoint) -> list[str]:
    """What of the officer's secrets is in `text`."""
    secrets = {"passphrase": endpoint.passphrase, **dict(zip("mts", endpoint.words.sealed, strict=True))}
    return [name for name, secret in secrets.items() if secret in text]


def ended(settings: Settings, purpose: str) -> dict[str, Any]:
    """How the unlock of that purpose ended, by the audit. The window is to be open: what it tells goes with it."""
    begun = f"select distinct target from audit_entry where purpose = '{purpose}' and action = 'unlock_browser'"
    [[target]] = until("the audit of the beginning", lambda: psql(settings, begun))
    told = f"select detail from audit_entry where target = '{target}' and outcome = 'ended'"
    [[detail]] = until("the audit of the end", lambda: psql(settings, told))
    return dict(json.loads(detail))


def test_neither_key_nor_passphrase_nor_plaintext_leaves_the_page(
    console: Console, endpoint: SealedEndpoint, tmp_path: Path
) -> None:
    """Unlock, search, look, play, lock: of all that passed, nothing tells a secret, and the controls are found."""
    purpose, words = f"case {uuid4().hex}", endpoint.words
    with watching(console, tmp_path) as (visit, traffic):
        page = visit.go("/search")
        unlock(page, endpoint, purpose)
        only_sealed(page)
        search(page, words.mail, f"About {words.mail}")
        search(page, f'"flight {words.typed}"', f"flight {words.typed}")
        search(page, "shipment leaves", "shipment")
        expect(page.locator(".preview canvas")).to_be_visible()
        expect(page.locator(".preview .box").first).to_be_visible()
        assert page.evaluate(PIXELS) == [True]
        visit.shot("unlocked-search")
        assert page.url.endswith("where=sealed")  # an address is sent when a page is loaded anew
        page.get_by_label("Search sealed texts only").uncheck()
        search(page, words.asked, f"About {words.mail}")
        page.get_by_role("searchbox").press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/player\?"))
        page.get_by_role("tab", name="Email").last.click()
        expect(page.locator(".mails")).to_contain_text(f"About {words.mail}")
        page.keyboard.press("Control+Shift+L")
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()
        stored = page.evaluate(STORED)
        assert ended(console.settings, purpose)["reason"] == "locked"
    needles = endpoint.needles()
    assert len({needle.name for needle in needles if needle.name.startswith("DEK")}) >= 2
    assert not traffic.find(needles)
    assert not secrets_in(stored, endpoint)
    controls = [*text_needles("words that were told", words.asked), Needle("purpose", purpose.split()[1].encode())]
    assert traffic.find(controls) >= {"words that were told as utf-8", "purpose"}
    assert sum(map(len, traffic.sent)) > 10_000
    assert b"content-encoding:" not in b"".join(map(bytes, traffic.received)).lower()  # it could be searched


def test_nothing_that_was_opened_stays_after_the_lock(
    console: Console, endpoint: SealedEndpoint, tmp_path: Path
) -> None:
    """Neither on the page, nor in its storage, nor in any string that the page still holds."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, _):
        page = visit.go("/search")
        unlock(page, endpoint, purpose)
        only_sealed(page)
        search(page, "shipment leaves", endpoint.words.screen)
        expect(page.locator(".preview canvas")).to_be_visible()
        assert secrets_in(page.evaluate(SHOWN), endpoint) == ["s"]  # a control
        page.get_by_role("button", name="Lock now").click()
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()
        assert not secrets_in(page.evaluate(SHOWN), endpoint)
        assert not secrets_in(page.evaluate(STORED), endpoint)
        assert not any(page.evaluate(PIXELS))
        assert not secrets_in(heap_of(page), endpoint)


def test_words_that_were_to_stay_stay_when_it_is_locked_as_they_are_typed(
    console: Console, endpoint: SealedEndpoint, tmp_path: Path
) -> None:
    """What was typed a moment before the lock is not searched for on the server a moment after it."""
    with watching(console, tmp_path) as (visit, traffic):
        page = visit.go("/search")
        unlock(page, endpoint, "a test of haste")
        only_sealed(page)
        page.get_by_role("searchbox").fill(endpoint.words.mail)
        page.evaluate(LOCK_NOW)
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()
        page.wait_for_timeout(1000)
        assert not secrets_in(page.url + page.evaluate(SHOWN), endpoint)
    assert not traffic.find(text_needles("sealed word", endpoint.words.mail))


def test_time_locks(console: Console, endpoint: SealedEndpoint, tmp_path: Path) -> None:
    """A minute before the end there is a warning, at the end the lock."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, _):
        visit.page.clock.install()
        page = visit.go("/search")
        unlock(page, endpoint, purpose, minutes=5)
        only_sealed(page)
        search(page, endpoint.words.mail, endpoint.words.mail)
        page.clock.fast_forward("04:10")
        expect(page.get_by_text("locks in")).to_be_visible()
        visit.shot("unlock-ends-soon")
        page.clock.fast_forward("01:00")
        expect(page.get_by_text("The time is over.")).to_be_visible()
        assert not secrets_in(page.evaluate(SHOWN), endpoint)
        assert ended(console.settings, purpose)["reason"] == "time_out"


@pytest.mark.parametrize("leave", ["sign out", "go away", "come back"])
def test_who_leaves_locks(console: Console, endpoint: SealedEndpoint, tmp_path: Path, leave: str) -> None:
    """Signing out and leaving the page end the unlock, and going back does not bring it back."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, _):
        page = visit.go("/search")
        unlock(page, endpoint, purpose)
        if leave == "sign out":
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_label("Password")).to_be_visible()
        else:
            page.goto("about:blank")
        if leave == "come back":
            page.go_back()
            expect(page.get_by_role("searchbox")).to_be_visible()
            expect(page.get_by_label("Sealed recordings are open")).to_be_hidden()
        assert ended(console.settings, purpose)["reason"] == ("signed_out" if leave == "sign out" else "closed")


def test_what_cannot_be_audited_is_not_unlocked(console: Console, endpoint: SealedEndpoint, tmp_path: Path) -> None:
    """When the server cannot write it down, the page locks again and says so."""
    with watching(console, tmp_path) as (visit, _):
        page = visit.go("/search")
        refusal = {"error": "unavailable", "message": "the audit cannot be written now"}
        page.route("**/api/v1/unlock/browser", lambda route: route.fulfill(status=503, json=refusal))
        page.get_by_role("button", name="Unlock sealed recordings").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Key file").set_input_files(endpoint.key_file)
        dialog.get_by_label("Passphrase").fill(endpoint.passphrase)
        dialog.get_by_label("Purpose").fill("a test")
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        expect(dialog.get_by_text("the audit cannot be written now")).to_be_visible()
        expect(page.get_by_label("Sealed recordings are open")).to_be_hidden()
        expect(dialog.get_by_label("Passphrase")).to_have_value("")


def test_what_the_server_opens_is_sealed_to_the_page(
    console: Console, endpoint: SealedEndpoint, tmp_path: Path
) -> None:
    """R6.6: the passphrase goes to the opener alone, sealed, and what it opens comes back sealed; the lock drops it."""
    purpose, words = f"case {uuid4().hex}", endpoint.words
    with watching(console, tmp_path, "--all-teams", "--unlock-on-server") as (visit, traffic):
        page = visit.go("/search")
        page.get_by_role("button", name="Unlock sealed recordings").click()
        page.get_by_role("button", name="Open on the server instead").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Passphrase of the key").fill(endpoint.passphrase)
        dialog.get_by_label("Purpose").fill(purpose)
        dialog.get_by_label("Recorded in").select_option(label="the last 24 hours")
        visit.check_accessible()
        dialog.get_by_role("button", name="Open on the server").click()
        expect(page.get_by_label("Sealed recordings are open")).to_contain_text("Opened on the server", timeout=90_000)
        search(page, words.mail, f"About {words.mail}")
        search(page, f'"flight {words.typed}"', f"flight {words.typed}")
        page.get_by_role("button", name="Lock now").click()
        expect(page.locator(".result")).to_have_count(0)
        assert not secrets_in(page.evaluate(SHOWN), endpoint)
    assert not traffic.find(endpoint.needles())
    assert traffic.find([Needle("purpose", purpose.split()[1].encode())])
    granted = f"select 1 from audit_entry where purpose = '{purpose}' and action = 'unlock' and outcome = 'granted'"
    until("the audit", lambda: psql(console.settings, granted))


def heap_of(page: Page) -> str:
    """Every string that the page's JavaScript can still reach, as the browser's debugger lists them.

    Looked at when the page was painted twice: what was drawn before holds on to its own until then.
    """
    page.evaluate(PAINTED)
    session = page.context.new_cdp_session(page)
    chunks: list[str] = []
    session.on("HeapProfiler.addHeapSnapshotChunk", lambda event: chunks.append(event["chunk"]))
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    session.detach()
    return "\n".join(json.loads("".join(chunks))["strings"])
