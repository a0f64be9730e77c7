"""Sealing: an epoch turns segments into envelopes. The mirror image is `schemas.opening`.

An epoch's DEK and counter live and die with this object; neither is ever written or copied out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.envelope import (
    MAX_LENGTH,
    MAX_RECIPIENTS,
    RANDOM_BYTES,
    TAG_BYTES,
    ZERO_LINK,
    EpochFlags,
    RecordFlags,
    RecordHeader,
    WrappedKey,
    build_core,
    build_recipients,
    build_record_header,
    first_hash,
    next_hash,
    next_link,
)
from schemas.errors import LocalError
from schemas.keys import DEK_BYTES, Recipient
from schemas.kinds import ContentType, StreamKind

MAX_EPOCH_MS = 15 * 60 * 1000
MAX_EPOCH_BYTES = 64 * 1024**3
MAX_EPOCH_RECORDS = 1 << 32

Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, repr=False)
class EpochKeys:
    """What HKDF makes of a DEK and a core, as `ENVELOPE.md` says."""

    key: bytes
    commitment: bytes
    mac_key: bytes


def derive_keys(dek: bytes, epoch_id: bytes, core: bytes) -> EpochKeys:
    """The keys of an epoch: HKDF-SHA256 (RFC 5869), 32 bytes each, hence one block of HKDF-Expand."""
    prk = hmac.digest(epoch_id, dek, "sha256")
    core_hash = hashlib.sha256(core).digest()

    def expand(label: bytes) -> bytes:
        return hmac.digest(prk, label + core_hash + b"\x01", "sha256")

    return EpochKeys(expand(b"sealstream/1 key"), expand(b"sealstream/1 commitment"), expand(b"sealstream/1 mac"))


def signed_bytes(core: bytes, commitment: bytes) -> bytes:
    """What an agent's Ed25519 signature covers."""
    return b"sealstream/1 signature" + core + commitment


def finish_header(head: bytes, wrapped: Sequence[WrappedKey], mac_key: bytes) -> bytes:
    """An epoch header: `head` (core, commitment, signature), recipients, and the MAC over both."""
    body = head + build_recipients(wrapped)
    return body + hmac.digest(mac_key, body, "sha256")


class Epoch:
    """The life of one DEK in one agent process for one stream. Made by `Epoch.begin`."""

    def __init__(self, *, kind: StreamKind, core: bytes, header: bytes, key: bytes, entropy: Entropy) -> None:
        self.kind = kind
        self.header = header
        self.sequence = 0
        """Sequence of the next record."""
        self.sealed_bytes = 0
        self._core = core
        self._hash = first_hash(core)
        self._cipher = AESGCM(key)
        self._entropy = entropy
        self._over = False

    @classmethod
    def begin(
        cls,
        *,
        agent_id: bytes,
        kind: StreamKind,
        recipients: Sequence[Recipient],
        created_ms: int,
        end_to_end: bool = False,
        previous: bytes = ZERO_LINK,
        signing_key: Ed25519PrivateKey | None = None,
        entropy: Entropy = os.urandom,
    ) -> Epoch:
        """A new epoch with a fresh DEK, wrapped for every recipient; `previous` is the `link` of the epoch before."""
        if not 1 <= len(recipients) <= MAX_RECIPIENTS or len({r.key_id for r in recipients}) != len(recipients):
            raise LocalError(f"an epoch has 1 to {MAX_RECIPIENTS} recipients, each once")
        flags = (EpochFlags.END_TO_END if end_to_end else 0) | (EpochFlags.SIGNED if signing_key else 0)
        epoch_id, dek = entropy(32), entropy(DEK_BYTES)
        core = build_core(flags=flags, epoch_id=epoch_id, agent_id=agent_id, created_ms=created_ms, link=previous)
        keys = derive_keys(dek, epoch_id, core)
        signature = signing_key.sign(signed_bytes(core, keys.commitment)) if signing_key else b""
        wrapped = [WrappedKey(recipient.key_id, recipient.wrap(dek)) for recipient in recipients]
        header = finish_header(core + keys.commitment + signature, wrapped, keys.mac_key)
        return cls(kind=kind, core=core, header=header, key=keys.key, entropy=entropy)

    @property
    def epoch_id(self) -> bytes:
        """32 bytes."""
        return self._core[8:40]

    @property
    def link(self) -> bytes:
        """What the next epoch of this stream names as `previous`."""
        return next_link(self._core, self._hash)

    @property
    def spent(self) -> bool:
        """Whether the epoch has sealed as much as one DEK may; its age is for the caller's clock to tell."""
        return self._over or self.sequence >= MAX_EPOCH_RECORDS or self.sealed_bytes >= MAX_EPOCH_BYTES

    def seal(
        self,
        segment: bytes,
        *,
        capture_ms: int,
        content_type: int = ContentType.SEGMENT,
        more_parts: bool = False,
        final: bool = False,
        pad_to: int = 0,
    ) -> bytes:
        """An envelope of `segment` (or of a part of one); `pad_to` rounds its length up to a multiple, in bytes."""
        if self.spent:
            raise LocalError("the epoch is over: begin another")
        flags = (
            (RecordFlags.FINAL if final else 0)
            | (RecordFlags.MORE_PARTS if more_parts else 0)
            | (RecordFlags.PADDED if pad_to else 0)
        )
        plaintext = pad(segment, pad_to) if pad_to else segment
        if len(plaintext) > MAX_LENGTH:
            raise LocalError("a record holds less than 4 GiB")
        record_header = build_record_header(
            RecordHeader(
                flags,
                self.kind,
                content_type,
                self.sequence,
                self._entropy(RANDOM_BYTES),
                capture_ms,
                self._hash,
                len(plaintext),
            )
        )
        sealed = self._cipher.encrypt(record_header[4:16], plaintext, record_header)
        self._hash = next_hash(self._hash, record_header, sealed[-TAG_BYTES:])
        self.sequence += 1
        self.sealed_bytes += len(plaintext)
        self._over = final
        return b"".join((self.header, record_header, sealed))


def pad(plaintext: bytes, multiple: int) -> bytes:
    """`plaintext`, a byte 80, and zeros up to a multiple (ISO/IEC 7816-4)."""
    return plaintext + b"\x80" + bytes(-(len(plaintext) + 1) % multiple)


def split_segment(segment: bytes, max_part: int) -> list[bytes]:
    """`segment` in parts of at most `max_part` bytes; all but the last are sealed with `more_parts`."""
    return [segment[at : at + max_part] for at in range(0, len(segment), max_part)] or [segment]
