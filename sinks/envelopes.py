"""A glance at many envelopes of few epochs: what stores need to know of them, for a third of the cost of a peek.

Never opens anything, and never lets through what `schemas.envelope` refuses: whatever looks odd goes there.
"""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct
from struct import error as StructError  # noqa: N812  # the module's own name says nothing
from typing import NamedTuple

from schemas.envelope import RECORD_HEADER_BYTES, TAG_BYTES, EpochHeader, parse_epoch_header, peek
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind

MAX_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what stores have dates for."""

_EPOCH_AT = slice(8, 56)
_RECORD = Struct(">BBBxBI7xQ16xI")
_RECORD_TYPE = 1
_KNOWN_FLAGS = 7
_KINDS = {int(kind): kind for kind in StreamKind}
_AROUND_BYTES = RECORD_HEADER_BYTES + TAG_BYTES


class Glance(NamedTuple):
    """What a store needs to know of an envelope. `record_at` is the offset of its record."""

    epoch: EpochHeader
    kind: StreamKind
    sequence: int
    capture_ms: int
    record_at: int

    @property
    def id(self) -> EnvelopeId:
        """The identity of the record."""
        return EnvelopeId(self.epoch.agent_id, self.epoch.epoch_id, self.sequence)


class Glancer:
    """Remembers the epoch headers that it saw last."""

    def __init__(self, cache_size: int = 16_384) -> None:
        self._headers: OrderedDict[bytes, EpochHeader] = OrderedDict()
        self._cache_size = cache_size

    def glance(self, envelope: bytes) -> Glance:
        """Raises `MalformedError` for what `schemas.envelope.peek` refuses, and for times without a date."""
        epoch = self._headers.get(envelope[_EPOCH_AT])
        if epoch is None or not envelope.startswith(epoch.header_bytes):
            epoch = self._remember(envelope)
        at = len(epoch.header_bytes)
        try:
            type_, flags, number, high, low, capture_ms, length = _RECORD.unpack_from(envelope, at)
        except StructError:
            return self._refuse(envelope)
        kind = _KINDS.get(number)
        if (
            kind is None
            or type_ != _RECORD_TYPE
            or flags > _KNOWN_FLAGS
            or capture_ms > MAX_TIME_MS
            or len(envelope) != at + _AROUND_BYTES + length
        ):
            return self._refuse(envelope)
        return Glance(epoch, kind, high << 32 | low, capture_ms, at)

    def _remember(self, envelope: bytes) -> EpochHeader:
        epoch = parse_epoch_header(envelope)
        if epoch.created_ms > MAX_TIME_MS:
            raise MalformedError("a time beyond the year 9999", "bad_time")
        self._headers[envelope[_EPOCH_AT]] = epoch
        if len(self._headers) > self._cache_size:
            self._headers.popitem(last=False)
        return epoch

    def _refuse(self, envelope: bytes) -> Glance:
        """Say why in the words of the specification."""
        seen = peek(envelope)
        if seen.record.capture_ms > MAX_TIME_MS:
            raise MalformedError("a time beyond the year 9999", "bad_time")
        return Glance(seen.epoch, seen.record.kind, seen.record.sequence, seen.record.capture_ms, seen.record_at)
