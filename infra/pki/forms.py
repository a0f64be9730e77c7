"""The forms of our certificates: names, usages and times.

Never lets a request decide on any of them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

CA_DAYS = 3650
LEAF_DAYS = 825
_CLOCK_SKEW = dt.timedelta(hours=1)


def leaf_builder(subject: str, ca: x509.Certificate, public: PublicKey, *, server: bool) -> x509.CertificateBuilder:
    """A server's or a client's certificate, all but its alternative names.

    Servers are nodes, which call each other too (R2.6): theirs is good for both ends.
    """
    # RSA key transport (R3.2) needs key encipherment, the other suites digital signature.
    usage = key_usage(digital_signature=True, key_encipherment=isinstance(public, rsa.RSAPublicKey))
    return (
        certificate_builder(common_name(subject), ca.subject, public, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes_of(server=server)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id(ca)), critical=False)
    )


def purposes_of(*, server: bool) -> list[x509.ObjectIdentifier]:
    """What a certificate of ours is good for."""
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return both if server else [ExtendedKeyUsageOID.CLIENT_AUTH]


def certificate_builder(subject: x509.Name, issuer: x509.Name, public: PublicKey, days: int) -> x509.CertificateBuilder:
    """What all certificates have."""
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


def key_usage(**named: bool) -> x509.KeyUsage:
    """These usages and no others."""
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    rest = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{use: named.get(use, False) for use in every + rest})


def common_name(text: str) -> x509.Name:
    """A name that is a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def host_name(host: str) -> x509.GeneralName:
    """A host as an alternative name: an address, or a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def key_id(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """The subject key identifier of a certificate that we made."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def is_issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether that CA signed it."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def strong_key(public: object) -> PublicKey | None:
    """The key, where it is of a kind and size that we issue for."""
    if isinstance(public, rsa.RSAPublicKey):
        return public if public.key_size >= 2048 else None
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in {"secp256r1", "secp384r1"}:
        return public
    return None
