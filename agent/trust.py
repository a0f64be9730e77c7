"""By what this agent knows its servers: the CAs, the pins of their keys, and its own certificate; kept up to date.

Never lets a byte of ours out, or theirs in, before the key at the other end is known; never takes a set that is older,
or that would lock this agent out of the very server which told it.
"""

from __future__ import annotations

import datetime as dt
import json
import ssl
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509

from agent.clock import Clock
from agent.https import Answer, Connected, request
from agent.identity import CA, CERTIFICATE, KEY, tls_context
from agent.masters import Masters
from agent.tls_key import BACKUP_KEY, Key, finish_renewal, keep_renewal, load_key, make_key, write_request
from infra.files import write_whole
from infra.pki.forms import is_issued_by
from infra.pki.pins import pin_of, pin_of_certificate
from schemas.errors import ConfigError, MalformedError, RemoteError, SealstreamError
from schemas.trust import RENEW_PATH, TRUST_PATH, TrustSet, write_pin

log = structlog.get_logger()

RENEW_BEFORE = dt.timedelta(days=30)
RETRY_S = 60.0
TRUST = "trust.json"
"""In the agent directory: version and pins; the CAs stand in `ca.pem`."""

Pinning = str
"""`told`: pins that the server tells are kept to. `always`: without pins nothing is sent. `never`: they are ignored."""


class UntrustedError(RemoteError):
    """The key at the other end is not one that this agent has pinned."""


class Trust:
    """The trust of the agent in `directory`. `context` is what to connect with now."""

    def __init__(self, directory: Path, profile: str, *, pinning: Pinning = "told") -> None:
        self._directory = directory
        self._profile = profile
        self._pinning = pinning
        finish_renewal(directory)
        self.held = load_trust(directory)
        self.context = tls_context(directory, profile)
        self._stamp = self._look()
        if pinning == "always" and not self.held.pins:
            raise ConfigError(
                "pin_server is `always`, and this agent knows no pins: enrol it at a server with gateway.pin_server on"
            )

    def check(self, connected: Connected) -> None:
        """Raise `UntrustedError` unless the other end showed a pinned key; comes right after the handshake."""
        check_pins(connected, () if self._pinning == "never" else self.held.pins)

    def take(self, told: TrustSet, shown: bytes) -> bool:
        """Keep what a server told whose certificate is `shown` (DER); whether it is new. Raises `MalformedError`."""
        if told.version <= self.held.version:
            return False
        if told.pins and pin_of_certificate(shown) not in told.pins:
            raise MalformedError("the server's pins leave out its own key", "bad_trust")
        if self._pinning == "always" and not told.pins:
            raise MalformedError("the server takes its pins back, and pin_server is `always`", "bad_trust")
        certificate = x509.load_der_x509_certificate(shown)
        if not any(is_issued_by(certificate, ca) for ca in x509.load_pem_x509_certificates(told.ca.encode())):
            raise MalformedError("the server's CAs leave out the one of its own certificate", "bad_trust")
        save_trust(self._directory, told)
        self.held = told
        self._look_again()
        log.info("trust_changed", version=told.version, pins=len(told.pins))
        return True

    async def refresh(self, address: str | Masters, agent_id: str, clock: Clock, timeout_s: float) -> None:
        """Ask the server at `address` what is new, and for a new certificate when ours must change."""
        shown: list[bytes] = []

        def check(connected: Connected) -> None:
            self.check(connected)
            shown.append(_certificate_of(connected))

        path = f"{TRUST_PATH}?agent={agent_id}&have={self.held.version}"
        answer = await request(address, "GET", path, self.context, clock=clock, timeout=timeout_s, check=check)
        if answer.status == 200:
            self.take(TrustSet.from_json(answer.json()), shown[-1])
        if self._look() != self._stamp:  # another process of this agent renewed it
            self._look_again()
        if self.must_renew():
            await self._renew(address, clock, timeout_s, load_key(self._directory / KEY))

    def must_renew(self) -> bool:
        """Whether our certificate ends soon, or is of a CA that is to go."""
        ours = self._certificate()
        signing = x509.load_pem_x509_certificates((self._directory / CA).read_bytes())[0]
        return ours.not_valid_after_utc < dt.datetime.now(dt.UTC) + RENEW_BEFORE or not is_issued_by(ours, signing)

    async def rotate_key(self, address: str | Masters, clock: Clock, timeout_s: float) -> None:
        """Use the backup key from now on, with a new one after it.

        Killed at any point, the agent goes on with a key and a certificate that belong together: the server takes
        those of before for a while.
        """
        await self._renew(address, clock, timeout_s, load_key(self._directory / BACKUP_KEY), make_key())

    async def keep(
        self, address: str | Masters, agent_id: str, clock: Clock, *, every_s: float, timeout_s: float
    ) -> None:
        """Refresh now and then until cancelled; a server that is away is asked again."""
        while True:
            try:
                await self.refresh(address, agent_id, clock, timeout_s)
                pause_s = every_s
            except (SealstreamError, OSError, ValueError) as error:
                log.info("trust_not_refreshed", reason=str(error))
                pause_s = min(RETRY_S, every_s)
            await clock.sleep(pause_s)

    async def _renew(
        self, address: str | Masters, clock: Clock, timeout_s: float, key: Key, after: Key | None = None
    ) -> None:
        """A new certificate over `key`; with `after`, that is its backup from then on."""
        body = {"certificate": (self._directory / CERTIFICATE).read_text(), "csr": write_request(key)}
        if after is not None:
            body["backup_pin"] = write_pin(pin_of(after.public_key()))
        options: dict[str, Any] = {"clock": clock, "timeout": timeout_s, "check": self.check}
        answer = await request(address, "POST", RENEW_PATH, self.context, body=body, **options)
        if answer.status != 200:
            raise RemoteError(f"the server does not renew our certificate (status {answer.status}): {_said(answer)}")
        certificate = str(answer.json().get("certificate", ""))
        self._accept(certificate, key)
        keep_renewal(self._directory, certificate, key, after)
        self._look_again()
        log.info("certificate_renewed", key_changed=after is not None)

    def _look_again(self) -> None:
        """Connect with what is in the directory now."""
        self.context = tls_context(self._directory, self._profile)
        self._stamp = self._look()

    def _look(self) -> int:
        return (self._directory / CERTIFICATE).stat().st_mtime_ns

    def _accept(self, pem: str, key: Key) -> None:
        """Raise `MalformedError` for a certificate that is not ours to use."""
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
        except ValueError:
            raise MalformedError("the server's answer is not a certificate", "bad_answer") from None
        cas = x509.load_pem_x509_certificates((self._directory / CA).read_bytes())
        same = certificate.subject == self._certificate().subject
        if (
            certificate.public_key() != key.public_key()
            or not same
            or not any(is_issued_by(certificate, ca) for ca in cas)
        ):
            raise MalformedError("the new certificate is not for this agent", "bad_answer")

    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self._directory / CERTIFICATE).read_bytes())


