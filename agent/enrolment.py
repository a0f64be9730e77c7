"""Enrolling: a token becomes an identity (`docs/enrolment.md`).

Never shows the token's secret to a server that does not prove to be the token's.
"""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization

from agent.clock import Clock
from agent.endpoint import SOFTWARE, computer_name, user_name
from agent.https import Answer, request
from agent.identity import AgentIdentity, save_identity
from agent.kek import read_recipients
from agent.key_sets import save_signers
from agent.policy import Policy
from agent.tls_key import BACKUP_KEY, RENEWED, Key, key_pem, make_key, write_request
from agent.trust import check_pins, save_trust
from infra.files import write_whole
from infra.pki.pins import pin_of
from schemas.enrolment import CA_PATH, ENROL_PATH, EnrolmentToken
from schemas.errors import ConfigError, MalformedError, RemoteError, UnavailableError
from schemas.identity import agent_bytes
from schemas.trust import TrustSet, write_pin

TIMEOUT_S = 20.0


class RefusedError(RemoteError):
    """The server does not let this agent enrol."""


async def enrol(token: EnrolmentToken, directory: Path, clock: Clock) -> tuple[AgentIdentity, Policy]:
    """Enrol at the token's server and write the identity into `directory`; the policy comes with it.

    Raises `UnavailableError`, `RefusedError`, or `MalformedError` for a server that does not keep to the specification.
    """
    ca = await _fetch_ca(token, clock)
    key, backup = make_key(), make_key()
    body = {
        "secret": token.secret,
        "csr": write_request(key),
        "backup_pin": write_pin(pin_of(backup.public_key())),
        "computer": computer_name(),
        "user": user_name(),
        "software": SOFTWARE,
    }
    context = ssl.create_default_context(cadata=_pem(ca))
    options: dict[str, Any] = {"clock": clock, "timeout": TIMEOUT_S, "check": partial(check_pins, pins=token.pins)}
    answer = await request(token.server, "POST", ENROL_PATH, context, body=body, **options)
    granted = _granted(token.server, answer)
    policy = _check(granted, key, ca)
    trust = _trust(granted, token, ca)
    identity = AgentIdentity(granted["agent_id"], token.server, clock.now_us() // 1000)
    try:
        _keep_trust(directory, trust, backup)
        save_signers(directory, token.signers)
        save_identity(
            directory,
            identity,
            key=key_pem(key),
            certificate=granted["certificate"],
            ca=trust.ca,
            recipients=granted["recipients"],
        )
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror}; give another with --dir") from None
    return identity, policy


async def _fetch_ca(token: EnrolmentToken, clock: Clock) -> x509.Certificate:
    """The CA whose fingerprint the token names. Nothing secret is sent on this connection."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    check = partial(check_pins, pins=token.pins)
    answer = await request(token.server, "GET", CA_PATH, unverified, clock=clock, timeout=TIMEOUT_S, check=check)
    if answer.status != 200:
        raise UnavailableError(f"{token.server} answers {answer.status} when asked for its CA: is it a gateway?")
    try:
        told = x509.load_pem_x509_certificates(answer.body)
    except ValueError:
        raise MalformedError(f"{token.server} does not tell its CA as PEM", "bad_answer") from None
    for ca in told:  # two, while one takes over from the other
        if ca.fingerprint(hashes.SHA256()) == token.fingerprint:
            return ca
    raise RefusedError(
        f"{token.server} is not the server that made this token: its CA is another one; nothing was sent to it"
    )


def _keep_trust(directory: Path, trust: TrustSet, backup: Key) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    (directory / RENEWED).unlink(missing_ok=True)  # of the identity before
    save_trust(directory, trust)
    write_whole(directory / BACKUP_KEY, key_pem(backup))


def _trust(granted: dict[str, Any], token: EnrolmentToken, ca: x509.Certificate) -> TrustSet:
    """What to know the server by from now on; raises `MalformedError` where that leaves out what the token names."""
    told = granted.get("trust")
    trust = TrustSet.from_json(told) if told is not None else TrustSet(0, _pem(ca))
    cas = x509.load_pem_x509_certificates(trust.ca.encode())
    if ca not in cas or (token.pins and not trust.pins):
        raise MalformedError("the server's answer leaves out what the token knows it by", "bad_answer")
    return trust


def _granted(server: str, answer: Answer) -> dict[str, Any]:
    if answer.status == 200:
        return answer.json()
    try:
        said = str(answer.json().get("error", ""))[:200]
    except MalformedError:
        said = ""
    if answer.status == 403:
        raise RefusedError(f"{server} refuses the token (unknown, used up or expired): make a new one {said}".rstrip())
    if answer.status in {429, 500, 502, 503, 504}:
        raise UnavailableError(f"{server} cannot enrol now (status {answer.status}): try again later. {said}".rstrip())
    raise RefusedError(f"{server} refuses to enrol this agent (status {answer.status}): {said}")


def _check(granted: dict[str, Any], key: Key, ca: x509.Certificate) -> Policy:
    """Raise `MalformedError` unless the answer is whole and about our key; the policy in it."""
    texts = [granted.get(name) for name in ("agent_id", "certificate", "ca")]
    recipients = granted.get("recipients")
    if not all(isinstance(text, str) for text in texts) or not isinstance(recipients, list):
        raise MalformedError("the server's answer lacks a field", "bad_answer")
    try:
        agent_bytes(granted["agent_id"])
        certificate = x509.load_pem_x509_certificate(granted["certificate"].encode())
        certificate.verify_directly_issued_by(ca)
        ours = certificate.public_key() == key.public_key()
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        urns = names.get_values_for_type(x509.UniformResourceIdentifier)
        read_recipients("\n".join(map(str, recipients)).encode())
    except (ValueError, TypeError, InvalidSignature, ConfigError, x509.ExtensionNotFound):
        raise MalformedError("the server's answer is not usable", "bad_answer") from None
    if not ours or f"urn:uuid:{granted['agent_id']}" not in urns:
        raise MalformedError("the server's certificate is not for this agent", "bad_answer")
    return Policy.from_json(granted.get("policy") or {})


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
