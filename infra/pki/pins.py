"""Pins: SHA-256 of a key's SubjectPublicKeyInfo (RFC 7469), by which one party knows another's key itself.

Never of a certificate: a certificate is renewed over the same key, and the pin stays.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from infra.pki.forms import PublicKey
from schemas.errors import MalformedError
from schemas.trust import write_pin


def pin_of(public: PublicKey) -> bytes:
    """The pin of a public key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).digest()


def pin_of_file(certificate: Path) -> str:
    """The pin, as text, of the key in a certificate's file (PEM)."""
    return write_pin(pin_of(x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()))  # type: ignore[arg-type]


def pin_of_certificate(der: bytes) -> bytes:
    """The pin of the key in a certificate (DER), of whatever kind it is; raises `MalformedError`."""
    try:
        public = x509.load_der_x509_certificate(der).public_key()
    except ValueError:
        raise MalformedError("not a certificate", "bad_certificate") from None
    return pin_of(public)  # type: ignore[arg-type]  # every kind of public key has the same bytes
