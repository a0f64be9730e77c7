"""Makes `schemas/vectors/envelope.json` from fixed entropy: the same bytes at every run.

    python -m tests.schemas.vector_maker > schemas/vectors/envelope.json

Holds no private key: a vector names what each wrapped DEK unwraps to, so any implementation can follow it without RSA.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.envelope import CORE_BYTES, RECORD_HEADER_BYTES, WrappedKey, build_recipients, peek
from schemas.errors import OpenError
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.seal import Epoch, derive_keys, finish_header

AGENT = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
SEGMENT = b"the plaintext of a segment, " * 4
CREATED_MS = 1_767_225_600_000


class Counter:
    """Entropy that a test can know: SHA-256 of a label and a count."""

    def __init__(self, label: str) -> None:
        self._label, self._count = label, 0

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._count += 1
        return hashlib.shake_256(f"{self._label}/{self._count}".encode()).digest(size)


@dataclass(frozen=True)
class NamedKey:
    """Stands for a KEK: wrapping is a lookup that the vector writes down."""

    name: str

    @property
    def key_id(self) -> bytes:
        """As a real KEK's, but of its name."""
        return hashlib.sha256(self.name.encode()).digest()

    def wrap(self, dek: bytes) -> bytes:
        """As long as RSA-2048 makes it."""
        return hashlib.shake_256(self.key_id + dek).digest(256)


@dataclass(frozen=True)
class KnownKey:
    """Unwraps what the vector says it unwraps."""

    key_id: bytes
    wrapped: bytes
    dek: bytes

    def unwrap(self, wrapped: bytes) -> bytes:
        """The DEK of the vector; anything else does not open."""
        if wrapped != self.wrapped:
            raise OpenError
        return self.dek


def begin(label: str, *names: str, **options: Any) -> tuple[Epoch, list[KnownKey]]:
    """An epoch for the named keys, and what opens it."""
    keys = [NamedKey(name) for name in names or ("server",)]
    entropy = Counter(label)
    epoch = Epoch.begin(
        agent_id=AGENT,
        kind=options.pop("kind", StreamKind.SCREEN),
        recipients=cast("list[Recipient]", keys),
        created_ms=CREATED_MS,
        entropy=entropy,
        **options,
    )
    dek = Counter(label)
    dek(32)
    secret = dek(32)
    return epoch, [KnownKey(key.key_id, key.wrap(secret), secret) for key in keys]


def change(envelope: bytes, at: int, new: bytes) -> bytes:
    """`envelope` with `new` standing at `at`."""
    return envelope[:at] + new + envelope[at + len(new) :]


def flip(envelope: bytes, at: int) -> bytes:
    """`envelope` with the lowest bit of one byte changed."""
    at %= len(envelope)
    return change(envelope, at, bytes([envelope[at] ^ 1]))


def make_vectors() -> list[dict[str, Any]]:
    """All vectors, in the order of `ENVELOPE.md`."""
    return [*_successes(), *_malformed(), *_unopened()]


def _vector(name: str, envelope: bytes, keys: list[KnownKey], outcome: str, **expected: Any) -> dict[str, Any]:
    unwraps = [{"key_id": k.key_id.hex(), "wrapped": k.wrapped.hex(), "dek": k.dek.hex()} for k in keys]
    return {"name": name, "outcome": outcome, **expected, "unwraps": unwraps, "envelope": envelope.hex()}


def _opens(name: str, envelope: bytes, keys: list[KnownKey], plaintext: bytes = SEGMENT) -> dict[str, Any]:
    seen = peek(envelope)
    return _vector(
        name,
        envelope,
        keys,
        "opens",
        plaintext=plaintext.hex(),
        stream=seen.record.kind.label,
        sequence=seen.record.sequence,
        end_to_end=seen.epoch.end_to_end,
        final=seen.record.final,
        more_parts=seen.record.more_parts,
    )


