"""The key set: which KEKs an agent seals each end-to-end stream to, signed by an officer (Ed25519).

Verification raises; nothing of a key set is believed before its signature by a pinned signer was verified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.envelope import MAX_RECIPIENTS
from schemas.errors import ConfigError, LocalError, MalformedError
from schemas.keys import Recipient
from schemas.kinds import StreamKind

FORMAT = "sealstream-keyset-1"
LABEL = b"sealstream/1 key set\0"
MAX_PAYLOAD_BYTES = 64 * 1024
MAX_AGENTS = 500
MAX_KEYS = 64
MAX_SIGNERS = 8
FINGERPRINT_BYTES = 32

SEALABLE = (StreamKind.SCREEN, StreamKind.KEYSTROKES, StreamKind.EMAIL)
"""Streams that may be sealed end to end (R6.1)."""

_STREAMS = frozenset(kind.label for kind in SEALABLE)


@dataclass(frozen=True, slots=True)
class SetKey:
    """A KEK in a key set."""

    name: str
    recipient: Recipient
    break_glass: bool = False
    """Held for emergencies only; a recipient like any other."""


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """To whom one stream is sealed; `recipients` are key ids."""

    recipients: tuple[bytes, ...]
    end_to_end: bool = False
    """Sealed end to end whatever the server's policy says; if not, when the policy says so."""
    blind_index: bool = True
    """Whether words of it may be indexed blindly."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """What an officer says. Without `agents` it is for those that no set names; `signers` replace the pinned ones."""

    version: int
    made_ms: int
    keys: Mapping[bytes, SetKey]
    streams: Mapping[str, StreamKeys]
    agents: tuple[str, ...] = ()
    signers: tuple[bytes, ...] = ()

    def recipients(self, kind: StreamKind) -> tuple[Recipient, ...]:
        """The KEKs of a stream, none when the set does not speak of it."""
        stream = self.streams.get(kind.label)
        return tuple(self.keys[key_id].recipient for key_id in stream.recipients) if stream else ()

    def names(self, label: str) -> list[str]:
        """What the KEKs of a stream are called."""
        return [self.keys[key_id].name for key_id in self.streams[label].recipients]

    @property
    def bound(self) -> frozenset[str]:
        """Streams that are sealed end to end whatever the policy says."""
        return frozenset(label for label, stream in self.streams.items() if stream.end_to_end)

    def to_payload(self) -> str:
        """The canonical text that is signed."""
        body = {
            "format": FORMAT,
            "version": self.version,
            "made_ms": self.made_ms,
            "agents": list(self.agents),
            "signers": [signer.hex() for signer in self.signers],
            "keys": [
                {"name": key.name, "pem": key.recipient.to_pem().decode(), "break_glass": key.break_glass}
                for _, key in sorted(self.keys.items())
            ],
            "streams": {
                label: {
                    "recipients": [key_id.hex() for key_id in stream.recipients],
                    "end_to_end": stream.end_to_end,
                    "blind_index": stream.blind_index,
                }
                for label, stream in self.streams.items()
            },
        }
        return json.dumps(body, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True, slots=True)
class SignedKeySet:
    """A key set as it travels and is kept. `signer` is the raw public key, 32 bytes."""

    payload: str
    signer: bytes
    signature: bytes = field(repr=False)

    def to_json(self) -> dict[str, str]:
        """As frames, tables and files carry it."""
        return {"payload": self.payload, "signer": self.signer.hex(), "signature": self.signature.hex()}

    @classmethod
    def from_json(cls, body: Any) -> SignedKeySet:
        """The key set in `body`, not verified; raises `MalformedError`."""
        try:
            payload, signer, signature = (
                body["payload"],
                bytes.fromhex(body["signer"]),
                bytes.fromhex(body["signature"]),
            )
        except (KeyError, TypeError, ValueError):
            raise MalformedError("a key set without payload, signer and signature", "unsigned") from None
        if not isinstance(payload, str) or len(signer) != 32 or len(signature) != 64:
            raise MalformedError("a key set without payload, signer and signature", "unsigned")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MalformedError(f"a key set of over {MAX_PAYLOAD_BYTES} bytes", "too_large")
        return cls(payload, signer, signature)

    def open(self, signers: Collection[bytes]) -> KeySet:
        """The set, once its signature by one of `signers` (fingerprints) is verified; raises `MalformedError`."""
        key = Ed25519PublicKey.from_public_bytes(self.signer)
        if signer_fingerprint(key) not in signers:
            raise MalformedError("the key set is signed by somebody whom this agent does not know", "wrong_signer")
        try:
            key.verify(self.signature, LABEL + self.payload.encode())
        except InvalidSignature:
            raise MalformedError("the key set was changed after it was signed", "bad_signature") from None
        return parse_payload(self.payload)

    @property
    def agents(self) -> tuple[str, ...]:
        """Whom it is for, not verified: good for delivery alone. Raises `MalformedError`."""
        return parse_payload(self.payload).agents


def sign_key_set(key_set: KeySet, key: Ed25519PrivateKey) -> SignedKeySet:
    """The officer's part; raises `LocalError` for a set that no agent would take."""
    payload = key_set.to_payload()
    try:
        if parse_payload(payload) != key_set:
            raise LocalError("the key set does not come back as it is")
    except MalformedError as error:
        raise LocalError(f"the key set is not usable: {error}") from None
    signer = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return SignedKeySet(payload, signer, key.sign(LABEL + payload.encode()))


