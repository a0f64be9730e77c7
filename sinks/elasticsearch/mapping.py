"""Index template and documents: what Elasticsearch is told of a `Document` record, and under which name.

Uses nothing that a cluster may lack: no language analyzers, no index lifecycle management, no ingest pipelines.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from schemas.records import Record
from schemas.topics import DAY_MS

KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}
FOLDED: dict[str, Any] = {"type": "keyword", "ignore_above": 1024, "normalizer": "lowercase"}
TEXT: dict[str, Any] = {
    "type": "text",
    "analyzer": "standard",
    "index_options": "offsets",
    # `standard` takes invoice.pdf for one word; `parts` finds its two as well.
    "fields": {"parts": {"type": "text", "analyzer": "simple", "index_options": "offsets"}},
}
UNINDEXED: dict[str, Any] = {"type": "object", "enabled": False}

PROPERTIES: dict[str, dict[str, Any]] = {
    "@timestamp": {"type": "date"},
    "until": {"type": "date"},
    "agent_id": KEYWORD,
    "epoch_id": {**KEYWORD, "doc_values": False},
    "sequence": {"type": "long"},
    "version": {"type": "long"},
    "stream": KEYWORD,
    "kind": KEYWORD,
    "user": FOLDED,
    "computer": FOLDED,
    "application": FOLDED,
    "title": TEXT,
    "text": TEXT,
    "lines": UNINDEXED,
    "went": UNINDEXED,
    "session": KEYWORD,
    "sender": TEXT,
    "recipients": TEXT,
    "attachments": TEXT,
    "tokens": {"type": "keyword", "doc_values": False},
    "end_to_end": {"type": "boolean"},
}


def alias_name(prefix: str) -> str:
    """What searches name: all months."""
    return f"{prefix}-documents"


def index_name(prefix: str, time_ms: int) -> str:
    """The index of a document first seen at that time, such as ``sealstream-documents-2026.11``."""
    return f"{alias_name(prefix)}-{_month(time_ms // DAY_MS)}"


def index_template(prefix: str, *, replicas: int | None = None) -> dict[str, Any]:
    """The template that every month's index is made from."""
    return {
        "index_patterns": [f"{alias_name(prefix)}-*"],
        "priority": 500,
        "template": {
            "aliases": {alias_name(prefix): {}},
            "settings": {"index": {"refresh_interval": "1s", "number_of_shards": 1, **copies(replicas)}},
            "mappings": {"dynamic": "strict", "properties": PROPERTIES},
        },
    }


def copies(replicas: int | None) -> dict[str, Any]:
    """Settings of an index by which it has so many copies; without a number the cluster follows its own size."""
    if replicas is None:
        return {"auto_expand_replicas": "0-1"}
    return {"auto_expand_replicas": "false", "number_of_replicas": replicas}


def to_source(document: Record) -> dict[str, Any]:
    """A `Document` record as Elasticsearch keeps it: times as dates, its id left to `_id`. Takes the record itself."""
    source = document
    del source["document_id"]
    source["@timestamp"] = iso_time(source.pop("time_ms"))
    source["until"] = iso_time(source.pop("until_ms"))
    return source


def iso_time(time_ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, from 1970 to the year 9999."""
    minute, ms = divmod(time_ms, 60_000)
    return f"{_minute(minute)}:{ms // 1000:02}.{ms % 1000:03}Z"


@lru_cache(maxsize=4096)
def _minute(number: int) -> str:
    day, minute = divmod(number, 1440)
    return f"{_day(day)}T{minute // 60:02}:{minute % 60:02}"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


@lru_cache(maxsize=1024)
def _month(day: int) -> str:
    return _day(day)[:7].replace("-", ".")
