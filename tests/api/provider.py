"""A small OpenID provider on this machine's loopback, on authlib's server side: it signs in whoever it is told to.

Never to be used but by tests: it asks nobody for a password. `twist` changes what it signs, to see that it is refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import orjson
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

Claims = dict[str, Any]
SECRET = "the client's secret"


class Provider:
    """Its state: the keys, the codes that it gave, and who signs in next."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.person: Claims = {"sub": "1", "preferred_username": "ann", "name": "Ann", "groups": ["security"]}
        self.twist: Callable[[Claims, dict[str, Any]], str | None] = lambda _claims, _header: None
        """Changes claims and header before they are signed; a text that it gives is told instead of a token."""
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self.issuer = ""

    def metadata(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def authorise(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to."""
        code = uuid4().hex
        self._codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def exchange(self, form: dict[str, str]) -> Claims | None:
        """The answer for a code, which works once, and for its verifier alone."""
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or create_s256_code_challenge(form["code_verifier"]) != asked["code_challenge"]:
            return None
        now = int(time.time())
        claims = {
            **self.person,
            "iss": self.issuer,
            "aud": asked["client_id"],
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        header = {"alg": "RS256", "kid": self.key.kid}
        told = self.twist(claims, header)
        return {"access_token": "x", "token_type": "Bearer", "id_token": told or jwt.encode(header, claims, self.key)}


@contextmanager
def running_provider() -> Iterator[Provider]:
    """It listens on a port of loopback while the context lasts."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            provider.asked.append(url.path)
            if url.path == "/.well-known/openid-configuration":
                self._tell(provider.metadata())
            elif url.path == "/keys":
                self._tell(KeySet([provider.key]).as_dict(private=False))
            else:
                self.send_response(302)
                self.send_header("Location", provider.authorise(_flat(url.query)))
                self.end_headers()

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = provider.exchange(_flat(form)) if self.headers.get("Authorization") else None
            self._tell(answer or {"error": "invalid_grant"}, 200 if answer else 400)

        def _tell(self, value: Claims, status: int = 200) -> None:
            body = orjson.dumps(value)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _flat(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}
