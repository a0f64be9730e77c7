"""What the hits of a question are like: counts by person, computer, stream, kind, application, and over time.

Uses nothing that a cluster may lack: time is counted in ranges that are asked for, not by a histogram of dates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MOST_BUCKETS = 92
WITHOUT_RANGE_DAYS = 60
"""Of time that is not bounded, so many days up to now are counted."""

_FIELDS = {"person": "user", "computer": "computer", "stream": "stream", "kind": "kind", "application": "application"}
_SIZES = {"person": 20, "computer": 20, "stream": 16, "kind": 16, "application": 20}
_STEPS = (HOUR_MS, 3 * HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 365 * DAY_MS)


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many hits in a stretch of time."""

    from_ms: int
    until_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts by value, most frequent first; names of persons, computers and applications are in small letters."""

    values: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    days: Sequence[Bucket] = ()


def time_ranges(since_ms: int | None, until_ms: int | None, now_ms: int) -> list[tuple[int, int]]:
    """Stretches that cover the time, in whole hours, days or more, at most `MOST_BUCKETS`."""
    end_ms = now_ms if until_ms is None else min(until_ms, max(now_ms, since_ms or 0) + DAY_MS)
    start_ms = end_ms - WITHOUT_RANGE_DAYS * DAY_MS if since_ms is None else min(since_ms, end_ms)
    start_ms = max(0, start_ms)
    step_ms = next((step for step in _STEPS if (end_ms - start_ms) / step <= MOST_BUCKETS - 2), _STEPS[-1])
    first = start_ms - start_ms % step_ms
    starts = range(first, end_ms + 1, step_ms)
    return [(start, start + step_ms) for start in starts][-MOST_BUCKETS:]


def build_facets(ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The aggregations of a request."""
    terms = {name: {"terms": {"field": of, "size": _SIZES[name]}} for name, of in _FIELDS.items()}
    asked = [{"from": start, "to": end} for start, end in ranges]
    days = {"date_range": {"field": "@timestamp", "format": "epoch_millis", "ranges": asked}}
    return {**terms, "days": days}


def parse_facets(answer: Mapping[str, Any]) -> Facets:
    """What the cluster counted."""
    found = answer.get("aggregations", {})
    values = {
        name: [(str(one["key"]), int(one["doc_count"])) for one in found.get(name, {}).get("buckets", ()) if one["key"]]
        for name in _FIELDS
    }
    days = [
        Bucket(int(one["from"]), int(one["to"]), int(one["doc_count"]))
        for one in found.get("days", {}).get("buckets", ())
    ]
    return Facets(values, days)