def _successes() -> list[dict[str, Any]]:
    plain, keys = begin("plain")
    first = plain.seal(SEGMENT, capture_ms=CREATED_MS)
    second = plain.seal(SEGMENT, capture_ms=CREATED_MS + 1000, final=True)
    sealed, sealed_keys = begin("end-to-end", "officer", kind=StreamKind.KEYSTROKES, end_to_end=True)
    padded = sealed.seal(b"ls\r", capture_ms=CREATED_MS, pad_to=256)
    empty = sealed.seal(b"", capture_ms=CREATED_MS, pad_to=64)
    many, many_keys = begin("many", *(f"kek-{n}" for n in range(16)))
    signed, signed_keys = begin("signed", signing_key=Ed25519PrivateKey.from_private_bytes(Counter("agent")(32)))
    part = many.seal(SEGMENT, capture_ms=CREATED_MS, more_parts=True)
    linked, linked_keys = begin("linked", previous=plain.link)
    return [
        _opens("first record of an epoch", first, keys),
        _opens("second and final record", second, keys),
        _opens("end-to-end, padded to 256 bytes", padded, sealed_keys, b"ls\r"),
        _opens("empty plaintext, padded to 64 bytes", empty, sealed_keys, b""),
        _opens("empty plaintext", plain_empty(), begin("plain-empty")[1], b""),
        _opens("sixteen recipients, more parts follow", part, many_keys),
        _opens("sixteen recipients, the last one opens", part, many_keys[-1:]),
        _opens("signed by the agent", signed.seal(SEGMENT, capture_ms=CREATED_MS), signed_keys),
        _opens("linked to the epoch before", linked.seal(SEGMENT, capture_ms=CREATED_MS), linked_keys),
    ]


def plain_empty() -> bytes:
    """An envelope of nothing."""
    return begin("plain-empty")[0].seal(b"", capture_ms=CREATED_MS)


def _malformed() -> list[dict[str, Any]]:
    epoch, keys = begin("malformed", "a", "b")
    good = epoch.seal(SEGMENT, capture_ms=CREATED_MS)
    record = peek(good).record_at
    count_at, length = CORE_BYTES + 32, 34 + 256
    one, two = good[count_at + 1 : count_at + 1 + length], good[count_at + 1 + length : count_at + 1 + 2 * length]
    head, tail = good[:count_at], good[count_at + 1 + 2 * length :]
    cases = {
        "bad_magic: another magic": change(good, 0, b"SEAM"),
        "unknown_version: version 2": change(good, 4, b"\x02"),
        "unknown_version: suite 2": change(good, 5, b"\x02"),
        "bad_flags: an epoch flag that is not known": change(good, 6, b"\x04"),
        "bad_flags: reserved byte": change(good, 7, b"\x01"),
        "bad_recipients: none": head + b"\0" + tail,
        "bad_recipients: seventeen": change(good, count_at, b"\x11"),
        "bad_recipients: not in ascending order": head + b"\x02" + two + one + tail,
        "bad_recipients: one stands twice": head + b"\x02" + one + one + tail,
        "bad_recipients: an empty wrapped key": head + b"\x01" + one[:32] + b"\0\0" + tail,
        "bad_recipients: a wrapped key of 1025 bytes": head + b"\x01" + one[:32] + b"\x04\x01" + bytes(1025) + tail,
        "truncated: nothing": b"",
        "truncated: within the core": good[: CORE_BYTES - 1],
        "truncated: within a recipient": good[: count_at + 100],
        "truncated: before the MAC's end": good[: record - 1],
        "truncated: header alone": good[:record],
        "truncated: within the record header": good[: record + RECORD_HEADER_BYTES - 1],
        "bad_length: last byte is missing": good[:-1],
        "bad_length: a byte follows": good + b"\0",
        "bad_length: the length field says less": flip(good, record + 43),
        "unknown_version: another record type": change(good, record, b"\x02"),
        "bad_flags: a record flag that is not known": change(good, record + 1, b"\x08"),
        "unknown_kind: stream kind 0": change(good, record + 2, b"\x00"),
        "unknown_kind: stream kind 8": change(good, record + 2, b"\x08"),
    }
    return [
        _vector(name.split(": ")[1], envelope, keys, "malformed", reason=name.split(":")[0])
        for name, envelope in cases.items()
    ]


