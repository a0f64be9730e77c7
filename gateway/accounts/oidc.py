"""Signing in by an organisation's own provider: OpenID Connect's code flow, PKCE, a nonce, and a state in one browser.

Never believes a token that the provider's own keys did not sign for this client and this sign-in.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import httpx2 as httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.accounts.links import console_address
from gateway.accounts.sealing import NotOursError
from gateway.api.errors import ApiError
from infra.settings import read_secret
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from gateway.accounts.sealing import AccountKey
    from infra.settings import Settings

log = structlog.get_logger(__name__)

CALLBACK = "/api/v1/oidc/callback"
LABEL = "oidc"
STATE_S = 600.0
LEEWAY_S = 60
MAX_ANSWER = 256 * 1024
_CACHED_S = 3600.0
_AGAIN_S = 30.0
_TIMEOUT_S = 10.0
_SIGNED = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only signatures that the provider's public keys check: neither `none` nor a shared secret."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and what it keeps meanwhile."""

    address: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in at the provider."""

    subject: str
    """Issuer and subject: what makes a person one and the same."""
    name: str
    display_name: str
    groups: frozenset[str]


@dataclass(slots=True)
class _Kept:
    """An answer of the provider that is used for a while."""

    value: dict[str, Any] = field(default_factory=dict)
    until: float = 0.0
    asked: float = 0.0


class Provider:
    """The provider of the settings group `oidc`."""

    def __init__(self, settings: Settings, key: AccountKey) -> None:
        self._settings = settings
        self._oidc = settings.oidc
        self._key = key
        self._context: ssl.SSLContext | None = None
        self._metadata, self._keys = _Kept(), _Kept()

    @property
    def enabled(self) -> bool:
        """Whether there is one."""
        return bool(self._oidc.issuer and self._oidc.client_id)

    @property
    def _redirect(self) -> str:
        return console_address(self._settings) + CALLBACK

    async def begin(self, *, again: bool) -> Begun:
        """Begin a sign-in; `again`: the provider is to ask for the password anew. Raises `UnavailableError`."""
        metadata = await self._discover()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._oidc.client_id,
            "redirect_uri": self._redirect,
            "scope": self._oidc.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login"} if again else {}),
        }
        address = metadata["authorization_endpoint"]
        cookie = await self._key.seal_object(LABEL, {"state": state, "nonce": nonce, "verifier": verifier}, STATE_S)
        return Begun(f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", cookie)

    async def finish(self, cookie: str, answer: Mapping[str, str]) -> Identity:
        """Who it is, by what the provider sent the browser back with; raises `ApiError` 401."""
        try:
            begun = await self._key.open_object(LABEL, cookie)
        except NotOursError:
            raise _refused("expired", "that sign-in was begun in another browser, or took too long") from None
        if not secrets.compare_digest(begun["state"].encode(), answer.get("state", "").encode()):
            raise _refused("wrong_state", "that answer belongs to another sign-in")
        if "iss" in answer and answer["iss"] != self._oidc.issuer:
            raise _refused("wrong_issuer", "that answer is not of your organisation's provider")
        if answer.get("error") or not answer.get("code"):
            raise _refused("provider_refused", "your organisation's provider did not let you in")
        tokens = await self._exchange(answer["code"], begun["verifier"])
        claims = await self._check(str(tokens.get("id_token", "")), begun["nonce"])
        return self._identity(claims)

    async def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        metadata = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "client_id": self._oidc.client_id,
            "code_verifier": verifier,
        }
        secret = await asyncio.to_thread(read_secret, self._oidc.client_secret_file)
        basic: dict[str, Any] = {}
        if secret:
            methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            if "client_secret_basic" in methods:
                basic["auth"] = httpx.BasicAuth(self._oidc.client_id, secret)
            else:
                form["client_secret"] = secret
        async with self._client() as client:
            response = await _ask(client.post(metadata["token_endpoint"], data=form, **basic))
        if response.status_code != 200:
            log.warning("oidc_code_refused", status=response.status_code)
            raise _refused("provider_refused", "your organisation's provider did not take the answer")
        return _object(response)

    async def _check(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token; raises `ApiError` 401."""
        metadata = await self._discover()
        told = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = [name for name in told if name in _SIGNED]
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._oidc.issuer},
            aud={"essential": True, "value": self._oidc.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            try:
                decoded = jwt.decode(token, await self._key_set(), algorithms=algorithms)
            except (JoseError, ValueError):  # the provider may have new keys
                decoded = jwt.decode(token, await self._key_set(anew=True), algorithms=algorithms)
            rules.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            log.warning("oidc_token_refused", why=type(error).__name__)
            raise _refused("wrong_token", "what your organisation's provider told cannot be believed") from None
        claims = dict(decoded.claims)
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self._oidc.client_id:
            raise _refused("wrong_token", "what your organisation's provider told is for another service too")
        return claims

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        groups = claims.get(self._oidc.role_claim, []) if self._oidc.role_claim else []
        listed = groups if isinstance(groups, list) else [groups]
        return Identity(
            subject=f"{claims['iss']}#{claims['sub']}",
            name=str(claims.get(self._oidc.name_claim, "")).strip().lower(),
            display_name=str(claims.get("name", ""))[:128],
            groups=frozenset(str(group) for group in listed),
        )

    async def _discover(self) -> dict[str, Any]:
        issuer = self._oidc.issuer
        _check_address(issuer)
        metadata = await self._fetch(self._metadata, issuer.rstrip("/") + "/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise ConfigError(f"the provider calls itself {metadata.get('issuer')!r}, not {issuer!r}: see oidc.issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            _check_address(str(metadata.get(name, "")))
        return metadata

    async def _key_set(self, *, anew: bool = False) -> KeySet:
        metadata = await self._discover()
        if anew and time.monotonic() - self._keys.asked > _AGAIN_S:
            self._keys.until = 0.0
        return KeySet.import_key_set(await self._fetch(self._keys, metadata["jwks_uri"]))  # type: ignore[arg-type]

    async def _fetch(self, kept: _Kept, address: str) -> dict[str, Any]:
        if time.monotonic() < kept.until:
            return kept.value
        async with self._client() as client:
            response = await _ask(client.get(address))
        if response.status_code != 200:
            raise UnavailableError(f"your organisation's provider answers {response.status_code} at {address}")
        kept.value = _object(response)
        kept.asked = time.monotonic()
        kept.until = kept.asked + _CACHED_S
        return kept.value

    def _client(self) -> httpx.AsyncClient:
        if self._context is None:
            ca = self._oidc.ca_file
            try:
                self._context = ssl.create_default_context(cafile=str(ca) if ca else None)
            except OSError as error:
                raise ConfigError(f"the CA {ca} cannot be used: {error}") from None
        return httpx.AsyncClient(verify=self._context, timeout=_TIMEOUT_S, follow_redirects=False)


async def _ask(question: Any) -> httpx.Response:
    try:
        response: httpx.Response = await question
    except httpx.HTTPError as error:
        raise UnavailableError(f"your organisation's provider does not answer: {type(error).__name__}") from error
    return response


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json() if len(response.content) <= MAX_ANSWER else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UnavailableError("your organisation's provider answers with something else than JSON")
    return value


def _check_address(address: str) -> None:
    """Only TLS; without it on this machine alone, for trying things out."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        raise ConfigError(f"{address!r} is not an https address: see oidc.issuer")


def _refused(word: str, message: str) -> ApiError:
    return ApiError(401, word, message)
