"""One timeline of a person: what was recorded when, what is missing, and what happened.

Never opens anything and never hides a gap: what is joined are pauses shorter than the resolution, which is told.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from gateway.api.times import from_ms, to_ms
from schemas.seal import MAX_EPOCH_MS
from sinks.envelopes import MAX_TIME_MS
from sinks.postgresql.connection import Connection

MOST_DAYS = 32
MOST_BUCKETS = 1500
"""Of one stream of one agent: what a screen can show."""

FINE_MS = 2 * 3_600_000
"""Up to so long a time is told run by run, a longer one by the minute at most."""

PAUSE_MS = 5_000
"""Pauses shorter than this are none."""

MOST_GAPS, MOST_ALERTS, MOST_SESSIONS = 2000, 2000, 2000
_KNOWN_EPOCHS = 200_000

_RUNS = """
SELECT agent_id, stream, epoch_id, min(first_captured_at) AS since, max(last_captured_at) AS until,
       sum(last_sequence - first_sequence + 1)::bigint AS envelopes, sum(byte_length)::bigint AS bytes
FROM archive_run
WHERE agent_id = ANY($1) AND stream = ANY($2)
  AND last_captured_at >= $3 AND last_captured_at < $5 AND first_captured_at < $4
GROUP BY agent_id, stream, epoch_id, date_bin($6, first_captured_at, $3)"""
_MINUTES = """
SELECT agent_id, stream, epoch_id, min(first_captured_at) AS since, max(last_captured_at) AS until,
       sum(envelopes)::bigint AS envelopes, sum(bytes)::bigint AS bytes
FROM archive_minute
WHERE agent_id = ANY($1) AND stream = ANY($2)
  AND minute >= $3::timestamptz - interval '16 minutes' AND minute < $4
  AND last_captured_at >= $3 AND last_captured_at < $5
GROUP BY agent_id, stream, epoch_id, date_bin($6, minute, $3)"""
"""A run is in the minute in which it began, and as long as its epoch at most."""

_SEALED = """
SELECT wanted.epoch_id, (
    SELECT end_to_end FROM envelope e WHERE e.agent_id = wanted.agent_id AND e.epoch_id = wanted.epoch_id LIMIT 1
) AS end_to_end FROM unnest($1::uuid[], $2::bytea[]) AS wanted (agent_id, epoch_id)"""

_GAPS = """
SELECT agent_id, stream, reason, noticed_at, detail FROM gap
WHERE agent_id = ANY($1) AND noticed_at >= $2 ORDER BY noticed_at LIMIT $3"""

_ALERTS = """
SELECT agent_id, raised_at, rule, rule_name, severity, document_id FROM alert
WHERE agent_id = ANY($1) AND raised_at >= $2 AND raised_at < $3 ORDER BY raised_at LIMIT $4"""

_SESSIONS = """
SELECT agent_id, computer, connected_at, disconnected_at FROM session
WHERE agent_id = ANY($1) AND connected_at < $3 AND (disconnected_at IS NULL OR disconnected_at >= $2)
ORDER BY connected_at LIMIT $4"""

STREAMS = ("screen", "keystrokes", "email", "activity", "audio")


class Span(NamedTuple):
    """Something of a stream was recorded from when until when."""

    stream: str
    agent_id: UUID
    from_ms: int
    until_ms: int
    end_to_end: bool
    envelopes: int
    bytes: int


class Hole(NamedTuple):
    """Something of a stream is missing."""

    stream: str
    agent_id: UUID
    from_ms: int
    until_ms: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Period:
    """From when until when, and how fine."""

    since_ms: int
    until_ms: int

    @property
    def bucket_ms(self) -> int:
        """Runs that begin in the same so many milliseconds are one."""
        length_ms = self.until_ms - self.since_ms
        return max(1000 if self.fine else 60_000, -(-length_ms // MOST_BUCKETS))

    @property
    def fine(self) -> bool:
        """Whether runs are told, not minutes."""
        return self.until_ms - self.since_ms <= FINE_MS

    @property
    def resolution_ms(self) -> int:
        """Pauses shorter than this are not shown."""
        return max(PAUSE_MS, self.bucket_ms)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """As PostgreSQL takes them."""
        return from_ms(self.since_ms), from_ms(self.until_ms)


class EpochFlags:
    """Which epochs are end to end: it never changes, so it is asked for once."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, bool] = OrderedDict()

    async def read(self, connection: Connection, epochs: Mapping[bytes, UUID]) -> Mapping[bytes, bool]:
        """Of each epoch, with its agent; one that PostgreSQL does not know yet is not end to end."""
        missing = [epoch for epoch in epochs if epoch not in self._known]
        fresh: dict[bytes, bool] = {}
        if missing:
            rows = await connection.fetch(_SEALED, [epochs[epoch] for epoch in missing], missing)
            fresh = {row["epoch_id"]: row["end_to_end"] for row in rows if row["end_to_end"] is not None}
            self._known |= fresh
            while len(self._known) > _KNOWN_EPOCHS:
                self._known.popitem(last=False)
        return {epoch: fresh[epoch] if epoch in fresh else self._known.get(epoch, False) for epoch in epochs}


