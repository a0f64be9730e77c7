"""One unlock with two keys: what was recorded before a rotation and after it is found and played, and nothing leaves.

The same guarantees as with one key, and by the same search of every byte that passed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from infra.demo.canary import Needle
from infra.keys import load_identity
from infra.settings import Settings
from tests.console.harness import NARROW, Console, Visit, zone_of_noon
from tests.console.sealed_endpoint import SealedEndpoint, sealed_endpoint
from tests.console.test_player_sealed import PICTURES, open_end
from tests.console.test_unlock_traffic import (
    SHOWN,
    STORED,
    ended,
    heap_of,
    only_sealed,
    search,
    secrets_in,
    unlock,
    watching,
)
from tests.console.unlock_rotation import Rotated, rotated
from tests.live.operator import psql, until

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(scope="module")
def rotation(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotated]:
    """An endpoint that sealed to one KEK, and then to another."""
    place = tmp_path_factory.mktemp("rotated")
    with sealed_endpoint(stack, place) as endpoint, rotated(endpoint, place) as made:
        yield made


@pytest.fixture(scope="module")
def console(console: Console) -> Console:
    """Where no midnight is near: the player shows one day."""
    return replace(console, time_zone=zone_of_noon())


def choose_both(page: Page, rotation: Rotated) -> Locator:
    """The dialog, the key files of before and after the rotation chosen in it; the second one's passphrase is typed."""
    page.get_by_role("button", name="Unlock sealed recordings").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key files").set_input_files([one.key_file for one in rotation.both])
    dialog.get_by_label("Passphrase").fill(rotation.after.passphrase)
    return dialog


def find_both(page: Page, rotation: Rotated) -> None:
    """Search for what was written before and after."""
    only_sealed(page)
    for one in rotation.both:
        search(page, one.words.mail, f"About {one.words.mail}")
    for verb, one in zip(("flight", "train"), rotation.both, strict=True):
        search(page, f'"{verb} {one.words.typed}"', f"{verb} {one.words.typed}")


def secrets_of_both(text: str, rotation: Rotated) -> list[str]:
    """What of the secrets of before and after is in `text`."""
    return [secret for one in rotation.both for secret in secrets_in(text, one)]


