"""The form of an envelope, as `ENVELOPE.md` says: parsing and building bytes.

Never touches a key: whoever stores or forwards envelopes needs this module alone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind

MAGIC = b"SEAL"
VERSION = 1
SUITE = 1

MAX_RECIPIENTS = 16
MAX_WRAPPED_BYTES = 1024
MAX_SEQUENCE = (1 << 40) - 1
MAX_LENGTH = (1 << 32) - 1

CORE_BYTES = 96
COMMITMENT_BYTES = 32
SIGNATURE_BYTES = 64
MAC_BYTES = 32
RECORD_HEADER_BYTES = 44
TAG_BYTES = 16
HASH_BYTES = 16
RANDOM_BYTES = 7

ZERO_LINK = bytes(32)

_CORE = Struct(">4sBBBB32s16sQ32s")
_RECORD = Struct(">BBBB5s7sQ16sI")
_RECORD_TYPE = 1
_KINDS = {int(kind): kind for kind in StreamKind}


class EpochFlags:
    """Flags of an epoch header. Plain integers: an `IntFlag` costs as much to test as a record costs to parse."""

    END_TO_END = 1
    SIGNED = 2


class RecordFlags:
    """Flags of a record."""

    FINAL = 1
    MORE_PARTS = 2
    PADDED = 4


_EPOCH_FLAGS = EpochFlags.END_TO_END | EpochFlags.SIGNED
_RECORD_FLAGS = RecordFlags.FINAL | RecordFlags.MORE_PARTS | RecordFlags.PADDED


class WrappedKey(NamedTuple):
    """The DEK, wrapped for one recipient."""

    key_id: bytes
    wrapped: bytes


class EpochHeader(NamedTuple):
    """The clear fields of an epoch header; `header_bytes` is all of it, as it stands in the envelope."""

    flags: int
    epoch_id: bytes
    agent_id: bytes
    created_ms: int
    link: bytes
    commitment: bytes
    signature: bytes
    recipients: tuple[WrappedKey, ...]
    mac: bytes
    header_bytes: bytes

    @property
    def core(self) -> bytes:
        """What keys are bound to: the first 96 bytes."""
        return self.header_bytes[:CORE_BYTES]

    @property
    def end_to_end(self) -> bool:
        """Whether the server has no key that opens this."""
        return bool(self.flags & EpochFlags.END_TO_END)

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """Key id of each recipient, ascending."""
        return tuple(recipient.key_id for recipient in self.recipients)


class RecordHeader(NamedTuple):
    """The clear fields of a record. `length` is that of the ciphertext without its tag."""

    flags: int
    kind: StreamKind
    content_type: int
    sequence: int
    random: bytes
    capture_ms: int
    previous_hash: bytes
    length: int

    @property
    def final(self) -> bool:
        """Whether the epoch ends here."""
        return bool(self.flags & RecordFlags.FINAL)

    @property
    def more_parts(self) -> bool:
        """Whether the next record goes on with this one's segment."""
        return bool(self.flags & RecordFlags.MORE_PARTS)

    @property
    def padded(self) -> bool:
        """Whether padding follows the plaintext."""
        return bool(self.flags & RecordFlags.PADDED)


class Peek(NamedTuple):
    """What can be seen of an envelope without a key. `record_at` is the offset of its record."""

    epoch: EpochHeader
    record: RecordHeader
    record_at: int

    @property
    def id(self) -> EnvelopeId:
        """The identity of the record."""
        return EnvelopeId(self.epoch.agent_id, self.epoch.epoch_id, self.record.sequence)


class Peeker:
    """Peeks many envelopes: remembers the headers of the `cache_size` epochs that it saw last.

    A header that is remembered is recognised by all of its bytes, never by its epoch id alone.
    """

    def __init__(self, cache_size: int = 4096) -> None:
        self._headers: OrderedDict[bytes, EpochHeader] = OrderedDict()
        self._cache_size = cache_size

    def peek(self, envelope: bytes) -> Peek:
        """What `peek` returns, sooner."""
        epoch_id = envelope[8:40]
        epoch = self._headers.get(epoch_id)
        if epoch is None or not envelope.startswith(epoch.header_bytes):
            epoch = self._headers[epoch_id] = parse_epoch_header(envelope)
            if len(self._headers) > self._cache_size:
                self._headers.popitem(last=False)
        return _peek_record(envelope, epoch)


def peek(envelope: bytes) -> Peek:
    """Header and record header of `envelope`; raises `MalformedError` for whatever `ENVELOPE.md` refuses."""
    return _peek_record(envelope, parse_epoch_header(envelope))


def _peek_record(envelope: bytes, epoch: EpochHeader) -> Peek:
    record_at = len(epoch.header_bytes)
    return Peek(epoch, parse_record(envelope, record_at), record_at)


def parse_record(envelope: bytes, record_at: int) -> RecordHeader:
    """The record header at offset `record_at`; raises `MalformedError` unless the record fills the rest exactly."""
    record = parse_record_header(envelope, record_at)
    if len(envelope) != record_at + RECORD_HEADER_BYTES + record.length + TAG_BYTES:
        raise MalformedError("the record's length does not fit the envelope's", "bad_length")
    return record


