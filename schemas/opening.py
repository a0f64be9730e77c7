"""Opening: identities turn envelopes back into segments. The mirror image is `schemas.seal`.

Releases nothing that was not authenticated, and tells nobody why an envelope did not open.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.envelope import (
    COMMITMENT_BYTES,
    CORE_BYTES,
    MAC_BYTES,
    RECORD_HEADER_BYTES,
    SIGNATURE_BYTES,
    TAG_BYTES,
    EpochFlags,
    EpochHeader,
    Peek,
    RecordHeader,
    WrappedKey,
    first_hash,
    next_hash,
    parse_epoch_header,
    parse_record,
    peek,
)
from schemas.errors import LocalError, MalformedError, OpenError
from schemas.identity import EnvelopeId
from schemas.keys import Recipient, Unwrapper
from schemas.seal import EpochKeys, derive_keys, finish_header, signed_bytes

MAX_JOINED_BYTES = 64 * 1024 * 1024


class Opened(NamedTuple):
    """An envelope that opened. `plaintext` is a segment, or a part of one when `record.more_parts`."""

    id: EnvelopeId
    epoch: EpochHeader
    record: RecordHeader
    plaintext: bytes


class _Known(NamedTuple):
    epoch: EpochHeader
    record_at: int
    cipher: AESGCM


class Opener:
    """Opens envelopes for the identities it has; keeps the keys of the `cache_size` epochs that it met last."""

    def __init__(self, identities: Sequence[Unwrapper], cache_size: int = 1024) -> None:
        self._identities = {identity.key_id: identity for identity in identities}
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._cache_size = cache_size

    def replace(self, identities: Sequence[Unwrapper]) -> bool:
        """Open with these from now on; whether they differ. Keys of epochs are forgotten when an identity went."""
        after = {identity.key_id: identity for identity in identities}
        before, self._identities = self._identities, after
        if before.keys() - after.keys():
            self._known.clear()
        return before.keys() != after.keys()

    def can_open(self, epoch: EpochHeader) -> bool:
        """Whether one of the recipients is an identity of ours; opening may still fail."""
        return any(key_id in self._identities for key_id in epoch.key_ids)

    def open(self, envelope: bytes) -> Opened:
        """The plaintext of `envelope`; raises `MalformedError` or `OpenError`."""
        known = self._known.get(envelope[8:40])
        if known is not None and envelope.startswith(known.epoch.header_bytes):
            record = parse_record(envelope, known.record_at)
        else:
            seen = peek(envelope)
            record, known = seen.record, self._meet(seen.epoch)
        epoch, at, cipher = known
        body_at = at + RECORD_HEADER_BYTES
        record_header = envelope[at:body_at]
        try:
            plaintext = cipher.decrypt(record_header[4:16], memoryview(envelope)[body_at:], record_header)
        except InvalidTag:
            raise OpenError from None
        if record.padded:
            plaintext = unpad(plaintext)
        return Opened(EnvelopeId(epoch.agent_id, epoch.epoch_id, record.sequence), epoch, record, plaintext)

    def _meet(self, epoch: EpochHeader) -> _Known:
        cipher = AESGCM(unwrap_epoch(epoch, self._identities).keys.key)
        known = self._known[epoch.epoch_id] = _Known(epoch, len(epoch.header_bytes), cipher)
        if len(self._known) > self._cache_size:
            self._known.popitem(last=False)
        return known


class Unwrapped(NamedTuple):
    """An epoch's DEK and what was derived from it."""

    dek: bytes
    keys: EpochKeys


def unwrap_epoch(epoch: EpochHeader, identities: Mapping[bytes, Unwrapper]) -> Unwrapped:
    """DEK and keys of an epoch, commitment and MAC verified; `identities` by key id. Raises `OpenError`."""
    for recipient in epoch.recipients:
        identity = identities.get(recipient.key_id)
        if identity is None:
            continue
        dek = identity.unwrap(recipient.wrapped)
        keys = derive_keys(dek, epoch.epoch_id, epoch.core)
        mac = hmac.digest(keys.mac_key, epoch.header_bytes[:-MAC_BYTES], "sha256")
        commits = hmac.compare_digest(keys.commitment, epoch.commitment)
        if not (hmac.compare_digest(mac, epoch.mac) and commits):
            raise OpenError
        return Unwrapped(dek, keys)
    raise OpenError


def rewrap(header: bytes, identity: Unwrapper, recipients: Sequence[Recipient]) -> bytes:
    """The same epoch header for other recipients; its records open under it unchanged. Raises `OpenError`."""
    epoch = parse_epoch_header(header)
    dek, keys = unwrap_epoch(epoch, {identity.key_id: identity})
    signature = SIGNATURE_BYTES if epoch.flags & EpochFlags.SIGNED else 0
    head = epoch.header_bytes[: CORE_BYTES + COMMITMENT_BYTES + signature]
    return finish_header(head, [WrappedKey(r.key_id, r.wrap(dek)) for r in recipients], keys.mac_key)


