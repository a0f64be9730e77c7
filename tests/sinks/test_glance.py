"""A glance says the same as a peek, of every input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import peek
from schemas.errors import MalformedError
from sinks.envelopes import MAX_TIME_MS, Glance, Glancer
from tests.sinks.envelopes import begin, seal

EPOCH = begin()
ENVELOPE, SECOND = seal(EPOCH, 2, size=20)


def reason(envelope: bytes) -> str:
    try:
        peek(envelope)
    except MalformedError as error:
        return error.reason
    return ""


def glanced_reason(glancer: Glancer, envelope: bytes) -> str:
    try:
        glancer.glance(envelope)
    except MalformedError as error:
        return error.reason
    return ""


@given(st.integers(0, len(SECOND) - 1), st.integers(1, 255))
def test_whatever_byte_is_changed(at: int, flip: int) -> None:
    """With a warm memory and with a cold one, what peek refuses is refused for the same reason."""
    changed = bytearray(SECOND)
    changed[at] ^= flip
    warm = Glancer()
    warm.glance(ENVELOPE)
    for glancer in (warm, Glancer()):
        found = glanced_reason(glancer, bytes(changed))
        assert found == reason(bytes(changed)) or found == "bad_time"


@given(st.integers(0, len(SECOND) - 1), st.binary(max_size=3))
def test_whatever_its_length(length: int, more: bytes) -> None:
    """Cut or with bytes after it."""
    glancer = Glancer()
    glancer.glance(ENVELOPE)
    for envelope in (SECOND[:length], SECOND + more):
        assert glanced_reason(glancer, envelope) == reason(envelope)


def test_what_it_tells() -> None:
    """Kind, sequence, capture time and where the record begins, as peek has them."""
    glancer = Glancer(cache_size=1)
    for epoch in (EPOCH, begin(2), EPOCH):
        envelope = seal(epoch, 1)[0]
        seen = peek(envelope)
        told = glancer.glance(envelope)
        assert told == Glance(
            seen.epoch, seen.record.kind, seen.record.sequence, seen.record.capture_ms, seen.record_at
        )
        assert told.id == seen.id


def test_times_without_a_date_are_refused() -> None:
    """Whether the epoch or the record has it: no store could keep it."""
    epoch = begin()
    late = epoch.seal(b"x", capture_ms=MAX_TIME_MS + 1)
    for envelope in (late, seal(begin(created_ms=MAX_TIME_MS + 1), 1)[0]):
        with pytest.raises(MalformedError, match="year 9999"):
            Glancer().glance(envelope)
