"""Peeking at many envelopes of few epochs: a header that was parsed is not parsed again.

Never opens anything.
"""

from __future__ import annotations

from collections import OrderedDict

from schemas.envelope import (
    RECORD_HEADER_BYTES,
    TAG_BYTES,
    EpochHeader,
    Peek,
    parse_epoch_header,
    parse_record_header,
)
from schemas.errors import MalformedError

MAX_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what stores have dates for."""

_EPOCH_AT = slice(8, 56)


class Peeker:
    """`schemas.envelope.peek` with a memory of headers; also refuses times that stores have no dates for."""

    def __init__(self, cache_size: int = 16_384) -> None:
        self._headers: OrderedDict[bytes, EpochHeader] = OrderedDict()
        self._cache_size = cache_size

    def peek(self, envelope: bytes) -> Peek:
        """Header and record header; raises `MalformedError`."""
        key = envelope[_EPOCH_AT]
        epoch = self._headers.get(key)
        if epoch is None or not envelope.startswith(epoch.header_bytes):
            epoch = self._headers[key] = parse_epoch_header(envelope)
            if len(self._headers) > self._cache_size:
                self._headers.popitem(last=False)
        at = len(epoch.header_bytes)
        record = parse_record_header(envelope, at)
        if len(envelope) != at + RECORD_HEADER_BYTES + record.length + TAG_BYTES:
            raise MalformedError("the record's length does not fit the envelope's", "bad_length")
        if epoch.created_ms > MAX_TIME_MS or record.capture_ms > MAX_TIME_MS:
            raise MalformedError("a time beyond the year 9999", "bad_time")
        return Peek(epoch, record, at)
