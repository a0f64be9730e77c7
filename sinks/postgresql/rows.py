"""Records as rows: one function a topic, from a `SinkRecord` to the tuple of its table.

Pure; raises `MalformedError` for whatever PostgreSQL could not take, so that a batch does not fail by one row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncpg import Range

from schemas.errors import MalformedError
from schemas.records import Record, decode_record
from schemas.topics import ACTIVITY, ALERTS, AUDIT
from sinks.envelopes import MAX_TIME_MS
from sinks.sink import SinkRecord

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that rows are only ever added to; `key` says which are the same."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


Place = tuple[UUID, int, int]
"""Where a record stands: the id of its topic's log, partition, offset."""

_BY_OFFSET = ("topic_id", "kafka_partition", "kafka_offset")
_BY_SEGMENT = ("agent_id", "epoch_id", "sequence")

ACTIVITY_SPAN = Table(
    "activity_span",
    (
        *(*_BY_SEGMENT, "ordinal", "user_name", "computer", "application", "hour"),
        *("active_ms", "idle_ms", "switches", "active"),
    ),
    (*_BY_SEGMENT, "ordinal"),
)
_ALERT_TEXTS = ("rule_name", "severity", "kind", "person", "computer", "stream", "application")
ALERT = Table(
    "alert",
    (
        *(*_BY_OFFSET, "raised_at", "rule", "agent_id", "document_id", "detail"),
        *("alert_id", "rule_version", "until_at", *_ALERT_TEXTS),
    ),
    ("alert_id",),
)
AUDIT_ENTRY = Table(
    "audit_entry",
    (*_BY_OFFSET, "happened_at", "actor", "action", "target", "purpose", "outcome", "detail"),
    _BY_OFFSET,
)


def check_time(time_ms: int) -> int:
    """`time_ms`, if it is one that stores have dates for."""
    if not 0 <= time_ms <= MAX_TIME_MS:
        raise MalformedError("a time before 1970 or beyond the year 9999", "bad_time")
    return time_ms


def timestamp(time_ms: int) -> datetime:
    """Milliseconds since the epoch as a date."""
    return datetime.fromtimestamp(check_time(time_ms) / 1000, UTC)


def text(value: str) -> str:
    """`value` without what PostgreSQL's text cannot hold."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def uuid(value: str) -> UUID:
    """An agent's id."""
    try:
        return UUID(value)
    except ValueError:
        raise MalformedError("an agent id is not a UUID", "bad_id") from None


def detail(values: dict[str, str]) -> str:
    """A map of texts as JSON."""
    return json.dumps({text(name): text(value) for name, value in values.items()})


def _activity_row(_place: Place, span: Record) -> Row:
    try:
        epoch_id = bytes.fromhex(span["epoch_id"])
    except ValueError:
        raise MalformedError("an epoch id is not hex", "bad_id") from None
    return (
        uuid(span["agent_id"]),
        epoch_id,
        span["sequence"],
        span["ordinal"],
        text(span["user"]),
        text(span["computer"]),
        text(span["application"]),
        timestamp(span["hour_ms"]),
        span["active_ms"],
        span["idle_ms"],
        span["switches"],
        [Range(timestamp(run["from_ms"]), timestamp(run["until_ms"])) for run in _checked_runs(span)],
    )


def _checked_runs(span: Record) -> list[dict[str, int]]:
    runs: list[dict[str, int]] = span["active"]
    if any(run["until_ms"] < run["from_ms"] for run in runs):
        raise MalformedError("a run of activity ends before it begins", "bad_time")
    return runs


def _alert_row(place: Place, alert: Record) -> Row:
    return (
        *place,
        timestamp(alert["time_ms"]),
        text(alert["rule"]),
        uuid(alert["agent_id"]),
        text(alert["document_id"]),
        detail(alert["detail"]),
        text(alert["alert_id"]) or "-".join(map(str, place)),  # from before alerts had ids
        alert["rule_version"],
        timestamp(alert["until_ms"]) if alert["until_ms"] else None,
        *(text(alert[name]) for name in _ALERT_TEXTS),
    )


def _audit_row(place: Place, entry: Record) -> Row:
    return (
        *place,
        timestamp(entry["time_ms"]),
        *(text(entry[name]) for name in ("actor", "action", "target", "purpose", "outcome")),
        detail(entry["detail"]),
    )


AVRO_ROWS: dict[str, tuple[Table, str, Callable[[Place, Record], Row]]] = {
    ACTIVITY.name: (ACTIVITY_SPAN, "activity_span", _activity_row),
    ALERTS.name: (ALERT, "alert", _alert_row),
    AUDIT.name: (AUDIT_ENTRY, "audit_entry", _audit_row),
}
"""Topic to its table, its schema and its row."""


def avro_row(record: SinkRecord, topic_id: UUID) -> tuple[Table, Row]:
    """Table and row of a record of one of the topics in `AVRO_ROWS`, which has that id now."""
    table, subject, build = AVRO_ROWS[record.topic]
    return table, build((topic_id, record.partition, record.offset), decode_record(record.value, subject))
