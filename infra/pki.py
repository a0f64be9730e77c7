"""The product's own CA: the certificates of its servers and of the agents that enrol.

Never writes a private key that others than its owner can read, and never overwrites one.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schemas.errors import ConfigError, MalformedError

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

CA_CERT, CA_KEY = "ca.pem", "ca.key"

_CA_DAYS = 3650
_LEAF_DAYS = 825
_CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """Where a certificate and its key lie."""

    cert: Path
    key: Path


def make_ca(directory: Path, name: str = "sealstream CA") -> Issued:
    """The CA in `directory`, made if there is none: `ca.pem` and `ca.key` (RSA-3072)."""
    issued = Issued(directory / CA_CERT, directory / CA_KEY)
    if issued.cert.exists() and issued.key.exists():
        return issued
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key.public_key(), _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(issued.key, key)
    write_public(issued.cert, certificate.public_bytes(serialization.Encoding.PEM))
    return issued


def issue(directory: Path, name: str, *, server: bool, hosts: Sequence[str] = ()) -> Issued:
    """A certificate of the CA in `directory` for `name` (RSA-2048), with a new key: `name.pem`, `name.key`.

    One that is there, still good for a month, and names the same hosts, is kept.
    """
    issued = Issued(directory / f"{name}.pem", directory / f"{name}.key")
    alternatives = [_host_name(host) for host in hosts]
    if _serves(issued, alternatives):
        return issued
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ca, ca_key = _load_ca(directory)
    builder = _leaf(_name(name), ca, key.public_key(), server=server)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    issued.key.unlink(missing_ok=True)
    _write_key(issued.key, key)
    pem = serialization.Encoding.PEM
    write_public(issued.cert, certificate.public_bytes(pem) + ca.public_bytes(pem))
    return issued


def issue_agent(directory: Path, agent_id: bytes, request: bytes) -> bytes:
    """The certificate (PEM) of an agent that enrols, over the key in its request (PKCS#10, PEM).

    Nothing but the key is taken from the request: the id is the server's word. Raises `MalformedError`.
    """
    try:
        csr = x509.load_pem_x509_csr(request)
        proven = csr.is_signature_valid
        public = _strong(csr.public_key())
    except (ValueError, TypeError):
        raise MalformedError("not a certificate request in PEM", "bad_request") from None
    if not proven or public is None:
        raise MalformedError("the request's key is not RSA-2048 or more, nor P-256 or P-384", "bad_request")
    ca, ca_key = _load_ca(directory)
    agent = UUID(bytes=agent_id)
    certificate = (
        _leaf(_name(str(agent)), ca, public, server=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(agent.urn)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def agent_of(certificate: bytes) -> bytes:
    """The agent id (16 bytes) in an agent's certificate (DER); raises `MalformedError`."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        urns = names.get_values_for_type(x509.UniformResourceIdentifier)
        return UUID(next(urn for urn in urns if urn.startswith("urn:uuid:"))).bytes
    except (ValueError, StopIteration, x509.ExtensionNotFound):
        raise MalformedError("the certificate names no agent", "not_an_agent") from None


def ca_fingerprint(ca_pem: bytes) -> bytes:
    """SHA-256 of the CA's certificate (DER), by which an enrolment token names it."""
    return x509.load_pem_x509_certificate(ca_pem).fingerprint(hashes.SHA256())


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that its owner alone may read; raises `FileExistsError` for one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


def write_public(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, for everyone to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(data)
    beside.chmod(0o644)
    beside.rename(path)


def _load_ca(directory: Path) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((directory / CA_CERT).read_bytes())
        key = serialization.load_pem_private_key((directory / CA_KEY).read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"there is no usable CA in {directory}: {error}") from None
    assert isinstance(key, rsa.RSAPrivateKey)
    return certificate, key


def _leaf(subject: x509.Name, ca: x509.Certificate, public: PublicKey, *, server: bool) -> x509.CertificateBuilder:
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    # RSA key transport (R3.2) needs key encipherment, the other suites digital signature.
    usage = _usage(digital_signature=True, key_encipherment=isinstance(public, rsa.RSAPublicKey))
    return (
        _builder(subject, ca.subject, public, _LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )


def _builder(subject: x509.Name, issuer: x509.Name, public: PublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(**named: bool) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    rest = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{use: named.get(use, False) for use in every + rest})


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _serves(issued: Issued, alternatives: Sequence[x509.GeneralName]) -> bool:
    """The certificate is there, lasts a month more, and names all `alternatives`."""
    if not (issued.cert.exists() and issued.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(issued.cert.read_bytes())
    if certificate.not_valid_after_utc < dt.datetime.now(dt.UTC) + dt.timedelta(days=30):
        return False
    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not alternatives
    return set(alternatives) <= set(named)


def _strong(public: object) -> PublicKey | None:
    """The key, where it is of a kind and size that we issue for."""
    if isinstance(public, rsa.RSAPublicKey):
        return public if public.key_size >= 2048 else None
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in {"secp256r1", "secp384r1"}:
        return public
    return None


def _write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_secret(path, key.private_bytes(encoding, form, serialization.NoEncryption()))