def test_nothing_of_two_keys_leaves_the_page_or_stays_in_it(
    console: Console, rotation: Rotated, tmp_path: Path
) -> None:
    """One unlock with the keys of before and after a rotation: both are found, neither is told, nothing outlives it."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, traffic):
        page = visit.go("/search")
        dialog = choose_both(page, rotation)
        dialog.get_by_label("Purpose").fill(purpose)
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        expect(dialog.get_by_role("alert")).to_have_text(
            f"{rotation.before.kek}.pem: this passphrase does not open it; type its own, or remove the file."
        )
        expect(dialog.get_by_label("Passphrase")).to_have_value("")
        expect(dialog.get_by_label("Passphrase")).to_be_focused()
        visit.check_accessible()
        visit.shot("unlock-one-of-two")
        dialog.get_by_label("Passphrase").fill(rotation.before.passphrase)
        page.keyboard.press("Enter")
        expect(page.get_by_label("Sealed recordings are open")).to_contain_text("2 keys")
        find_both(page, rotation)
        assert secrets_of_both(page.evaluate(SHOWN), rotation)  # a control
        stored = page.evaluate(STORED)
        page.keyboard.press("Control+Shift+L")
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()
        assert not secrets_of_both(stored + page.evaluate(STORED) + page.evaluate(SHOWN), rotation)
        assert not secrets_of_both(heap_of(page), rotation)
        assert ended(console.settings, purpose)["reason"] == "locked"
    needles = rotation.needles()
    assert all(any(needle.name == "DEK" for needle in one.needles()) for one in rotation.both)
    assert not traffic.find(needles)
    assert traffic.find([Needle("purpose", purpose.split()[1].encode())])
    assert audited(console.settings, purpose, "granted")["keys"].count(", ") == 1


def test_a_key_is_added_while_it_is_open(console: Console, rotation: Rotated, tmp_path: Path) -> None:
    """What needs it is said, then opens; the audit has the key under the same purpose, and the time stays."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, traffic):
        page = visit.go("/search")
        unlock(page, rotation.after, purpose, minutes=5)
        only_sealed(page)
        search(page, rotation.after.words.mail, f"About {rotation.after.words.mail}")
        page.get_by_role("searchbox").fill(rotation.before.words.mail)
        expect(page.locator(".sealed-state")).to_contain_text("0 sealed texts found")
        page.get_by_role("button", name="Add a key").click()
        dialog = page.get_by_role("dialog", name="Add keys")
        keys = dialog.get_by_role("region", name="Keys of what is on this page").locator("li")
        expect(keys.filter(has_text=rotation.before.kek)).to_contain_text("needed")
        expect(keys.filter(has_text=rotation.after.kek)).to_contain_text("open")
        expect(dialog.get_by_text(purpose)).to_be_visible()
        visit.check_accessible()
        add(dialog, rotation.before)
        bar = page.get_by_label("Sealed recordings are open")
        expect(bar).to_contain_text("2 keys")
        expect(page.locator(".result", has_text=f"About {rotation.before.words.mail}").first).to_be_visible()
        bar.get_by_role("button", name="Lock now").click()
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()
        assert not secrets_of_both(page.evaluate(SHOWN) + heap_of(page), rotation)
        assert ended(console.settings, purpose)["reason"] == "locked"
    assert not traffic.find(rotation.needles())
    assert audited(console.settings, purpose, "added")["keys"] == key_id_of(rotation.before)
    assert audited(console.settings, purpose, "granted")["keys"] == key_id_of(rotation.after)


