"""Times of the API: milliseconds since 1970, UTC; PostgreSQL has moments.

Never loses a millisecond on the way.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds of a moment."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_ms(time_ms: int) -> datetime:
    """The moment of milliseconds."""
    return _EPOCH + timedelta(milliseconds=time_ms)
