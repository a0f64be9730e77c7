"""Documents of Elasticsearch that are too old: by stream and by when they were last seen, with their tokens.

Uses nothing that a cluster may lack, such as deletion by query: documents are asked for and deleted by their ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from elasticsearch import AsyncElasticsearch

from schemas.errors import UnavailableError
from schemas.identity import agent_text
from schemas.kinds import StreamKind
from sinks.elasticsearch.bulk import Item, send
from sinks.elasticsearch.client import SEARCH, ask_whole
from sinks.elasticsearch.mapping import alias_name
from sinks.retention.periods import OTHER, Kept, Periods, midnight

PAGE = 10_000

_STREAMS = tuple(kind.label for kind in StreamKind)
KINDS = (*_STREAMS, OTHER)
_ask = partial(ask_whole, what="it")
_MONTH = re.compile(r"-(\d{4})\.(\d{2})$")


async def refresh(client: AsyncElasticsearch, prefix: str) -> None:
    """Let what was written until now be found by what follows."""
    await _ask(client, f"/{alias_name(prefix)}/_refresh?ignore_unavailable=true&allow_no_indices=true")


def build_query(kind: str, before: datetime, kept: Kept) -> dict[str, Any]:
    """Documents of a kind that go."""
    filters: list[Any] = [{"range": {"until": {"lt": _iso(before)}}}]
    held: list[Any] = [_held(agent, since, until) for agent, since, until in kept.spans()]
    if kind == OTHER:
        held.append({"terms": {"stream": list(_STREAMS)}})
    else:
        filters.append({"term": {"stream": kind}})
    if kept.only is not None:
        filters.append({"terms": {"agent_id": [agent_text(agent) for agent in sorted(kept.only)]}})
    return {"bool": {"filter": filters, "must_not": held}}


def _held(agent: bytes, since: datetime, until: datetime) -> dict[str, Any]:
    seen = [{"range": {"until": {"gte": _iso(since)}}}, {"range": {"@timestamp": {"lt": _iso(until)}}}]
    return {"bool": {"filter": [{"term": {"agent_id": agent_text(agent)}}, *seen]}}


def _iso(moment: datetime) -> str:
    return moment.isoformat()


async def count_old(client: AsyncElasticsearch, prefix: str, periods: Periods, kept: Kept) -> dict[str, int]:
    """How many documents of each kind would go."""
    counts = {}
    for kind, before in periods.before(KINDS).items():
        counts[kind] = await _count(client, alias_name(prefix), build_query(kind, before, kept))
    return {kind: count for kind, count in counts.items() if count}


async def delete_some(
    client: AsyncElasticsearch, prefix: str, kind: str, before: datetime, kept: Kept, *, page: int = PAGE
) -> int:
    """Delete some documents of a kind that are too old, at most `page`; none are left when it is 0."""
    body = {"size": page, "_source": False, "query": build_query(kind, before, kept)}
    hits = (await _ask(client, f"/{alias_name(prefix)}/{SEARCH}", body))["hits"]["hits"]
    if not hits:
        return 0
    refused = await send(client, [_deletion(number, hit) for number, hit in enumerate(hits)])
    if len(refused) == len(hits):
        raise UnavailableError(f"Elasticsearch deletes nothing: {refused[0].reason} {refused[0].detail}")
    await refresh(client, prefix)
    return len(hits) - len(refused)


def _deletion(number: int, hit: Mapping[str, Any]) -> Item:
    return Item(number, json.dumps({"delete": {"_index": hit["_index"], "_id": hit["_id"]}}).encode() + b"\n")


async def drop_months(client: AsyncElasticsearch, prefix: str, periods: Periods, kept: Kept) -> dict[str, int]:
    """Drop the indices of months that are too old whole, while nothing is held; how many documents of each kind."""
    if kept.holds or kept.only is not None or not all(kind in periods.first_kept for kind in KINDS):
        return {}
    first = min(periods.first_kept[kind] for kind in KINDS)
    counts: dict[str, int] = {}
    for name in await _indices(client, prefix):
        if _end_of_month(name) <= first and not await _count(client, name, _seen_since(first)):
            for kind, row in (await _by_stream(client, name)).items():
                counts[kind] = counts.get(kind, 0) + row["doc_count"]
            await _ask(client, f"/{name}", method="DELETE")
    return counts


def _seen_since(first: date) -> dict[str, Any]:
    return {"range": {"until": {"gte": _iso(midnight(first))}}}


async def _count(client: AsyncElasticsearch, name: str, query: dict[str, Any]) -> int:
    body = {"size": 0, "track_total_hits": True, "query": query}
    return int((await _ask(client, f"/{name}/{SEARCH}", body))["hits"]["total"]["value"])


async def oldest(client: AsyncElasticsearch, prefix: str) -> dict[str, datetime]:
    """When the oldest document of each kind was last seen."""
    rows = await _by_stream(client, alias_name(prefix))
    times = {kind: row["first"]["value"] for kind, row in rows.items()}
    return {
        kind: midnight(date(1970, 1, 1)) + timedelta(milliseconds=at) for kind, at in times.items() if at is not None
    }


async def _by_stream(client: AsyncElasticsearch, name: str) -> dict[str, dict[str, Any]]:
    """Count and oldest of what each stream has."""
    first = {"first": {"min": {"field": "until"}}}
    body = {
        "size": 0,
        "track_total_hits": False,
        "aggs": {
            kind: {"filter": {"terms": {"stream": [kind]}}, "aggs": first} for kind in _STREAMS
        } | {OTHER: {"filter": {"bool": {"must_not": [{"terms": {"stream": list(_STREAMS)}}]}}, "aggs": first}},
    }  # fmt: skip
    rows: dict[str, dict[str, Any]] = (await _ask(client, f"/{name}/{SEARCH}", body)).get("aggregations", {})
    return {kind: row for kind, row in rows.items() if row["doc_count"]}


async def _indices(client: AsyncElasticsearch, prefix: str) -> list[str]:
    found = await _ask(client, f"/{alias_name(prefix)}-*/_settings?allow_no_indices=true", method="GET")
    return sorted(name for name in found if _MONTH.search(name))


def _end_of_month(name: str) -> date:
    match = _MONTH.search(name)
    assert match is not None
    year, month = int(match[1]), int(match[2])
    return date(year + month // 12, month % 12 + 1, 1)