def parse_payload(payload: str) -> KeySet:
    """A key set from its text; raises `MalformedError`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MalformedError(f"a key set of over {MAX_PAYLOAD_BYTES} bytes", "too_large")
    try:
        body = json.loads(payload)
        if body["format"] != FORMAT:
            raise MalformedError("a key set of another format", "bad_format")
        keys = _parse_keys(body["keys"])
        return KeySet(
            version=_positive(body["version"]),
            made_ms=_positive(body["made_ms"]),
            keys=keys,
            streams=_parse_streams(body["streams"], keys),
            agents=tuple(str(UUID(agent)) for agent in _at_most(MAX_AGENTS, body["agents"])),
            signers=tuple(_fingerprint(text) for text in _at_most(MAX_SIGNERS, body["signers"])),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ConfigError):
        raise MalformedError("the key set is not of the form that its format gives", "bad_format") from None


def signer_fingerprint(key: Ed25519PublicKey) -> bytes:
    """What agents pin: SHA-256 of the SubjectPublicKeyInfo."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def signer_from_pem(pem: bytes) -> Ed25519PublicKey:
    """A signer's public key; raises `ConfigError`."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("a signer has an Ed25519 key: `sealstream keys signer make` makes one")
    return key


def _parse_keys(rows: Sequence[Mapping[str, Any]]) -> dict[bytes, SetKey]:
    keys: dict[bytes, SetKey] = {}
    for row in _at_most(MAX_KEYS, rows):
        recipient = Recipient.from_pem(row["pem"].encode())
        keys[recipient.key_id] = SetKey(_text(row["name"]), recipient, _flag(row["break_glass"]))
    return keys


def _parse_streams(rows: Mapping[str, Any], keys: Collection[bytes]) -> dict[str, StreamKeys]:
    streams: dict[str, StreamKeys] = {}
    for label, row in rows.items():
        recipients = tuple(bytes.fromhex(key_id) for key_id in row["recipients"])
        once = len(set(recipients)) == len(recipients)
        if label not in _STREAMS or not once or not 1 <= len(recipients) <= MAX_RECIPIENTS:
            raise ValueError(label)
        if not set(recipients) <= set(keys):
            raise ValueError(label)
        streams[label] = StreamKeys(recipients, _flag(row["end_to_end"]), _flag(row["blind_index"]))
    return streams


def _at_most(count: int, values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) > count:
        raise ValueError(count)
    return values


def _positive(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(value)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError(value)
    return value


def _fingerprint(text: str) -> bytes:
    fingerprint = bytes.fromhex(text)
    if len(fingerprint) != FINGERPRINT_BYTES:
        raise ValueError(text)
    return fingerprint
