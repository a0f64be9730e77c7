"""An unlock on a server elsewhere: what `gateway.unlock.session` does, over the HTTPS API.

Never speaks to a server whose certificate it does not know, and never gives it the passphrase but sealed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from gateway.unlock.pipe import MAX_BODY_BYTES
from gateway.unlock.process import OpenedKeys, Survey
from gateway.unlock.refusal import RefusedError
from gateway.unlock.scope import Scope
from infra.settings import read_secret
from schemas.errors import ConfigError, MalformedError, UnavailableError

UNLOCK_PATH = "/api/v1/unlock"
_TIMEOUT_S = 60.0


class RemoteSession:
    """Use it like `UnlockSession`. `server` is `https://host:port`; `ca` its CA, none for those of the system."""

    def __init__(
        self, server: str, token_file: Path, ca: Path | None, scope: Scope, *, reason: str, keys: Sequence[str] = ()
    ) -> None:
        where = urlsplit(server if "//" in server else f"https://{server}")
        if where.scheme != "https" or not where.hostname:
            raise ConfigError(f"{server!r} is not an address like https://monitor.example.org:443")
        try:
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
        except OSError as error:
            raise ConfigError(f"the CA {ca} cannot be used: {error}") from None
        self._connect = partial(
            http.client.HTTPSConnection, where.hostname, where.port or 443, context=context, timeout=_TIMEOUT_S
        )
        self._connection: http.client.HTTPSConnection | None = None
        self._token = read_secret(token_file).strip()
        self._wish = {**scope.to_json(), "reason": reason, "keys": list(keys)}
        self.id = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Tell the server that it is over, where it does not know."""
        if self.id:
            with contextlib.suppress(RefusedError, UnavailableError):
                await asyncio.to_thread(self._ask, "DELETE", self._path(), None)
        if self._connection:
            self._connection.close()

    async def survey(self) -> Survey:
        """What is in scope; raises `RefusedError`."""
        answer = await asyncio.to_thread(self._ask, "POST", UNLOCK_PATH, self._wish)
        self.id = bytes.fromhex(answer["session"])
        public = base64.b64decode(answer["public_key"])
        return Survey(public, answer["envelopes"], answer["keys"], answer["trying"])

    async def open(self, viewer: bytes, sealed: bytes) -> OpenedKeys:
        """Send a sealed passphrase; the KEKs that it opened."""
        body = {"public_key": base64.b64encode(viewer).decode(), "sealed": base64.b64encode(sealed).decode()}
        answer = await asyncio.to_thread(self._ask, "POST", self._path("/passphrase"), body)
        return OpenedKeys(answer["keys"], answer.get("closed", []))

    async def release(self) -> AsyncIterator[bytes]:
        """The sealed messages, to their end."""
        response = await asyncio.to_thread(self._request, "GET", self._path("/segments"), None)
        while head := await asyncio.to_thread(response.read, 4):
            length = int.from_bytes(head, "big")
            if len(head) < 4 or length > MAX_BODY_BYTES:
                raise MalformedError("the server's answer is cut or damaged", "bad_message")
            message = await asyncio.to_thread(response.read, length)
            if len(message) < length:
                raise MalformedError("the server's answer is cut", "truncated")
            yield message
        self.id = b""

    def _path(self, rest: str = "") -> str:
        return f"{UNLOCK_PATH}/{self.id.hex()}{rest}"

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        return dict(json.loads(self._request(method, path, body).read() or b"{}"))

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> http.client.HTTPResponse:
        """The answer, over a connection of its own: a server does not wait while a person looks for a passphrase."""
        if self._connection:
            self._connection.close()
        self._connection = self._connect()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = self._connection.getresponse()
            if response.status < 300:
                return response
            told = json.loads(response.read())
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(f"the server is not the one that the CA knows: {error.verify_message}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnavailableError(f"the server does not answer: {type(error).__name__}") from error
        raise RefusedError(told["error"], told["message"])
