"""Enrolment on the server's side: one-time tokens, and the certificate of a new agent.

Never keeps a token's secret, only its hash; never gives out more certificates than a token has uses.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from gateway.body import read_texts
from infra.files import write_whole
from infra.keys.signer import pinned_signers
from infra.pki import ca_fingerprint, issue_agent
from infra.pki.authority import load_ca
from infra.pki.certificates import key_of_request
from infra.pki.server_pins import trust_set
from schemas.enrolment import EnrolmentToken
from schemas.errors import ConfigError
from schemas.trust import TrustSet, read_pin

if TYPE_CHECKING:
    from infra.settings import Settings

TOKENS_NAME = "tokens.json"
SECRET_BYTES = 24
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Token:
    """What the server keeps of a token. `secret_hash` is SHA-256 in hex."""

    secret_hash: str
    expires_ms: int
    uses: int


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """The body of `POST /api/v1/enrol`."""

    secret: str
    csr: str
    computer: str
    user: str
    software: str
    backup_pin: str = ""
    """The pin of the key that the agent will use after this one, if it has one."""

    @classmethod
    def parse(cls, body: bytes) -> EnrolmentRequest:
        """Read the body; raises `MalformedError`."""
        fields = read_texts(body, ("secret", "csr"), ("computer", "user", "software", "backup_pin"))
        if fields["backup_pin"]:
            read_pin(fields["backup_pin"])
        return cls(**fields)


class TokenStore:
    """Tokens in one file, locked while it is changed, so that two processes never spend the same use."""

    def __init__(self, directory: Path, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._directory = directory
        self._clock_ms = clock_ms

    def add(self, secret: str, *, uses: int, expires_s: float) -> None:
        """Keep a new token; forget those that are over."""
        token = Token(hash_secret(secret), self._clock_ms() + int(expires_s * 1000), uses)
        with self._locked() as tokens:
            tokens.append(token)

    def spend(self, secret: str) -> bool:
        """Take one use of the token, if there is one; on disk before this returns."""
        wanted = hash_secret(secret)
        with self._locked() as tokens:
            for place, token in enumerate(tokens):
                if hmac.compare_digest(token.secret_hash, wanted):
                    tokens[place] = replace(token, uses=token.uses - 1)
                    return True
        return False

    @contextmanager
    def _locked(self) -> Iterator[list[Token]]:
        """The tokens that are good now; what the block leaves is written whole."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._read()
            tokens = [token for token in before if token.uses > 0 and token.expires_ms > self._clock_ms()]
            yield tokens
            if tokens != before:
                write_whole(self._directory / TOKENS_NAME, json.dumps([asdict(token) for token in tokens]).encode())

    def _read(self) -> list[Token]:
        path = self._directory / TOKENS_NAME
        try:
            return [Token(**row) for row in json.loads(path.read_bytes())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read ({error}); move it away: its tokens are void then") from None


def make_token(settings: Settings, *, uses: int = 1, expires_s: float = 3600.0) -> str:
    """A new enrolment token as text, for whoever sets up the endpoint; raises `ConfigError`."""
    if uses < 1 or expires_s <= 0:
        raise ConfigError("a token needs at least one use and some time to live")
    fingerprint = ca_fingerprint(read_ca(settings))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    TokenStore(enrolment_dir(settings)).add(secret, uses=uses, expires_s=expires_s)
    gateway = settings.gateway
    host = f"[{settings.node.advertise}]" if ":" in settings.node.advertise else settings.node.advertise
    signers = tuple(pinned_signers(settings.keys.dir).values())
    pins = trust_set(gateway.ca_file.parent).pins if gateway.pin_server else ()
    return str(EnrolmentToken(f"{host}:{gateway.https_port}", fingerprint, secret, signers, pins))


def check_request(settings: Settings, csr: str) -> None:
    """Raise `MalformedError` for a request that is not usable, `ConfigError` where nothing can be issued."""
    key_of_request(csr.encode())
    load_ca(settings.gateway.ca_file.parent)


def issue_certificate(settings: Settings, wish: EnrolmentRequest) -> tuple[str, str]:
    """The id of a new agent and its certificate (PEM), which the register has from then on."""
    agent = uuid4()
    directory = settings.gateway.ca_file.parent
    certificate = issue_agent(directory, agent.bytes, wish.csr.encode(), backup_pin=wish.backup_pin)
    return str(agent), certificate.decode("ascii")


def read_ca(settings: Settings) -> bytes:
    """The CA's certificate (PEM)."""
    try:
        return settings.gateway.ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"the CA {settings.gateway.ca_file} cannot be read: {error.strerror}") from None


def enrolment_dir(settings: Settings) -> Path:
    """Where tokens and revocations are kept."""
    return settings.node.data_dir / "enrol"


def hash_secret(secret: str) -> str:
    """SHA-256 in hex: a secret of 24 random bytes needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def enrolment_answer(
    agent_id: str, certificate: str, trust: TrustSet, recipients: list[str], policy: dict[str, Any]
) -> dict[str, Any]:
    """The body of a successful answer, as `docs/enrolment.md` says."""
    return {
        "agent_id": agent_id,
        "certificate": certificate,
        "ca": trust.ca,
        "trust": trust.to_json(),
        "recipients": recipients,
        "policy": policy,
    }
