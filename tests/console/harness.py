"""A person at the console: Chromium on the real stack, signed in with a role, and what the page did meanwhile.

Never bypasses the page's policy, and fails a test whose page broke it or threw an error.

SEALSTREAM_SCREENSHOTS names a folder for the pictures that tests take.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from infra.settings import Settings
from tests.console.node import CONSOLE
from tests.running_stack import run_cli

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct-horse-" + secrets.token_hex(8)
_RUN = secrets.token_hex(3)
"""Accounts of this run are told from those of earlier ones on the same stack."""

WIDE, NARROW = (1280, 800), (400, 820)

PATIENCE_MS = 30_000
"""Tests share the machine: what a page shows in a moment may take a while."""

Theme = Literal["light", "dark"]

_DRAWN = "html:has(h1):not(:has(.loading))"
"""A page has its heading and waits for nothing; open streams of events never let the network be idle."""

_made: set[tuple[Path, str]] = set()

expect.set_options(timeout=PATIENCE_MS)


def zone_of_noon() -> str:
    """A time zone in which it is noon now: a page that shows one day shows all that a test records."""
    behind = datetime.now(UTC).hour - 12
    return f"Etc/GMT{behind:+d}" if behind else "UTC"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; one for each module of tests, since it keeps an event loop of its own running."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One person's window: its page, and what the page should not have done."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Go to a page of the console and wait until it is drawn."""
        self.page.goto(self.base + path)
        self.page.locator(_DRAWN).wait_for()  # no function: the page's policy lets no text become code
        return self.page

    def shot(self, name: str) -> None:
        """Keep a picture, where somebody wants to look."""
        if folder := os.environ.get("SEALSTREAM_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=False)

    def check_accessible(self) -> None:
        """WCAG 2.2 AA as far as axe-core can tell."""
        source = (CONSOLE / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
        self.page.evaluate(source)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        result: dict[str, Any] = self.page.evaluate(
            "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags
        )
        told = [
            f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in result["violations"]
        ]
        assert not told, "\n".join(told)

    def check_fits(self) -> None:
        """Nothing needs sideways scrolling."""
        sizes = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert sizes[0] <= sizes[1], f"the page is {sizes[0]} pixels wide on a screen of {sizes[1]}"


@dataclass
class Console:
    """The console of a running stack."""

    settings: Settings
    browser: Browser
    time_zone: str | None = None
    """Where its people are; where the machine is without one."""

    @property
    def base(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.settings.gateway.https_port}"

    def account(self, role: str, *options: str, name: str = "") -> str:
        """An account of that role, made when this run has none yet; its name."""
        name = f"{name or role}-{_RUN}"
        if (self.settings.data.root, name) not in _made:
            folder = self.settings.data.root / "test-accounts"
            folder.mkdir(exist_ok=True, mode=0o700)
            secret = folder / f"password-{_RUN}"
            secret.touch(mode=0o600)
            secret.write_text(PASSWORD)
            done = run_cli(
                self.settings.data.root,
                *("accounts", "make", name, "--role", role, "--password-file", str(secret)),
                *(options or ("--all-teams",)),
            )
            secret.unlink()
            assert done.returncode == 0, done.stdout + done.stderr
            _made.add((self.settings.data.root, name))
        return name

    @contextmanager
    def visit(
        self,
        role: str = "",
        *options: str,
        name: str = "",
        size: tuple[int, int] = WIDE,
        theme: Theme = "light",
        may_fail: bool = False,
    ) -> Iterator[Visit]:
        """A window, signed in with that role (nobody's without one). At its end the page must not have misbehaved."""
        context = self.browser.new_context(
            ignore_https_errors=True,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            locale="en-GB",
            timezone_id=self.time_zone,
            reduced_motion="reduce",
        )
        try:
            if role:
                self.sign_in(context, self.account(role, *options, name=name))
            yield from self._watched(context, may_fail=may_fail)
        finally:
            context.close()

    def sign_in(self, context: BrowserContext, name: str) -> None:
        """By the API, as the page does it; the cookie stays in `context`."""
        answer = context.request.post(f"{self.base}/api/v1/session", data={"name": name, "password": PASSWORD})
        assert answer.ok, f"{answer.status} {answer.text()}"

    def _watched(self, context: BrowserContext, *, may_fail: bool) -> Iterator[Visit]:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        visit = Visit(page, self.base)
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e =>"
            " console.error('POLICY ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample))"
        )
        page.on("pageerror", lambda error: visit.faults.append(f"error: {error}"))
        page.on("console", lambda message: _note(visit, message))
        yield visit
        if not may_fail:
            assert not visit.faults, json.dumps(visit.faults, indent=1)


def _note(visit: Visit, message: ConsoleMessage) -> None:
    """Errors count; what a refused request leaves in the console does not: the page tells it."""
    if message.type == "error" and "Failed to load resource" not in message.text:
        visit.faults.append(message.text)
