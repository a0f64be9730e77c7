"""Asking for end-to-end documents by tokens: where there are any, and which of them have one of each word's.

Never learns a word: it is given tokens, and what it finds has no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from elasticsearch import AsyncElasticsearch

from schemas.errors import ConfigError
from sinks.elasticsearch.search import Question, ask, build_filters

MOST_AGENTS = 10_000
MOST_TERMS = 60_000
"""Of one request; Elasticsearch takes 65,536."""

_END_TO_END: dict[str, Any] = {"term": {"end_to_end": True}}


class Span(NamedTuple):
    """When one agent's end-to-end texts of one stream were seen, within what was asked; milliseconds."""

    agent_id: str
    stream: str
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that has the tokens, and may have the words."""

    document_id: str
    index: str
    time: datetime
    until: datetime
    agent_id: str
    epoch_id: bytes
    sequence: int
    user: str
    computer: str
    stream: str
    kind: str


async def find_spans(client: AsyncElasticsearch, prefix: str, question: Question) -> list[Span]:
    """Agents and streams with end-to-end texts in the question's scope."""
    times = {"from": {"min": {"field": "@timestamp"}}, "until": {"max": {"field": "until"}}}
    streams = {"terms": {"field": "stream", "size": 16}, "aggs": times}
    agents = {"terms": {"field": "agent_id", "size": MOST_AGENTS}, "aggs": {"streams": streams}}
    body = {"size": 0, "query": _query(question, []), "aggs": {"agents": agents}}
    answer = await ask(client, prefix, body)
    if "aggregations" not in answer:  # no index yet
        return []
    found = answer["aggregations"]["agents"]
    if found.get("sum_other_doc_count"):
        raise ConfigError(f"more than {MOST_AGENTS} agents are in scope: narrow the search by --agent or --user")
    return [
        Span(agent["key"], stream["key"], int(stream["from"]["value"]), int(stream["until"]["value"]))
        for agent in found["buckets"]
        for stream in agent["streams"]["buckets"]
    ]


async def count_end_to_end(client: AsyncElasticsearch, prefix: str, question: Question) -> int:
    """How many end-to-end texts are in the question's scope, whatever they say."""
    answer = await ask(client, prefix, {"size": 0, "track_total_hits": True, "query": _query(question, [])})
    return int(answer["hits"]["total"]["value"])


async def find_candidates(
    client: AsyncElasticsearch, prefix: str, question: Question, words: Sequence[Sequence[str]], limit: int
) -> list[Candidate]:
    """Documents that have one of each word's tokens, newest first unless the oldest are wanted; at most `limit`."""
    body = {
        "size": limit,
        "query": _query(question, words),
        "sort": [{"@timestamp": "asc" if question.order == "oldest" else "desc"}],
        "_source": {"excludes": ["tokens", "lines", "went"]},
    }
    answer = await ask(client, prefix, body)
    return [_candidate(hit) for hit in answer["hits"]["hits"]]


def _query(question: Question, words: Sequence[Sequence[str]]) -> dict[str, Any]:
    terms = [{"terms": {"tokens": list(tokens)}} for tokens in words]
    return {"bool": {"filter": [_END_TO_END, *terms, *build_filters(question)]}}


def _candidate(hit: dict[str, Any]) -> Candidate:
    source = hit["_source"]
    return Candidate(
        document_id=hit["_id"],
        index=hit["_index"],
        time=datetime.fromisoformat(source["@timestamp"]),
        until=datetime.fromisoformat(source["until"]),
        agent_id=source["agent_id"],
        epoch_id=bytes.fromhex(source["epoch_id"]),
        sequence=source["sequence"],
        user=source["user"],
        computer=source["computer"],
        stream=source["stream"],
        kind=source["kind"],
    )
