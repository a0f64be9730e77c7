"""Unlocking in the browser (R6.7): the same tests on Node and in Chromium, under the policy that the console has."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.console.node import CONSOLE, install_packages, run_npm
from tests.console.page import Site, run_page, served

MAX_LIBRARY_BYTES = 80_000
"""Small enough that a person could read what unlocks their keys."""

_REACHES_OUT = re.compile(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|RTCPeer\w+)\b")


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    install_packages()


def test_types_are_sound() -> None:
    """The TypeScript compiler finds nothing to say."""
    run_npm("run", "check")


def test_the_library_passes_on_node(material: Path) -> None:
    """Vectors, key files, segments, frames and sessions, on Node."""
    told = run_npm("test", SEALSTREAM_MATERIAL=str(material), NO_COLOR="1")
    assert re.search(r"Tests +\d{3,} passed", told), told[-2000:]


def test_the_library_passes_in_chromium(material: Path) -> None:
    """The same tests in a browser, under a policy that stops connections; nothing but the page is asked for."""
    run_npm("run", "build:browser-tests")
    module = b"export default " + material.read_bytes() + b";"
    site = Site.of(CONSOLE / "dist" / "browser-tests", **{"material.js": module})
    with served(site) as url:
        told = run_page(f"{url}/index.html")
    assert "crashed" not in told, told
    failed = [one for one in told["tests"] if one["state"] not in ("pass", "skip")]
    assert not failed, json.dumps(failed, indent=1)[:8000]
    skipped = [one["name"] for one in told["tests"] if one["state"] == "skip"]
    assert not skipped
    assert len(told["tests"]) > 250
    assert told["violations"] == []
    assert told["policy"] == {"markup": True, "code": True, "connection": True}
    assert {(method, length) for method, _, length in site.requests} == {("GET", 0)}
    assert {path for _, path, _ in site.requests} <= set(site.files) | {"/favicon.ico"}


def test_the_library_is_small_reaches_nothing_and_is_the_same_at_every_build() -> None:
    """One module, whose published hash a person can compare; no word in it that could send a key away."""
    hashes = set()
    for _ in range(2):
        run_npm("run", "build")
        built = (CONSOLE / "dist" / "unlock" / "unlock.js").read_bytes()
        hashes.add(hashlib.sha256(built).hexdigest())
    assert len(hashes) == 1
    assert len(built) < MAX_LIBRARY_BYTES
    assert not _REACHES_OUT.findall(built.decode())
    assert b"import(" not in built
    assert not re.search(rb"^import\b", built)