def _unopened() -> list[dict[str, Any]]:
    epoch, keys = begin("unopened", "a", "b")
    good = epoch.seal(SEGMENT, capture_ms=CREATED_MS)
    unpadded, unpadded_keys = _without_padding()
    header = peek(good).epoch
    record = len(header.header_bytes)
    stripped = header.header_bytes[: CORE_BYTES + 32] + build_recipients(header.recipients[:1]) + header.mac
    added = build_recipients([*header.recipients, WrappedKey(NamedKey("intruder").key_id, bytes(256))])
    swapped = build_recipients([header.recipients[0], WrappedKey(header.recipients[1].key_id, bytes(256))])
    first_keys = [key for key in keys if key.key_id == header.recipients[0].key_id]
    cases = {
        "epoch id changed": flip(good, 8),
        "agent id changed": flip(good, 40),
        "creation time changed": flip(good, 63),
        "link changed": flip(good, 64),
        "end-to-end flag changed": change(good, 6, b"\x01"),
        "commitment changed": flip(good, CORE_BYTES),
        "MAC changed": flip(good, record - 1),
        "a recipient was stripped": stripped + good[record:],
        "a recipient was added": good[: CORE_BYTES + 32] + added + header.mac + good[record:],
        "a recipient was swapped": good[: CORE_BYTES + 32] + swapped + header.mac + good[record:],
        "record flag changed": flip(good, record + 1),
        "stream kind changed": change(good, record + 2, b"\x02"),
        "content type changed": change(good, record + 3, b"\x02"),
        "sequence changed": flip(good, record + 8),
        "random changed": flip(good, record + 9),
        "capture time changed": flip(good, record + 23),
        "previous hash changed": flip(good, record + 24),
        "ciphertext changed": flip(good, record + RECORD_HEADER_BYTES),
        "tag changed": flip(good, -1),
    }
    other = [KnownKey(NamedKey("c").key_id, keys[0].wrapped, keys[0].dek)]
    wrong = [KnownKey(key.key_id, b"another", key.dek) for key in keys]
    return [
        *(_vector(name, envelope, first_keys, "does not open") for name, envelope in cases.items()),
        _vector("no recipient is ours", good, other, "does not open"),
        _vector("the wrapped key does not unwrap", good, wrong, "does not open"),
        _vector(
            "opens only under a key that the header does not commit to",
            _two_keys(),
            first_keys_of_two(),
            "does not open",
        ),
        _vector("marked as padded, but without padding", unpadded, unpadded_keys, "does not open"),
    ]


def _without_padding() -> tuple[bytes, list[KnownKey]]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    epoch, keys = begin("unpadded")
    good = epoch.seal(b"\0" * 15, capture_ms=CREATED_MS, pad_to=16)
    seen = peek(good)
    header = good[seen.record_at : seen.record_at + RECORD_HEADER_BYTES]
    key = derive_keys(keys[0].dek, seen.epoch.epoch_id, seen.epoch.core).key
    return good[: seen.record_at] + header + AESGCM(key).encrypt(header[4:16], b"\0" * 16, header), keys


def _two_keys() -> bytes:
    """Commitment and MAC of one DEK, a record of another: what a forger of ambiguous ciphertexts would send."""
    one, other = begin("unopened", "a", "b"), begin("commitment", "a", "b")
    good, record = one[0].seal(SEGMENT, capture_ms=CREATED_MS), other[0].seal(SEGMENT, capture_ms=CREATED_MS)
    header = peek(good).epoch
    dek = other[1][0].dek
    keys = derive_keys(dek, header.epoch_id, header.core)
    forged = finish_header(header.header_bytes[: CORE_BYTES + 32], header.recipients, keys.mac_key)
    return forged + record[peek(record).record_at :]


def first_keys_of_two() -> list[KnownKey]:
    """The recipients of the forged header unwrap to the other DEK."""
    keys, other = begin("unopened", "a", "b")[1], begin("commitment", "a", "b")[1]
    return [KnownKey(key.key_id, key.wrapped, other[0].dek) for key in keys]


if __name__ == "__main__":
    json.dump(make_vectors(), sys.stdout, indent=1)
    sys.stdout.write("\n")