def check_pins(connected: Connected, pins: tuple[bytes, ...]) -> None:
    """Raise `UntrustedError` unless the other end showed one of the keys; no pins is any key."""
    if pins and pin_of_certificate(_certificate_of(connected)) not in pins:
        raise UntrustedError("the server's key is not one that this agent has pinned: nothing was sent to it")


def load_trust(directory: Path) -> TrustSet:
    """What is held; an agent that enrolled where nothing was told has its CA alone. Raises `ConfigError`."""
    path = directory / TRUST
    try:
        ca = (directory / CA).read_text("ascii")
        body = json.loads(path.read_bytes()) if path.exists() else {"version": 0, "pins": []}
        return TrustSet.from_json({**body, "ca": ca})
    except (OSError, ValueError, TypeError, MalformedError) as error:
        raise ConfigError(f"{path} is not usable ({error}): enrol again with --force") from None


def save_trust(directory: Path, told: TrustSet) -> None:
    """Keep a set: the CAs first, since they only grow before the pins change."""
    write_whole(directory / CA, told.ca.encode(), mode=0o644)
    body = {key: value for key, value in told.to_json().items() if key != "ca"}
    write_whole(directory / TRUST, json.dumps(body, indent=2).encode() + b"\n", mode=0o644)


def _certificate_of(connected: Connected) -> bytes:
    tls: ssl.SSLObject | None = connected.get_extra_info("ssl_object")
    shown = tls.getpeercert(binary_form=True) if tls is not None else None
    if not shown:
        raise UntrustedError("the server showed no certificate")
    return shown


def _said(answer: Answer) -> str:
    """The server's own words, as far as they are words."""
    try:
        return str(answer.json().get("error", ""))[:200]
    except MalformedError:
        return "no reason given"
