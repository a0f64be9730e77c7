"""Documents for the rules of alerts: narrowed by the cluster, told newest first, judged by whoever asks.

Never leaves out a document that the rule could match: what the cluster compares otherwise is not narrowed by.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

from elasticsearch import AsyncElasticsearch

from infra.rules.rule import Conditions
from infra.rules.words import Wanted
from schemas.errors import UnavailableError
from sinks.elasticsearch.client import SEARCH, ask_whole
from sinks.elasticsearch.mapping import alias_name, iso_time

PAGE = 100
"""Documents at once: their text is decoded on the event loop."""

_KEEP = "30s"
_PARTS = ("text.parts", "title.parts", "sender.parts", "recipients.parts", "attachments.parts")
_NAMES = ("agent_id", "user", "computer", "stream", "kind", "application", "title", "@timestamp")
_TEXTS = ("text", "sender", "recipients", "attachments")


def narrow(conditions: Conditions, members: Collection[str] | None, persons: Collection[str] | None) -> list[Any]:
    """Filters that every document passes which the rule could match, of `persons` (`None`: of everybody).

    `members` are those of the rule's teams, `None` where it names no team.
    """
    filters: list[Any] = [{"bool": {"must_not": [{"term": {"end_to_end": True}}]}}]
    filters += [{"terms": {"user": sorted(names)}} for names in (members, persons) if names is not None]
    for field, globs in (
        ("application", conditions.applications),
        ("user", conditions.persons),
        ("computer", conditions.endpoints),
    ):
        if globs and all(glob.isascii() for glob in globs):
            filters.append(_any(_wildcard(field, glob) for glob in globs))
    if conditions.streams:
        named = list(conditions.streams)
        filters.append(_any([{"terms": {"stream": named}}, {"terms": {"kind": named}}]))
    if conditions.words:
        filters.append(_any(_words(Wanted(text)) for text in conditions.words))
    return filters


def _wildcard(field: str, glob: str) -> dict[str, Any]:
    # One character may be written as two: `*` lets both through.
    pattern = glob.replace("\\", "\\\\").replace("?", "*")
    return {"wildcard": {field: {"value": pattern, "case_insensitive": True}}}


def _words(wanted: Wanted) -> dict[str, Any]:
    """All words of letters that the cluster has as they are: of others it makes several, or none."""
    clauses: list[dict[str, Any]] = []
    for words, begun in wanted.phrases:
        for number, word in enumerate(words):
            if not (word.isascii() and word.isalpha()):
                continue
            how = "prefix" if begun and number == len(words) - 1 else "term"
            clauses.append(_any({how: {field: {"value": word}}} for field in _PARTS))
    return {"bool": {"filter": clauses}} if clauses else {"match_all": {}}


def _any(clauses: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


async def scan_documents(
    client: AsyncElasticsearch,
    prefix: str,
    filters: Sequence[Any],
    since_ms: int,
    until_ms: int,
    *,
    texts: bool = True,
) -> AsyncIterator[list[dict[str, Any]]]:
    """Pages of documents first seen in that time, the newest first, as Elasticsearch has them; without `texts`, names.

    Raises `UnavailableError`.
    """
    body = {
        "size": PAGE,
        "query": {"bool": {"filter": [*filters, _between(since_ms, until_ms)]}},
        "sort": [{"@timestamp": "desc"}],
        "_source": [*_NAMES, *(_TEXTS if texts else ())],
    }
    answer = await ask_whole(client, f"/{alias_name(prefix)}/{SEARCH}&scroll={_KEEP}", body)
    try:
        while hits := answer["hits"]["hits"]:
            yield hits
            if len(hits) < PAGE:
                return
            answer = await ask_whole(client, "/_search/scroll", {"scroll": _KEEP, "scroll_id": answer["_scroll_id"]})
    finally:
        with suppress(UnavailableError):  # it ends by itself, only later
            if "_scroll_id" in answer:
                await ask_whole(client, "/_search/scroll", {"scroll_id": answer["_scroll_id"]}, "DELETE")


async def busy_people(
    client: AsyncElasticsearch, prefix: str, filters: Sequence[Any], since_ms: int, until_ms: int, *, more_than: float
) -> list[str]:
    """Who has more than so many documents in that time, in small letters; at most a thousand, the busiest first."""
    body = {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [*filters, _between(since_ms, until_ms)]}},
        "aggs": {"people": {"terms": {"field": "user", "size": 1000, "min_doc_count": int(more_than) + 1}}},
    }
    answer = await ask_whole(client, f"/{alias_name(prefix)}/{SEARCH}", body)
    return [str(one["key"]) for one in answer.get("aggregations", {}).get("people", {}).get("buckets", ())]


def _between(since_ms: int, until_ms: int) -> dict[str, Any]:
    return {"range": {"@timestamp": {"gte": iso_time(since_ms), "lt": iso_time(until_ms)}}}