def test_an_added_key_lasts_no_longer_than_the_unlock(console: Console, rotation: Rotated, tmp_path: Path) -> None:
    """The end that was told at the beginning stays, whenever a key is added."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, _):
        visit.page.clock.install()
        page = visit.go("/search")
        unlock(page, rotation.after, purpose, minutes=5)
        page.clock.fast_forward("02:00")
        page.get_by_role("button", name="Add a key").click()
        add(page.get_by_role("dialog", name="Add keys"), rotation.before)
        expect(page.get_by_label("Sealed recordings are open")).to_contain_text("2 keys")
        page.clock.fast_forward("03:10")
        expect(page.get_by_text("The time is over.")).to_be_visible()
        assert not secrets_of_both(page.evaluate(SHOWN), rotation)
        assert ended(console.settings, purpose)["reason"] == "time_out"


def test_what_is_over_for_the_server_is_locked(console: Console, rotation: Rotated, tmp_path: Path) -> None:
    """A key that the server does not take any more locks the page, which says why."""
    purpose = f"case {uuid4().hex}"
    with watching(console, tmp_path) as (visit, _):
        page = visit.go("/search")
        unlock(page, rotation.after, purpose)
        psql(console.settings, f"update browser_unlock set ended_at = now() where purpose = '{purpose}'")
        page.get_by_role("button", name="Add a key").click()
        add(page.get_by_role("dialog", name="Add keys"), rotation.before)
        expect(page.get_by_text("for the server this unlock was over")).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        visit.check_accessible()
        visit.shot("unlock-refused")
        assert not secrets_of_both(page.evaluate(SHOWN) + heap_of(page), rotation)


def add(dialog: Locator, one: SealedEndpoint) -> None:
    dialog.get_by_label("Key files").set_input_files(one.key_file)
    dialog.get_by_label("Passphrase").fill(one.passphrase)
    dialog.get_by_role("button", name="Add", exact=True).click()


def test_what_was_recorded_before_and_after_is_played(console: Console, rotation: Rotated) -> None:
    """One unlock with both keys: mails and terminals of before and after stand on the same timeline."""
    before, after = rotation.both
    with console.visit("officer") as visit:
        page = visit.page
        open_end(page, visit.base, after.agent.agent_id)
        expect(page.locator(".mails")).to_contain_text("Sealed end to end")
        dialog = choose_both(page, rotation)
        keys = dialog.get_by_role("region", name="Keys of what is on this page").locator("li")
        for one in rotation.both:
            expect(keys.filter(has_text=one.kek)).to_contain_text("needed")
        expect(keys.filter(has_text=after.kek)).to_contain_text("mails")
        dialog.get_by_label("Purpose").fill("a test of two keys")
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        expect(dialog.get_by_role("list", name="Chosen files")).to_contain_text(after.kek)
        dialog.get_by_label("Passphrase").fill(before.passphrase)
        dialog.get_by_role("button", name="Unlock", exact=True).click()
        for one in rotation.both:
            expect(page.locator(".mails")).to_contain_text(f"About {one.words.mail}")
        page.get_by_role("tab", name="Terminal").last.click()
        terminal = page.get_by_role("region", name="Terminal", exact=True)
        expect(terminal).to_contain_text(after.words.typed)
        sessions = page.get_by_label("Terminal session")
        sessions.select_option(index=1)
        expect(terminal).to_contain_text(before.words.typed)
        page.wait_for_function(f"() => ({PICTURES})() > 0")
        visit.shot("player-two-keys")
        page.get_by_role("button", name="Lock now").click()
        expect(page.locator(".screens")).to_contain_text("Sealed end to end")
        assert page.evaluate(PICTURES) == 0
        assert not secrets_of_both(page.content(), rotation)


def test_dialog_and_bar_are_usable(console: Console, rotation: Rotated) -> None:
    """On a telephone, by keys alone, without sideways scrolling, and as axe-core wants it."""
    with console.visit("officer", size=NARROW, theme="dark") as visit:
        page = visit.page
        open_end(page, visit.base, rotation.after.agent.agent_id)
        expect(page.locator(".mails")).to_contain_text("Sealed end to end")
        page.locator(".mails").get_by_role("button", name="Unlock to see").press("Enter")
        dialog = page.get_by_role("dialog", name="Unlock sealed recordings")
        dialog.get_by_label("Key files").set_input_files(rotation.after.key_file)
        dialog.get_by_label("Passphrase").fill(rotation.after.passphrase)
        dialog.get_by_label("Purpose").fill("a test of sizes")
        check(visit, "unlock-ask")
        dialog.get_by_label("Passphrase").press("Enter")
        add = page.get_by_label("Sealed recordings are open").get_by_role("button", name="Add a key")
        add.press("Enter")
        dialog = page.get_by_role("dialog", name="Add keys")
        dialog.get_by_label("Key files").set_input_files(rotation.before.key_file)
        dialog.get_by_label("Passphrase").fill("a wrong one")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("the passphrase is wrong")
        check(visit, "unlock-add")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(add).to_be_focused()
        expect(page.locator(".mails")).to_contain_text("need another key than those that are unlocked")
        expect(page.get_by_label("Sealed recordings are open").get_by_text("a test of sizes")).to_be_visible()
        check(visit, "unlock-bar")
        page.keyboard.press("Control+Shift+L")
        expect(page.get_by_text("Locked. Keys and what was opened are gone")).to_be_visible()


def check(visit: Visit, name: str) -> None:
    """Look, and have it looked at."""
    visit.shot(name)
    visit.check_fits()
    visit.check_accessible()


def ask_server(visit: Visit, one: SealedEndpoint, purpose: str) -> Locator:
    """The dialog in the player that asks the server to open; passphrase and purpose are typed."""
    page = visit.page
    open_end(page, visit.base, one.agent.agent_id)
    expect(page.locator(".mails")).to_contain_text("Sealed end to end")
    page.locator(".mails").get_by_role("button", name="Unlock to see").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Open on the server instead").click()
    dialog.get_by_label("Passphrase of the key").fill(one.passphrase)
    dialog.get_by_label("Purpose").fill(purpose)
    return dialog


def await_asking(dialog: Locator, opened: SealedEndpoint, closed: SealedEndpoint) -> Locator:
    """The field for another passphrase, which has the focus; which key is open and which is closed is told."""
    told = dialog.get_by_role("status").get_by_role("listitem")
    expect(told).to_have_text([f"{opened.kek}open", f"{closed.kek}closed"], timeout=90_000)
    field = dialog.get_by_label("Passphrase", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(f"That of {closed.kek}.")
    expect(dialog.get_by_label("Purpose")).to_be_hidden()
    return field


def outcomes_of(settings: Settings, purpose: str, last: str) -> list[list[str]]:
    """What the audit says of the unlock on the server, and of which keys, up to an outcome."""
    asked = (
        f"select outcome, coalesce(detail ->> 'keys', '') from audit_entry"
        f" where purpose = '{purpose}' and action = 'unlock' order by happened_at"
    )
    until("the audit", lambda: [row for row in psql(settings, asked) if row[0] == last])
    return psql(settings, asked)


def test_what_the_server_opens_is_played(console: Console, rotation: Rotated, tmp_path: Path) -> None:
    """R6.6 in the player: screens, terminals and mails that one KEK opens; the rest says that it is not among them."""
    purpose, (before, after) = f"case {uuid4().hex}", rotation.both
    with watching(console, tmp_path, "--all-teams", "--unlock-on-server") as (visit, traffic):
        page = visit.page
        dialog = ask_server(visit, after, purpose)
        expect(dialog.get_by_label("Recorded in")).to_contain_text("the hour around")
        expect(dialog.get_by_label("Screens")).to_be_checked()
        visit.check_accessible()
        visit.shot("player-ask-server")
        dialog.get_by_role("button", name="Open on the server").click()
        await_asking(dialog, after, before)
        dialog.get_by_role("button", name="Go on with what is open").click()
        bar = page.get_by_label("Sealed recordings are open")
        expect(bar).to_contain_text("Opened on the server", timeout=90_000)
        assert "/player" in page.url
        expect(page.locator(".mails")).to_contain_text(f"About {after.words.mail}")
        expect(page.locator(".mails")).to_contain_text("are not among what the server opened")
        page.get_by_role("tab", name="Terminal").last.click()
        expect(page.get_by_role("region", name="Terminal", exact=True)).to_contain_text(after.words.typed)
        page.wait_for_function(f"() => ({PICTURES})() > 0")
        visit.check_accessible()
        visit.shot("player-server")
        page.keyboard.press("Control+Shift+L")
        expect(page.locator(".screens")).to_contain_text("Sealed end to end")
        assert page.evaluate(PICTURES) == 0
        assert not secrets_of_both(page.evaluate(SHOWN), rotation)
        assert not secrets_of_both(heap_of(page), rotation)
    assert not traffic.find(rotation.needles())
    assert outcomes_of(console.settings, purpose, "done") == [["asked", ""], ["granted", after.kek], ["done", ""]]


def test_the_server_opens_with_several_passphrases(console: Console, rotation: Rotated, tmp_path: Path) -> None:
    """One unlock, purpose and time asked once; a wrong passphrase between them is told, and loses nothing."""
    purpose, (before, after) = f"case {uuid4().hex}", rotation.both
    with watching(console, tmp_path, "--all-teams", "--unlock-on-server") as (visit, traffic):
        page = visit.page
        dialog = ask_server(visit, after, purpose)
        dialog.get_by_label("5 min", exact=True).check()
        dialog.get_by_label("Passphrase of the key").press("Enter")
        field = await_asking(dialog, after, before)
        field.fill("a wrong one")
        field.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text(
            f"{before.kek}: this passphrase does not open it; type its own, or go on with what is open."
        )
        expect(field).to_have_value("")
        await_asking(dialog, after, before)
        check(visit, "unlock-server-wrong")
        field.fill(before.passphrase)
        dialog.get_by_role("button", name="Open more").click()
        bar = page.get_by_label("Sealed recordings are open")
        expect(bar).to_contain_text("Opened on the server with 2 keys", timeout=90_000)
        expect(bar.get_by_role("timer")).to_contain_text(re.compile(r"[45] min"))
        for one in rotation.both:
            expect(page.locator(".mails")).to_contain_text(f"About {one.words.mail}")
        assert secrets_of_both(page.evaluate(SHOWN), rotation)  # a control
        bar.get_by_role("button", name="Lock now").click()
        expect(page.locator(".screens")).to_contain_text("Sealed end to end")
        assert not secrets_of_both(page.evaluate(SHOWN) + heap_of(page), rotation)
    assert not traffic.find(rotation.needles())
    opened = [["granted", after.kek], ["refused", ""], ["added", before.kek]]
    assert outcomes_of(console.settings, purpose, "done") == [["asked", ""], *opened, ["done", ""]]


def test_an_unlock_on_the_server_ends_with_its_dialog(console: Console, rotation: Rotated) -> None:
    """Where no more is taken what is open can still be had; who leaves ends it at the server, and nothing is open."""
    purpose, (before, after) = f"case {uuid4().hex}", rotation.both
    many = {"error": "too_many_attempts", "message": "too many attempts: try again in 15 minutes"}
    answers = iter([{"json": {"keys": [before.kek], "closed": ["a-third"]}}, {"status": 429, "json": many}])
    options = ("--all-teams", "--unlock-on-server")
    with console.visit("officer", *options, name="chief", size=NARROW, theme="dark") as visit:
        page = visit.page
        dialog = ask_server(visit, after, purpose)
        dialog.get_by_label("Passphrase of the key").press("Enter")
        field = await_asking(dialog, after, before)
        check(visit, "unlock-server-more")
        page.route("**/passphrase", lambda route: route.fulfill(**next(answers)))
        field.fill(before.passphrase)
        field.press("Enter")
        told = dialog.get_by_role("status").get_by_role("listitem")
        expect(told).to_have_text([f"{after.kek}open", f"{before.kek}open", "a-thirdclosed"])
        expect(field).to_have_accessible_description("That of a-third.")
        field.fill(before.passphrase)
        field.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text(many["message"])
        expect(dialog.get_by_role("button", name="Go on with what is open")).to_be_focused()
        expect(dialog.get_by_role("button", name="Open more")).to_have_count(0)
        check(visit, "unlock-server-no-more")
        with page.expect_response(lambda response: response.request.method == "DELETE") as end:
            page.keyboard.press("Escape")
        assert end.value.status == 204
        expect(dialog).to_have_count(0)
        expect(page.get_by_label("Sealed recordings are open")).to_have_count(0)
        assert not secrets_of_both(page.evaluate(SHOWN) + heap_of(page), rotation)
    granted = [["asked", ""], ["granted", after.kek], ["broken_off", ""]]
    assert outcomes_of(console.settings, purpose, "broken_off") == granted


def key_id_of(endpoint: SealedEndpoint) -> str:
    """The id of its KEK, in hexadecimal."""
    return load_identity(endpoint.key_file, endpoint.passphrase.encode()).key_id.hex()


def audited(settings: Settings, purpose: str, outcome: str) -> dict[str, Any]:
    """What the audit says of an unlock of that purpose."""
    asked = (
        f"select detail from audit_entry where purpose = '{purpose}' and action = 'unlock_browser'"
        f" and outcome = '{outcome}'"
    )
    [[detail]] = until(f"the audit of {outcome}", lambda: psql(settings, asked))
    return dict(json.loads(detail))
