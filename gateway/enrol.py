"""Enrolment on the server's side: one-time tokens, and the certificate of a new agent.

Never keeps a token's secret, only its hash; never gives out more certificates than a token has uses.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg

from gateway.body import read_texts
from infra.hosts import authority
from infra.keys.signer import pinned_signers
from infra.keys.table import connected, run_aside
from infra.pki import ca_fingerprint
from infra.pki.authority import load_ca
from infra.pki.certificates import key_of_request, make_agent
from infra.pki.follow import move_tokens, put_tokens
from infra.pki.register import Entry, Register
from infra.pki.server_pins import trust_set
from infra.pki.table import add_entries, has_use, spend_token
from infra.pki.tokens import Token, TokenStore, hash_secret
from schemas.enrolment import EnrolmentToken
from schemas.errors import ConfigError, UnavailableError
from schemas.trust import TrustSet, read_pin

if TYPE_CHECKING:
    from pathlib import Path

    from infra.keys.table import Connection
    from infra.settings import Settings

SECRET_BYTES = 24
AT_ONCE = 4
"""Certificates that are issued at the same time, each over a connection to the database."""


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


class Enrolment:
    """Certificates for tokens: by the table that masters share, or by this node's file before a database ever answered.

    The first time the table can be asked, it takes over the file's tokens for good (`keep_shared`).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = TokenStore(enrolment_dir(settings))
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def redeem(self, wish: EnrolmentRequest) -> tuple[str, str] | None:
        """The id of a new agent and its certificate (PEM), which the register has from then on; none for a bad token.

        Raises `MalformedError` for a request that is not usable, `OSError`, `ConfigError` or `UnavailableError` where
        nothing can be issued now.
        """
        await asyncio.to_thread(check_request, self._settings, wish.csr)
        if not self._tokens.moved:
            if await asyncio.to_thread(self._tokens.spend, wish.secret):
                agent, certificate, entry = await asyncio.to_thread(make_certificate, self._settings, wish)
                await asyncio.to_thread(register_here, self._settings, entry)
                return agent, certificate
            if not self._tokens.moved:
                return None
        try:
            async with self._at_once, connected(self._settings) as connection:
                return await self._redeem_shared(connection, wish)
        except asyncpg.PostgresError as error:
            raise UnavailableError(f"PostgreSQL says {type(error).__name__} ({error.sqlstate})") from error

    async def _redeem_shared(self, connection: Connection, wish: EnrolmentRequest) -> tuple[str, str] | None:
        """The same by the table. Signing takes long, so it is done before the use is held."""
        secret_hash = hash_secret(wish.secret)
        if not await has_use(connection, secret_hash):
            return None
        agent, certificate, entry = await asyncio.to_thread(make_certificate, self._settings, wish)
        async with connection.transaction():
            if not await spend_token(connection, secret_hash):
                return None
            await asyncio.to_thread(register_here, self._settings, entry)
            await add_entries(connection, [entry])
        return agent, certificate


def keep_token(settings: Settings, secret: str, *, uses: int, expires_s: float) -> None:
    """Keep a token in the table, with those that the file still has; in the file where no database ever answered.

    Raises `UnavailableError` while the database is away that has this node's tokens.
    """
    store = TokenStore(enrolment_dir(settings))
    token = Token(hash_secret(secret), time.time_ns() // 1_000_000 + int(expires_s * 1000), uses)
    try:
        move_tokens(settings, store)
        run_aside(put_tokens(settings, [token]))
    except UnavailableError:
        if store.moved:
            raise
        store.add(secret, uses=uses, expires_s=expires_s)


def make_token(settings: Settings, *, uses: int = 1, expires_s: float = 3600.0) -> str:
    """A new enrolment token as text, for whoever sets up the endpoint; raises `ConfigError` or `UnavailableError`."""
    if uses < 1 or expires_s <= 0:
        raise ConfigError("a token needs at least one use and some time to live")
    fingerprint = ca_fingerprint(read_ca(settings))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    keep_token(settings, secret, uses=uses, expires_s=expires_s)
    gateway = settings.gateway
    signers = tuple(pinned_signers(settings.keys.dir).values())
    pins = trust_set(gateway.ca_file.parent).pins if gateway.pin_server else ()
    return str(
        EnrolmentToken(authority(settings.node.advertise, gateway.https_port), fingerprint, secret, signers, pins)
    )


def check_request(settings: Settings, csr: str) -> None:
    """Raise `MalformedError` for a request that is not usable, `ConfigError` where nothing can be issued."""
    key_of_request(csr.encode())
    load_ca(settings.gateway.ca_file.parent)


def make_certificate(settings: Settings, wish: EnrolmentRequest) -> tuple[str, str, Entry]:
    """The id of a new agent, its certificate (PEM), and what the register must have of it before it is given out."""
    agent = uuid4()
    directory = settings.gateway.ca_file.parent
    certificate, entry = make_agent(directory, agent.bytes, wish.csr.encode(), backup_pin=wish.backup_pin)
    return str(agent), certificate.decode("ascii"), entry


def register_here(settings: Settings, entry: Entry) -> None:
    """Put it into this node's register; raises `ConfigError`."""
    directory = settings.gateway.ca_file.parent
    try:
        Register(directory).add(entry)
    except OSError as error:
        raise ConfigError(f"the register in {directory} cannot be written: {error.strerror}") from error


def read_ca(settings: Settings) -> bytes:
    """The CA's certificate (PEM)."""
    try:
        return settings.gateway.ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"the CA {settings.gateway.ca_file} cannot be read: {error.strerror}") from None


def enrolment_dir(settings: Settings) -> Path:
    """Where tokens and revocations are kept."""
    return settings.node.data_dir / "enrol"


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
