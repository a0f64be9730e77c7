"""A page of tests, served under a policy that stops markup, foreign code and connections.

Never bypasses the policy: what the browser's driver reads is what the page wrote.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_CHROMIUM = "/usr/bin/chromium"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Site:
    """What is served, and every request that came."""

    files: dict[str, bytes]
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path and length of the body."""

    @classmethod
    def of(cls, folder: Path, **more: bytes) -> Site:
        """The files of `folder`, and more by their names."""
        files = {f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return cls({**files, **{f"/{name}": content for name, content in more.items()}})


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The address at which `site` is served."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

        def _answer(self) -> None:
            site.requests.append((self.command, self.path, int(self.headers.get("Content-Length") or 0)))
            content = site.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", _TYPES.get(Path(self.path).suffix, "text/plain"))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run_page(url: str) -> dict[str, Any]:
    """What the page at `url` wrote into its `#results`, as JSON."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        try:
            page = browser.new_page()
            page.goto(url)
            page.locator("#results:not(:empty)").wait_for(state="attached", timeout=240_000)
            told: dict[str, Any] = json.loads(page.locator("#results").text_content() or "")
            return told
        finally:
            browser.close()
