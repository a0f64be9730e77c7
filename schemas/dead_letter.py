"""The record of a dead letter: what somebody gave up on, whole, and why.

Never grows beyond what its topic takes: a value that does not fit beside the rest stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.records import Record
from schemas.topics import MAX_ENVELOPE_BYTES

MAX_DETAIL = 1000


def dead_letter_record(
    place: tuple[str, int, int],
    key: bytes | None,
    value: bytes,
    headers: Mapping[str, bytes],
    *,
    stage: str,
    reason: str,
    detail: str,
    time_ms: int,
) -> Record:
    """A `DeadLetter` of the record at `place` (topic without prefix, partition, offset).

    `stage` says who gave it up, `reason` is a fixed word, `detail` is for a person.
    """
    topic, partition, offset = place
    return {
        "time_ms": time_ms,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": key,
        "value": value if len(value) <= MAX_ENVELOPE_BYTES else b"",
        "headers": dict(headers),
        "stage": stage,
        "reason": reason,
        "detail": detail[:MAX_DETAIL],
    }
