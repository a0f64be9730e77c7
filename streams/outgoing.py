"""What processors produce: records for documents, activity, alerts, lifecycle and dead-letters.

Never decides where offsets go: delivering is `streams.delivery`, committing is `streams.lane`.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.dead_letter import dead_letter_record
from schemas.errors import MalformedError, OpenError
from schemas.records import Record, encode_record
from schemas.topics import ACTIVITY, ALERTS, DEAD_LETTERS, DOCUMENTS, LIFECYCLE
from streams.incoming import Incoming


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be delivered; `topic` is without prefix."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def document(record: Record) -> Outgoing:
    """A `Document` record."""
    return Outgoing(DOCUMENTS.name, record["agent_id"].encode(), encode_record("document", record))


def activity_span(record: Record) -> Outgoing:
    """An `ActivitySpan` record."""
    return Outgoing(ACTIVITY.name, record["agent_id"].encode(), encode_record("activity_span", record))


def lifecycle_event(record: Record) -> Outgoing:
    """A `LifecycleEvent` record."""
    return Outgoing(LIFECYCLE.name, record["id"].encode(), encode_record("lifecycle_event", record))


def alert(record: Record) -> Outgoing:
    """An `Alert` record."""
    return Outgoing(ALERTS.name, record["agent_id"].encode(), encode_record("alert", record))


def dead_letter(cause: Incoming, stage: str, reason: str, detail: str, time_ms: int) -> Outgoing:
    """A `DeadLetter` record: the whole record that could not be processed, and why."""
    place = (cause.topic, cause.partition, cause.offset)
    record = dead_letter_record(
        place, cause.key, cause.value, cause.headers, stage=stage, reason=reason, detail=detail, time_ms=time_ms
    )
    return Outgoing(DEAD_LETTERS.name, cause.topic.encode(), encode_record("dead_letter", record))


def reason_of(error: Exception) -> str:
    """The fixed word that a dead letter carries for `error`."""
    if isinstance(error, MalformedError):
        return error.reason
    if isinstance(error, OpenError):
        return "does_not_open"
    return "poison"
