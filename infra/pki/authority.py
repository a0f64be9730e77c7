"""The product's own CA: its certificate and key, and the way from one CA to the next without an outage.

Never signs with a CA that is not in the file which everybody trusts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.pki.files import read_key, write_key, write_public
from infra.pki.forms import CA_DAYS, certificate_builder, common_name, key_usage
from schemas.errors import ConfigError

CA_NAME = "sealstream CA"
"""Begins the common name of every CA of ours; the second has a 2 after it, and so on."""

CA_CERT, CA_KEY = "ca.pem", "ca.key"
OTHER_CERT, OTHER_KEY = "ca.other.pem", "ca.other.key"
"""The CA that comes, or that goes, while one takes over from the other."""


@dataclass(frozen=True, slots=True)
class Issued:
    """Where a certificate and its key lie."""

    cert: Path
    key: Path


def make_ca(directory: Path, name: str = CA_NAME) -> Issued:
    """The CA in `directory`, made if there is none: `ca.pem` and `ca.key` (RSA-3072)."""
    issued = Issued(directory / CA_CERT, directory / CA_KEY)
    if not (issued.cert.exists() and issued.key.exists()):
        _make(issued, name)
    return issued


def load_ca(directory: Path) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """The CA that signs now: the one whose key is there; raises `ConfigError`."""
    key = _load_key(directory / CA_KEY)
    for certificate in load_bundle(directory):
        if certificate.public_key() == key.public_key():
            return certificate, key
    raise ConfigError(f"there is no usable CA in {directory}: {CA_KEY} is the key of none in {CA_CERT}")


def load_bundle(directory: Path) -> list[x509.Certificate]:
    """Every CA that is trusted, the one that signs first; raises `ConfigError`."""
    try:
        return x509.load_pem_x509_certificates((directory / CA_CERT).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"there is no usable CA in {directory}: {error}") from None


def ca_fingerprint(ca_pem: bytes) -> bytes:
    """SHA-256 of the signing CA's certificate (DER), by which an enrolment token names it."""
    return x509.load_pem_x509_certificates(ca_pem)[0].fingerprint(hashes.SHA256())


def is_rotating(directory: Path) -> bool:
    """Whether two CAs are trusted now."""
    return len(load_bundle(directory)) > 1


def signs_newer(directory: Path) -> bool:
    """Whether, of two CAs, the one that was made later signs; raises `ConfigError` where there is but one."""
    signing, other = _both(directory)
    return _number_of(signing) > _number_of(other)


def begin_rotation(directory: Path) -> x509.Certificate:
    """Make the next CA and trust it beside the one that signs; raises `ConfigError` while another rotation goes on."""
    signing = load_bundle(directory)
    if len(signing) > 1:
        raise ConfigError("a rotation of the CA is under way: finish it, or take it back")
    other = Issued(directory / OTHER_CERT, directory / OTHER_KEY)
    for left in (other.cert, other.key):  # of a rotation that was taken back, or cut short before it was trusted
        left.unlink(missing_ok=True)
    number = _number_of(signing[0]) + 1
    _make(other, f"{CA_NAME} {number}")
    coming = x509.load_pem_x509_certificate(other.cert.read_bytes())
    _write_bundle(directory, [signing[0], coming])
    return coming


def switch_rotation(directory: Path) -> None:
    """Let the other of the two CAs sign from now on; the way there and the way back are the same."""
    signing, other = _both(directory)
    kept = read_key(directory / CA_KEY)
    _load_key(directory / OTHER_KEY)
    # Killed between any two of these, both CAs are trusted and the one whose key is in place signs.
    (directory / OTHER_KEY).rename(directory / f"{CA_KEY}.next")
    write_key_over(directory / OTHER_KEY, kept)
    (directory / f"{CA_KEY}.next").rename(directory / CA_KEY)
    write_public(directory / OTHER_CERT, signing.public_bytes(serialization.Encoding.PEM))
    _write_bundle(directory, [other, signing])


def finish_rotation(directory: Path) -> x509.Certificate:
    """Trust the signing CA alone, and forget the other's key; gives the CA that is trusted no more."""
    signing, gone = _both(directory)
    _write_bundle(directory, [signing])
    (directory / OTHER_KEY).unlink(missing_ok=True)
    (directory / OTHER_CERT).unlink(missing_ok=True)
    return gone


def write_key_over(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Put a key in place of another, whole."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    write_key(beside, key)
    beside.rename(path)


def _both(directory: Path) -> tuple[x509.Certificate, x509.Certificate]:
    bundle = load_bundle(directory)
    if len(bundle) != 2:
        raise ConfigError("no rotation of the CA is under way: `sealstream pki rotate ca begin` begins one")
    return bundle[0], bundle[1]


def _make(issued: Issued, name: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    subject = common_name(name)
    certificate = (
        certificate_builder(subject, subject, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_key(issued.key, key)
    write_public(issued.cert, certificate.public_bytes(serialization.Encoding.PEM))


def _write_bundle(directory: Path, certificates: list[x509.Certificate]) -> None:
    pems = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates]
    write_public(directory / CA_CERT, b"".join(pems))


def _number_of(ca: x509.Certificate) -> int:
    """The number at the end of a CA's name; the first has none. Two CAs of one name would confuse who builds chains."""
    last = ca.subject.rfc4514_string().rpartition(" ")[2]
    return int(last) if last.isdecimal() else 1


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        return read_key(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"there is no usable CA in {path.parent}: {error}") from None