async def read_spans(connection: Connection, flags: EpochFlags, agents: Sequence[UUID], period: Period) -> list[Span]:
    """What was recorded, by stream, agent and time."""
    since, until = period.bounds
    latest = from_ms(min(period.until_ms + MAX_EPOCH_MS, MAX_TIME_MS))
    statement, bucket = _RUNS if period.fine else _MINUTES, timedelta(milliseconds=period.bucket_ms)
    rows = await connection.fetch(statement, list(agents), list(STREAMS), since, until, latest, bucket)
    sealed = await flags.read(connection, {row["epoch_id"]: row["agent_id"] for row in rows})
    return list(
        join_spans(
            (
                Span(
                    row["stream"],
                    row["agent_id"],
                    to_ms(row["since"]),
                    to_ms(row["until"]),
                    sealed[row["epoch_id"]],
                    row["envelopes"],
                    row["bytes"],
                )
                for row in rows
            ),
            period.resolution_ms,
        )
    )


def join_spans(spans: Iterable[Span], pause_ms: int) -> Iterator[Span]:
    """Spans of one stream and agent with no pause of `pause_ms` or more between them are one."""
    held: Span | None = None
    for span in sorted(spans):
        if held is not None and _goes_on(held, span, pause_ms):
            held = held._replace(
                until_ms=max(held.until_ms, span.until_ms),
                envelopes=held.envelopes + span.envelopes,
                bytes=held.bytes + span.bytes,
            )
            continue
        if held is not None:
            yield held
        held = span
    if held is not None:
        yield held


def _goes_on(held: Span, span: Span, pause_ms: int) -> bool:
    alike = held[:2] == span[:2] and held.end_to_end == span.end_to_end
    return alike and span.from_ms - held.until_ms < pause_ms


async def read_gaps(connection: Connection, agents: Sequence[UUID], period: Period) -> list[Hole]:
    """What is known to be missing in that time."""
    rows = await connection.fetch(_GAPS, list(agents), from_ms(period.since_ms), MOST_GAPS)
    holes = (hole_of(row) for row in rows)
    return [one for one in holes if one.from_ms < period.until_ms and one.until_ms >= period.since_ms]


def hole_of(row: Mapping[str, Any]) -> Hole:
    """A row of the table as a hole; where it does not say when, it is where it was noticed."""
    told: dict[str, str] = json.loads(row["detail"])
    noticed_ms = to_ms(row["noticed_at"])
    from_us, until_us = told.get("from_us", ""), told.get("until_us", "")
    from_ms_ = int(from_us) // 1000 if from_us.isdigit() else noticed_ms
    until_ms = int(until_us) // 1000 if until_us.isdigit() else noticed_ms
    return Hole(row["stream"], row["agent_id"], min(from_ms_, until_ms), until_ms, row["reason"], told.get("note", ""))


async def read_alerts(connection: Connection, agents: Sequence[UUID], period: Period) -> list[Mapping[str, Any]]:
    """Alerts raised in that time."""
    return list(await connection.fetch(_ALERTS, list(agents), *period.bounds, MOST_ALERTS))


async def read_sessions(connection: Connection, agents: Sequence[UUID], period: Period) -> list[Mapping[str, Any]]:
    """When the agents were connected."""
    return list(await connection.fetch(_SESSIONS, list(agents), *period.bounds, MOST_SESSIONS))
