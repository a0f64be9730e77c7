"""The dialog that unlocks: what is missing or wrong is said with what to do, and a key file never leaves the page.

Of unlocks on the server, what the dialog does with answers that a real one seldom gives.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from schemas.unlock_channel import SESSION_BYTES, Offer
from tests.console.harness import Console
from tests.console.key_files import PASSPHRASE, PKCS8_COMMAND, KeyFiles
from tests.console.test_unlock_traffic import LOCK_NOW

pytestmark = [pytest.mark.live, pytest.mark.slow]

TYPING_MS = 150
"""So long after the last letter the page asks."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Key files by what they are."""
    made = KeyFiles(tmp_path_factory.mktemp("keys")).make_all()
    return {case["name"]: case["pem"] for case in made}


def opened(page: Page) -> Locator:
    """The dialog."""
    page.get_by_role("button", name="Unlock sealed recordings").click()
    return page.get_by_role("dialog")


def submit(dialog: Locator, pem: str, passphrase: str = PASSPHRASE, purpose: str = "a test") -> None:
    """Choose the file, type, and press the button."""
    chosen = {"name": "kek.pem", "mimeType": "application/x-pem-file", "buffer": pem.encode()}
    dialog.get_by_label("Key file").set_input_files(chosen)  # type: ignore[arg-type]  # a TypedDict
    dialog.get_by_label("Passphrase").fill(passphrase)
    dialog.get_by_label("Purpose").fill(purpose)
    dialog.get_by_role("button", name="Unlock", exact=True).click()


def test_what_is_missing_is_asked_for(console: Console) -> None:
    """Key file and purpose; nothing is opened and nothing is sent."""
    with console.visit("officer") as visit:
        page = visit.go("/search")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        dialog = opened(page)
        dialog.get_by_label("Purpose").fill("no")
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        expect(dialog.get_by_text("Choose the key files first.")).to_be_visible()
        expect(dialog.get_by_text("Say why, in three letters or more")).to_be_visible()
        assert not [url for url in sent if "/unlock/" in url]


def test_key_files_that_do_not_open_say_why(console: Console, files: dict[str, str]) -> None:
    """A wrong passphrase, a cipher that browsers lack with the command that helps, and what is no key."""
    with console.visit("officer") as visit:
        dialog = opened(visit.go("/search"))
        submit(dialog, files["PBKDF2 SHA-512, AES-128"], "a wrong one")
        expect(dialog.get_by_role("alert")).to_have_text("kek.pem: the passphrase is wrong.")
        expect(dialog.get_by_label("Passphrase")).to_have_value("")
        submit(dialog, files["3DES in PKCS#8"])
        expect(dialog.get_by_role("alert")).to_contain_text("kek.pem: this key is protected by 3DES.")
        expect(dialog.get_by_role("alert")).to_contain_text(PKCS8_COMMAND)
        submit(dialog, "hello")
        expect(dialog.get_by_role("alert")).to_have_text("kek.pem: there is no private key in PEM in this file.")
        expect(dialog.get_by_role("list", name="Chosen files").get_by_role("listitem")).to_have_count(2)
        visit.shot("unlock-refused")


def test_a_key_can_be_pasted_and_weak_files_are_told(console: Console, files: dict[str, str]) -> None:
    """It unlocks; that one round protects the file is said; locking ends it."""
    with console.visit("officer") as visit:
        page = visit.go("/search")
        dialog = opened(page)
        dialog.get_by_role("button", name="Paste one instead").click()
        dialog.get_by_label("Key file").fill(files["one round"])
        dialog.get_by_label("Passphrase").fill(PASSPHRASE)
        dialog.get_by_label("Purpose").fill("a test")
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        expect(page.get_by_label("Sealed recordings are open")).to_contain_text("a test")
        expect(page.get_by_text("About this key file:")).to_be_visible()
        page.get_by_role("button", name="Lock now").click()
        expect(page.get_by_label("Sealed recordings are open")).to_be_hidden()


def test_the_lock_takes_the_words_with_it(console: Console, files: dict[str, str]) -> None:
    """Words for sealed texts alone are gone before the page is painted again, and do not come back."""
    with console.visit("officer") as visit:
        visit.page.clock.install()
        page = visit.go("/search")
        submit(opened(page), files["PBKDF2 SHA-512, AES-128"])
        page.get_by_label("Search sealed texts only").check()
        page.clock.pause_at(page.evaluate("Date.now() / 1000") + 1)
        words = page.get_by_role("searchbox")
        words.fill("kupaboza")
        page.clock.run_for(TYPING_MS)
        page.evaluate(LOCK_NOW)
        assert not words.input_value()
        page.clock.run_for(1000)
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()
        assert not words.input_value()