def parse_epoch_header(data: bytes) -> EpochHeader:
    """The epoch header at the start of `data`; what follows it is not looked at."""
    if len(data) < CORE_BYTES + COMMITMENT_BYTES:
        raise MalformedError("shorter than an epoch header", "truncated")
    magic, version, suite, flags, reserved, epoch_id, agent_id, created_ms, link = _CORE.unpack_from(data)
    if magic != MAGIC:
        raise MalformedError("not an envelope", "bad_magic")
    if version != VERSION or suite != SUITE:
        raise MalformedError(f"version {version}, suite {suite} is not known here", "unknown_version")
    if flags & ~_EPOCH_FLAGS or reserved:
        raise MalformedError("unknown flags in the epoch header", "bad_flags")
    at = CORE_BYTES + COMMITMENT_BYTES
    signature = b""
    if flags & EpochFlags.SIGNED:
        signature = data[at : at + SIGNATURE_BYTES]
        at += SIGNATURE_BYTES
    recipients, at = _parse_recipients(data, at)
    end = at + MAC_BYTES
    if len(data) < end:
        raise MalformedError("the epoch header is cut", "truncated")
    commitment = data[CORE_BYTES : CORE_BYTES + COMMITMENT_BYTES]
    return EpochHeader(
        flags, epoch_id, agent_id, created_ms, link, commitment, signature, recipients, data[at:end], data[:end]
    )


def _parse_recipients(data: bytes, at: int) -> tuple[tuple[WrappedKey, ...], int]:
    count = data[at] if at < len(data) else 0
    if not 1 <= count <= MAX_RECIPIENTS:
        raise MalformedError(f"{count} recipients; there are 1 to {MAX_RECIPIENTS}", "bad_recipients")
    at += 1
    recipients: list[WrappedKey] = []
    for _ in range(count):
        wrapped_at = at + 34
        key_id, length = data[at : at + 32], int.from_bytes(data[at + 32 : wrapped_at], "big")
        at = wrapped_at + length
        if len(data) < at:
            raise MalformedError("the epoch header is cut", "truncated")
        if not 1 <= length <= MAX_WRAPPED_BYTES:
            raise MalformedError("a wrapped key's length is out of bounds", "bad_recipients")
        if recipients and key_id <= recipients[-1].key_id:
            raise MalformedError("recipients are not in ascending order, or one stands twice", "bad_recipients")
        recipients.append(WrappedKey(key_id, data[wrapped_at:at]))
    return tuple(recipients), at


def parse_record_header(data: bytes, at: int = 0) -> RecordHeader:
    """The record header at offset `at` of `data`."""
    if len(data) < at + RECORD_HEADER_BYTES + TAG_BYTES:
        raise MalformedError("shorter than a record", "truncated")
    type_, flags, kind, content_type, sequence, random, capture_ms, previous, length = _RECORD.unpack_from(data, at)
    if type_ != _RECORD_TYPE:
        raise MalformedError(f"record type {type_} is not known here", "unknown_version")
    if flags & ~_RECORD_FLAGS:
        raise MalformedError("unknown flags in the record header", "bad_flags")
    known = _KINDS.get(kind)
    if known is None:
        raise MalformedError(f"stream kind {kind} is not known here", "unknown_kind")
    return RecordHeader(
        flags, known, content_type, int.from_bytes(sequence, "big"), random, capture_ms, previous, length
    )


def build_core(*, flags: int, epoch_id: bytes, agent_id: bytes, created_ms: int, link: bytes) -> bytes:
    """The 96 bytes that keys are bound to."""
    return _CORE.pack(MAGIC, VERSION, SUITE, flags, 0, epoch_id, agent_id, created_ms, link)


def build_recipients(recipients: Sequence[WrappedKey]) -> bytes:
    """Count and recipients, in ascending order of key id."""
    ordered = sorted(recipients, key=lambda recipient: recipient.key_id)
    parts = [r.key_id + len(r.wrapped).to_bytes(2, "big") + r.wrapped for r in ordered]
    return bytes([len(parts)]) + b"".join(parts)


def build_record_header(header: RecordHeader) -> bytes:
    """The 44 bytes before a record's ciphertext, which are also its AAD."""
    return _RECORD.pack(
        _RECORD_TYPE,
        header.flags,
        header.kind,
        header.content_type,
        header.sequence.to_bytes(5, "big"),
        header.random,
        header.capture_ms,
        header.previous_hash,
        header.length,
    )


def first_hash(core: bytes) -> bytes:
    """`previous` of an epoch's first record."""
    return hashlib.sha256(core).digest()[:HASH_BYTES]


def next_hash(previous: bytes, record_header: bytes, tag: bytes) -> bytes:
    """`previous` of the record after this one."""
    return hashlib.sha256(previous + record_header + tag).digest()[:HASH_BYTES]


def next_link(core: bytes, last_hash: bytes) -> bytes:
    """`link` of the epoch after this one."""
    return hashlib.sha256(core + last_hash).digest()