def exchange_recipient(header: bytes, identity: Unwrapper, recipients: Sequence[Recipient]) -> bytes:
    """The header with `recipients` in the place of `identity`; others stay. Raises `OpenError`, `MalformedError`."""
    epoch = parse_epoch_header(header)
    dek, keys = unwrap_epoch(epoch, {identity.key_id: identity})
    signature = SIGNATURE_BYTES if epoch.flags & EpochFlags.SIGNED else 0
    head = epoch.header_bytes[: CORE_BYTES + COMMITMENT_BYTES + signature]
    wrapped = {one.key_id: one for one in epoch.recipients if one.key_id != identity.key_id}
    wrapped |= {one.key_id: WrappedKey(one.key_id, one.wrap(dek)) for one in recipients if one.key_id not in wrapped}
    return finish_header(head, list(wrapped.values()), keys.mac_key)


def verify_signature(epoch: EpochHeader, key: Ed25519PublicKey) -> None:
    """Raises `OpenError` unless the epoch is signed, by `key`."""
    try:
        key.verify(epoch.signature, signed_bytes(epoch.core, epoch.commitment))
    except InvalidSignature:
        raise OpenError from None


def unpad(padded: bytes) -> bytes:
    """What stands before the padding (ISO/IEC 7816-4); raises `OpenError`."""
    plaintext = padded.rstrip(b"\0")
    if plaintext[-1:] != b"\x80":
        raise OpenError
    return plaintext[:-1]


class PartJoiner:
    """Joins the parts of segments that were larger than an envelope; one joiner reads one partition."""

    def __init__(self, max_bytes: int = MAX_JOINED_BYTES) -> None:
        self._open: dict[bytes, list[Opened]] = {}
        self._max_bytes = max_bytes

    def add(self, part: Opened) -> Opened | None:
        """The whole segment, with the identity of its first part, once its last part came; else `None`.

        Raises `MalformedError` when a part is missing or the whole is too large; the parts so far are forgotten.
        A part that comes again is ignored.
        """
        held = self._open.get(part.id.epoch_id, [])
        if held and part.id.sequence <= held[-1].id.sequence:
            return None
        if held and part.id.sequence != held[-1].id.sequence + 1:
            del self._open[part.id.epoch_id]
            raise MalformedError("a part of a segment is missing", "missing_part")
        if not held and not part.record.more_parts:
            return part
        held = [*held, part]
        if sum(len(one.plaintext) for one in held) > self._max_bytes:
            self._open.pop(part.id.epoch_id, None)
            raise MalformedError("a segment is larger than segments may be", "too_large")
        if part.record.more_parts:
            self._open[part.id.epoch_id] = held
            return None
        del self._open[part.id.epoch_id]
        return held[0]._replace(plaintext=b"".join(one.plaintext for one in held))

    @property
    def first_open_ids(self) -> tuple[EnvelopeId, ...]:
        """Identity of the first part of each segment that is not whole yet: what must not be committed past."""
        return tuple(parts[0].id for parts in self._open.values())


class Chain:
    """Checks one epoch's records as they come: loss, reordering, forks."""

    def __init__(self) -> None:
        self._next = 0
        self._hash: bytes | None = None

    def check(self, seen: Peek, envelope: bytes) -> None:
        """Take the next envelope of the epoch; raises `MalformedError` (`lost`, `repeated`, `forked`)."""
        record = seen.record
        if record.sequence < self._next:
            raise MalformedError(f"sequence {record.sequence} comes again", "repeated")
        lost = record.sequence - self._next
        expected = first_hash(seen.epoch.core) if self._next == 0 else self._hash
        header = envelope[seen.record_at : seen.record_at + RECORD_HEADER_BYTES]
        self._hash = next_hash(record.previous_hash, header, envelope[-TAG_BYTES:])
        self._next = record.sequence + 1
        if lost:
            raise MalformedError(f"{lost} envelopes before sequence {record.sequence} are missing", "lost")
        if record.previous_hash != expected:
            raise MalformedError(f"sequence {record.sequence} does not follow the record before it", "forked")


def max_part_bytes(max_envelope: int, header: bytes) -> int:
    """The most plaintext that fits an envelope of `max_envelope` bytes under this epoch `header`."""
    room = max_envelope - len(header) - RECORD_HEADER_BYTES - TAG_BYTES
    if room < 1:
        raise LocalError("no envelope that small can hold anything")
    return room
