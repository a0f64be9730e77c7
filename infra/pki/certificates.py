"""Certificates that the CA issues: to servers over keys of ours, to agents over keys that never leave them.

Never takes anything but the key from a request, and never issues what the register does not have first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.pki.authority import CA_NAME, Issued, load_bundle, load_ca
from infra.pki.files import read_key, write_key, write_public
from infra.pki.forms import PublicKey, host_name, is_issued_by, leaf_builder, purposes_of, strong_key
from infra.pki.register import Entry, Register, entry_of
from schemas.errors import ConfigError, MalformedError

RENEW_BEFORE = dt.timedelta(days=30)
_PEM = serialization.Encoding.PEM


def issue(directory: Path, name: str, *, server: bool, hosts: Sequence[str] = ()) -> Issued:
    """A certificate of the CA in `directory` for `name` (RSA-2048): `name.pem` with its chain, and `name.key`.

    One that is there, is of the CA that signs, good for a month and for what it is for, and names the same hosts, is
    kept; so is its key. One of somebody else's CA is kept whatever it names: it is theirs to look after.
    """
    issued = Issued(directory / f"{name}.pem", directory / f"{name}.key")
    alternatives = [host_name(host) for host in hosts]
    ca, _ = load_ca(directory)
    if is_foreign(issued) or _serves(issued, ca, alternatives, server=server):
        return issued
    if not issued.key.exists():
        write_key(issued.key, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    certify(directory, issued, server=server, alternatives=alternatives)
    return issued


def is_foreign(issued: Issued) -> bool:
    """Whether a certificate lies there that no CA of ours ever issued."""
    if not (issued.cert.exists() and issued.key.exists()):
        return False
    issuer = x509.load_pem_x509_certificate(issued.cert.read_bytes()).issuer.rfc4514_string()
    return not issuer.startswith(f"CN={CA_NAME}")


def reissue(directory: Path, name: str) -> Issued:
    """The same certificate anew, of the CA that signs now, over the key that is there; raises `ConfigError`."""
    issued = Issued(directory / f"{name}.pem", directory / f"{name}.key")
    try:
        before = x509.load_pem_x509_certificate(issued.cert.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"there is no certificate {issued.cert} to issue anew: {error}") from None
    certify(directory, issued, server=is_of_node(before), alternatives=_alternatives(before))
    return issued


def certify(directory: Path, issued: Issued, *, server: bool, alternatives: Sequence[x509.GeneralName]) -> None:
    """Issue for the key at `issued.key`, and put the certificate with its chain beside it."""
    name = issued.cert.stem
    ca, ca_key = load_ca(directory)
    try:
        public = read_key(issued.key).public_key()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the key {issued.key} cannot be used: {error}") from None
    builder = leaf_builder(name, ca, public, server=server)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    Register(directory).add(entry_of("server" if server else "client", name, certificate, ca))
    write_public(issued.cert, certificate.public_bytes(_PEM) + ca.public_bytes(_PEM))


def issue_agent(directory: Path, agent_id: bytes, request: bytes, *, backup_pin: str = "") -> bytes:
    """The certificate (PEM) of an agent that enrols, over the key in its request (PKCS#10, PEM).

    Nothing but the key is taken from the request: the id is the server's word. Raises `MalformedError`.
    """
    return certify_agent(directory, agent_id, request, backup_pin=backup_pin)[0]


def certify_agent(directory: Path, agent_id: bytes, request: bytes, *, backup_pin: str = "") -> tuple[bytes, Entry]:
    """The same, and what the register has of it."""
    certificate, entry = make_agent(directory, agent_id, request, backup_pin=backup_pin)
    Register(directory).add(entry)
    return certificate, entry


def make_agent(directory: Path, agent_id: bytes, request: bytes, *, backup_pin: str = "") -> tuple[bytes, Entry]:
    """The same, for who registers it before it is given out."""
    public = key_of_request(request)
    ca, ca_key = load_ca(directory)
    agent = UUID(bytes=agent_id)
    certificate = (
        leaf_builder(str(agent), ca, public, server=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(agent.urn)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    entry = entry_of("agent", str(agent), certificate, ca, backup_pin)
    return certificate.public_bytes(_PEM), entry


def key_of_request(request: bytes) -> PublicKey:
    """The key that a request (PKCS#10, PEM) proves to have; raises `MalformedError`."""
    try:
        csr = x509.load_pem_x509_csr(request)
        proven = csr.is_signature_valid
        public = strong_key(csr.public_key())
    except (ValueError, TypeError):
        raise MalformedError("not a certificate request in PEM", "bad_request") from None
    if not proven or public is None:
        raise MalformedError("the request's key is not RSA-2048 or more, nor P-256 or P-384", "bad_request")
    return public


def verify_agent(directory: Path, certificate: bytes) -> x509.Certificate:
    """An agent's certificate (PEM) that one of the trusted CAs issued and that holds now; raises `MalformedError`."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise MalformedError("not a certificate in PEM", "bad_request") from None
    if not any(is_issued_by(parsed, ca) for ca in load_bundle(directory)):
        raise MalformedError("the certificate is of no CA of ours", "bad_certificate")
    now = dt.datetime.now(dt.UTC)
    if not parsed.not_valid_before_utc <= now <= parsed.not_valid_after_utc:
        raise MalformedError("the certificate has expired", "bad_certificate")
    agent_of(parsed.public_bytes(serialization.Encoding.DER))
    return parsed


def agent_of(certificate: bytes) -> bytes:
    """The agent id (16 bytes) in an agent's certificate (DER); raises `MalformedError`."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        urns = names.get_values_for_type(x509.UniformResourceIdentifier)
        return UUID(next(urn for urn in urns if urn.startswith("urn:uuid:"))).bytes
    except (ValueError, StopIteration, x509.ExtensionNotFound):
        raise MalformedError("the certificate names no agent", "not_an_agent") from None


def _serves(issued: Issued, ca: x509.Certificate, alternatives: Sequence[x509.GeneralName], *, server: bool) -> bool:
    """The certificate is there, of the CA that signs, lasts a month more, is for that, and names all `alternatives`."""
    if not (issued.cert.exists() and issued.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(issued.cert.read_bytes())
    lasts = certificate.not_valid_after_utc >= dt.datetime.now(dt.UTC) + RENEW_BEFORE
    fits = read_key(issued.key).public_key() == certificate.public_key()
    suits = set(purposes_of(server=server)) <= set(purposes(certificate))
    names = set(alternatives) <= set(_alternatives(certificate))
    return fits and lasts and suits and names and is_issued_by(certificate, ca)


def purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    """What a certificate says that it is good for; nothing where it does not say."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []


def is_of_node(certificate: x509.Certificate) -> bool:
    """Whether it is a server's of ours: agents' certificates are for clients alone."""
    return x509.oid.ExtendedKeyUsageOID.SERVER_AUTH in purposes(certificate)


def _alternatives(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
