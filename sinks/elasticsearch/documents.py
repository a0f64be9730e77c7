"""One document whole, with the words of a question marked in it, and the values that a field has by their beginnings.

Never gives a document of an index that is not ours, and never one that the filters leave out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from elasticsearch import AsyncElasticsearch

from sinks.elasticsearch.search import HIGHLIGHTED, MARK_END, MARK_START, Question, ask, build_filters, build_words

SUGGESTED = ("application", "user", "computer")


async def read_document(
    client: AsyncElasticsearch, prefix: str, document_id: str, question: Question
) -> dict[str, Any] | None:
    """The document of that id as Elasticsearch has it, if the question's filters let it through.

    `_source` is whole; `highlight` has whole fields, with marks round the question's words. Raises `UnavailableError`.
    """
    words = build_words(question.text, fuzzy=question.fuzzy)
    body = {
        "size": 1,
        "query": {
            "bool": {"filter": [{"ids": {"values": [document_id]}}, *build_filters(question)], "should": words},
        },
        "highlight": {
            "pre_tags": [MARK_START],
            "post_tags": [MARK_END],
            "number_of_fragments": 0,
            "fields": {name: {"matched_fields": [name, f"{name}.parts"]} for name in HIGHLIGHTED},
        },
        "_source": {"excludes": ["tokens"]},
    }
    hits = (await ask(client, prefix, body))["hits"]["hits"]
    return dict(hits[0]) if hits else None


async def suggest_values(
    client: AsyncElasticsearch, prefix: str, name: str, beginning: str, persons: Collection[str] | None, *, limit: int
) -> list[tuple[str, int]]:
    """Values of a field of `SUGGESTED` that begin like that, most frequent first, in small letters."""
    scope = build_filters(Question("", persons=persons))
    beginnings = [{"prefix": {name: {"value": beginning, "case_insensitive": True}}}] if beginning else []
    body = {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [*beginnings, *scope]}},
        "aggs": {"values": {"terms": {"field": name, "size": limit}}},
    }
    buckets = (await ask(client, prefix, body)).get("aggregations", {}).get("values", {}).get("buckets", ())
    return [(str(one["key"]), int(one["doc_count"])) for one in buckets if one["key"]]
