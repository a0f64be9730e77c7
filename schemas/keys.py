"""Recipient and identity: the public and private half of a KEK, which wrap and unwrap DEKs.

Reads no file and keeps no passphrase; a private key exists only as long as its `Identity`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from schemas.errors import ConfigError, OpenError
from schemas.work_factor import check_work_factor

MIN_KEK_BITS = 2048
"""The datasheet's KEK (R6.2); anything shorter is refused."""

MAX_KEK_BITS = 8192
"""A DEK that is wrapped under more than that fits no envelope."""

KEK_BITS = 3072
"""What the product makes."""

DEK_BYTES = 32

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)


class Unwrapper(Protocol):
    """Whatever can unwrap a DEK: an `Identity`, or a key that lives in a token or a key-management service."""

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the KEK's SubjectPublicKeyInfo, 32 bytes."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """The 32-byte DEK; raises `OpenError`."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The public half of a KEK."""

    public_key: rsa.RSAPublicKey
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        bits = self.public_key.key_size
        if bits < MIN_KEK_BITS:
            raise ConfigError(f"a KEK must have at least {MIN_KEK_BITS} bits, this one has {bits}")
        if bits > MAX_KEK_BITS:
            raise ConfigError(f"a KEK has at most {MAX_KEK_BITS} bits, this one has {bits}")
        spki = self.public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        object.__setattr__(self, "key_id", hashlib.sha256(spki).digest())

    @classmethod
    def from_pem(cls, pem: bytes) -> Recipient:
        """The recipient in a PEM public key (R6.2); raises `ConfigError`."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigError("not a public key in PEM; `openssl pkey -pubout` makes one from a private key") from None
        if not isinstance(key, rsa.RSAPublicKey):
            raise ConfigError("a KEK must be an RSA key")
        return cls(key)

    def to_pem(self) -> bytes:
        """The public key in PEM."""
        return self.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def wrap(self, dek: bytes) -> bytes:
        """`dek` under RSA-OAEP-SHA256: as many bytes as the KEK's modulus."""
        return self.public_key.encrypt(dek, _OAEP)


@dataclass(frozen=True, slots=True)
class Identity:
    """The private half of a KEK."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    recipient: Recipient = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipient", Recipient(self.private_key.public_key()))

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the KEK's SubjectPublicKeyInfo, 32 bytes."""
        return self.recipient.key_id

    @classmethod
    def generate(cls, bits: int = KEK_BITS) -> Identity:
        """A new KEK."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | bytearray | None = None) -> Identity:
        """The identity in a PEM private key (R6.5); raises `ConfigError`."""
        check_work_factor(pem)
        try:
            key = serialization.load_pem_private_key(pem, passphrase)  # type: ignore[arg-type]  # takes a bytearray too
        except TypeError:
            need = "is not protected by a passphrase" if passphrase else "needs a passphrase"
            raise ConfigError(f"this private key {need}") from None
        except (ValueError, UnsupportedAlgorithm, InternalError):
            raise ConfigError("not a private key in PEM, or the passphrase is wrong") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ConfigError("a KEK must be an RSA key")
        return cls(key)

    def to_pem(self, passphrase: bytes) -> bytes:
        """The private key in PKCS#8 PEM under `passphrase`."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase),
        )

    def unwrap(self, wrapped: bytes) -> bytes:
        """The DEK in `wrapped`; raises `OpenError`."""
        try:
            dek = self.private_key.decrypt(wrapped, _OAEP)
        except ValueError:
            raise OpenError from None
        if len(dek) != DEK_BYTES:
            raise OpenError
        return dek
