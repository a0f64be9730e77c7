"""The console's pages as they were built, and the headers that let nothing but them run.

Never serves a file from outside the folder, and never lets markup become script: strict policy and Trusted Types.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ADDRESS = re.compile(r"[A-Za-z0-9._:\[\]-]+")
"""What a host and its port are made of."""

BUILT = Path(__file__).parents[1] / "console" / "dist" / "pages"
"""Where the product's own build puts them."""

POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self' blob: data:; "
    "media-src 'self' blob:; "
    "font-src 'self'; "
    "connect-src 'self' wss://{host}:*{servers}; "
    "worker-src 'self'; "
    "manifest-src 'self'; "
    "base-uri 'none'; "
    "form-action 'self'; "
    "frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Strict-Transport-Security": "max-age=31536000",
}
_NOT_BUILT = """The console's pages were not built: run `make console`, or install the wheel, which has them.
The API is there all the same: /api/v1/openapi.json
"""
IMMUTABLE = "public, max-age=31536000, immutable"


class Pages:
    """The folder `directory`: `index.html` for every page, `assets/` with names that change with their content."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = StaticFiles(directory=directory, check_dir=False)

    def mount(self) -> Mount:
        """The route of everything that no other route has."""
        return Mount("/", app=self.serve)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope["path"].lstrip("/")
        if path.startswith("api/"):
            await _problem("not_found", "there is no such route").__call__(scope, receive, send)
        elif path.startswith("assets/") or "." in path.rsplit("/", 1)[-1]:
            await self._files(scope, receive, send)
        else:
            await self._page()(scope, receive, send)

    def _page(self) -> Response:
        index = self._directory / "index.html"
        if not index.is_file():
            return PlainTextResponse(_NOT_BUILT, 503)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})


def _problem(word: str, message: str) -> Response:
    return JSONResponse({"error": word, "message": message}, 404)


class SecurityHeaders:
    """Puts the headers on every answer.

    The policy names the host that was asked, for websockets on its other ports, and `servers`: `host:port` where other
    gateways show live views.
    """

    def __init__(self, app: ASGIApp, servers: Callable[[], Iterable[str]] = tuple) -> None:
        self._app = app
        self._servers = servers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = POLICY.format(host=_host(scope), servers=_sources(self._servers()))
        immutable = scope["path"].startswith("/assets/")

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                have = {name.lower() for name, _ in headers}
                added = {**HEADERS, "Content-Security-Policy": policy}
                added["Cache-Control"] = IMMUTABLE if immutable and message["status"] == 200 else "no-store"
                for name, value in added.items():
                    if name.lower().encode() not in have:
                        headers.append((name.lower().encode(), value.encode("latin-1")))
            await send(message)

        await self._app(scope, receive, add)


def _host(scope: Scope) -> str:
    """The name in the request's Host, without its port; what no host name has is left out of the policy."""
    raw = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    name = raw.rsplit(":", 1)[0] if not raw.endswith("]") else raw
    return name if _ADDRESS.fullmatch(name) else "localhost"


def _sources(servers: Iterable[str]) -> str:
    """Websockets on these servers, as the policy lists them; an address that is none is left out."""
    return "".join(f" wss://{server}" for server in sorted(set(servers)) if _ADDRESS.fullmatch(server))


def request_is_same_origin(request: Request) -> bool:
    """Whether a page of this console sent the request, by what browsers say of it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.split("://", 1)[-1] == request.headers.get("host", "")