def test_a_dropped_file_is_taken(console: Console, files: dict[str, str], tmp_path: Path) -> None:
    """By dragging it onto the field."""
    with console.visit("officer") as visit:
        page = visit.go("/search")
        dialog = opened(page)
        (tmp_path / "kek.pem").write_text(files["PBKDF2 SHA-512, AES-128"])
        dropped = page.evaluate_handle(
            "text => { const data = new DataTransfer(); data.items.add(new File([text], 'kek.pem')); return data; }",
            files["PBKDF2 SHA-512, AES-128"],
        )
        dialog.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})
        expect(dialog.get_by_role("list", name="Chosen files")).to_contain_text("kek.pem")
        dialog.get_by_label("Passphrase").fill(PASSPHRASE)
        dialog.get_by_label("Purpose").fill("a test")
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        expect(page.get_by_label("Sealed recordings are open")).to_be_visible()


UNLOCKS = re.compile(r"/api/v1/unlock(/[0-9a-f]{32}.*)?$")
LOST = {"error": "nothing_found", "message": "there is no such unlock of yours: it ended, or never began"}
PEOPLE = {"people": [{"person": "ann", "agents": [{"agent_id": "a", "first_seen_ms": 0, "last_seen_ms": 0}]}]}


def begun() -> dict[str, Any]:
    """What a server answers that has begun an unlock, with two KEKs to try."""
    session = bytes(SESSION_BYTES)
    public = base64.b64encode(Offer(session).public).decode()
    trying = [{"name": "officers", "key_id": "aa"}, {"name": "older", "key_id": "bb"}]
    return {"status": 201, "json": {"session": session.hex(), "public_key": public, "trying": trying}}


@contextmanager
def asking_server(console: Console) -> Iterator[tuple[Page, Locator]]:
    """The dialog that asks a server to open; passphrase and purpose are typed."""
    with console.visit("officer", "--all-teams", "--unlock-on-server", name="chief") as visit:
        visit.page.route("**/api/v1/recordings/people?*", lambda route: route.fulfill(json=PEOPLE))
        page = visit.go("/search")
        dialog = opened(page)
        dialog.get_by_role("button", name="Open on the server instead").click()
        dialog.get_by_label("Passphrase of the key").fill(PASSPHRASE)
        dialog.get_by_label("Purpose").fill("a test")
        yield page, dialog


def test_an_unlock_that_is_lost_on_the_server_is_told(console: Console) -> None:
    """As when its time there is over: the dialog asks anew, and what was typed stays, but the passphrase."""
    with asking_server(console) as (page, dialog):
        some = {"json": {"keys": ["officers"], "closed": ["older"]}}
        answers = iter([begun(), some, {"status": 404, "json": LOST}, {"status": 404, "json": LOST}])
        page.route(UNLOCKS, lambda route: route.fulfill(**next(answers)))
        dialog.get_by_role("button", name="Open on the server").click()
        expect(dialog.get_by_label("Purpose")).to_be_hidden()
        dialog.get_by_label("Passphrase", exact=True).fill("typed, and not given")
        dialog.get_by_role("button", name="Go on with what is open").click()
        expect(dialog.get_by_role("alert")).to_have_text(LOST["message"])
        expect(dialog.get_by_label("Purpose")).to_have_value("a test")
        expect(dialog.get_by_label("Passphrase of the key")).to_have_value("")
        expect(dialog.get_by_label("Passphrase of the key")).to_be_focused()
        expect(dialog.get_by_label("Passphrase", exact=True)).to_have_count(0)


def test_who_leaves_while_the_server_begins_ends_it(console: Console) -> None:
    """The server hears so when it has begun; the passphrase is not given."""
    with asking_server(console) as (page, dialog):
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)  # the first is answered below; the last is not waited for

        page.route(UNLOCKS, hold)
        with page.expect_request(UNLOCKS):
            dialog.get_by_role("button", name="Open on the server").click()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        with page.expect_request(UNLOCKS) as then:
            held[0].fulfill(**begun())
        assert then.value.method == "DELETE"
