"""Searching documents: from what a person types to hits with agent, stream, time and the words in their place.

Never changes the store, and never returns more than it was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from elasticsearch import AsyncElasticsearch

from sinks.elasticsearch.client import SEARCH, ask_whole
from sinks.elasticsearch.facets import Facets, build_facets, parse_facets
from sinks.elasticsearch.mapping import alias_name, iso_time

FIELDS = (
    "text",
    "text.parts",
    "title^2",
    "title.parts",
    "sender",
    "sender.parts",
    "recipients",
    "recipients.parts",
    "attachments",
    "attachments.parts",
)
HIGHLIGHTED = ("text", "title", "sender", "recipients", "attachments")
MARK_START, MARK_END = "\ufdd0", "\ufdd1"
"""Stand round the words found: code points that Unicode gives to no text (control characters would be trimmed)."""

_TIE = ({"agent_id": "asc"}, {"sequence": "asc"}, {"version": "asc"})
"""Orders documents of the same score and moment, so that pages do not repeat one (`_id` cannot be sorted by)."""

_WORDS = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class Question:
    """What to search for. `text` is words, all of which must be found, and phrases in double quotes."""

    text: str
    agents: Sequence[str] = ()
    users: Sequence[str] = ()
    computers: Sequence[str] = ()
    streams: Sequence[str] = ()
    applications: Sequence[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    fuzzy: bool = False
    limit: int = 20
    order: Literal["score", "newest", "oldest"] = "score"
    persons: Collection[str] | None = None
    """The users that are searched, by their whole names; `None`: all."""
    after: Sequence[Any] | None = None
    """`Answer.after` of the page before."""
    ranges: Sequence[tuple[int, int]] | None = None
    """Stretches of time, in milliseconds, to count hits in; with them the hits are counted by what they are like."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found. `fragments` have `MARK_START` and `MARK_END` round the words."""

    document_id: str
    index: str
    score: float | None
    time: datetime
    until: datetime
    agent_id: str
    user: str
    computer: str
    stream: str
    kind: str
    application: str
    title: str
    fragments: tuple[str, ...]
    source: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The best hits, and how many there are in all (`at_least`: or more)."""

    hits: tuple[Hit, ...]
    total: int
    at_least: bool
    took_ms: int
    after: Sequence[Any] | None = None
    """Where the next page begins; `None` at the end."""
    facets: Facets | None = None


async def ask(client: AsyncElasticsearch, prefix: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the indices that begin with `prefix` answer to a search, whole; raises `UnavailableError`."""
    return await ask_whole(client, f"/{alias_name(prefix)}/{SEARCH}", body)


async def search(client: AsyncElasticsearch, prefix: str, question: Question) -> Answer:
    """The answer; raises `UnavailableError` when the cluster does not give one."""
    body = await ask(client, prefix, build_search(question))
    total, found = body["hits"]["total"], body["hits"]["hits"]
    return Answer(
        tuple(_hit(hit) for hit in found),
        total["value"],
        total["relation"] != "eq",
        body["took"],
        found[-1]["sort"] if len(found) == question.limit else None,
        None if question.ranges is None else parse_facets(body),
    )


def build_search(question: Question) -> dict[str, Any]:
    """The request's body."""
    order: dict[str, list[Any]] = {
        "score": ["_score", {"@timestamp": "desc"}, *_TIE],
        "newest": [{"@timestamp": "desc"}, *_TIE],
        "oldest": [{"@timestamp": "asc"}, *_TIE],
    }
    must = build_words(question.text, fuzzy=question.fuzzy)
    body = {
        "size": question.limit,
        "track_total_hits": 10_000,
        "query": {"bool": {"must": must or [{"match_all": {}}], "filter": build_filters(question)}},
        "sort": order[question.order],
        "track_scores": True,
        "_source": {"excludes": ["lines", "went", "tokens"]},
        "highlight": {
            "pre_tags": [MARK_START],
            "post_tags": [MARK_END],
            "number_of_fragments": 3,
            "fragment_size": 140,
            "fields": {name: {"matched_fields": [name, f"{name}.parts"]} for name in HIGHLIGHTED},
        },
    }
    if question.after is not None:
        body["search_after"] = list(question.after)
    if question.ranges is not None:
        body["aggs"] = build_facets(question.ranges)
    return body


def build_words(text: str, *, fuzzy: bool) -> list[dict[str, Any]]:
    """A clause for each word or phrase; all must be met."""
    return [
        _clause(phrase or word, phrase=bool(phrase), fuzzy=fuzzy)
        for phrase, word in _WORDS.findall(text)
        if phrase or word.strip('"')
    ]


def _clause(text: str, *, phrase: bool, fuzzy: bool) -> dict[str, Any]:
    if not phrase and text.endswith("*") and len(text) > 1:
        return {"multi_match": {"query": text.rstrip("*"), "type": "phrase_prefix", "fields": list(FIELDS)}}
    if phrase or not fuzzy:
        # What the analyzer makes several words of, such as ann@example.org, must stand together.
        return {"multi_match": {"query": text, "type": "phrase", "fields": list(FIELDS)}}
    return {
        "multi_match": {
            "query": text,
            "type": "best_fields",
            "fields": list(FIELDS),
            "operator": "and",
            "fuzziness": "AUTO",
            "prefix_length": 1,
        }
    }


def build_filters(question: Question) -> list[dict[str, Any]]:
    """The question's scope: whatever is not words."""
    filters: list[dict[str, Any]] = []
    if question.persons is not None:
        filters.append({"terms": {"user": sorted(question.persons)}})
    if question.agents:
        filters.append(_any([_agent(agent) for agent in question.agents]))
    named = (("user", question.users), ("computer", question.computers), ("application", question.applications))
    for name, wanted in named:
        if wanted:
            filters.append(_any([{"wildcard": {name: {"value": one, "case_insensitive": True}}} for one in wanted]))
    if question.streams:
        filters.append(
            _any([{"terms": {"stream": list(question.streams)}}, {"terms": {"kind": list(question.streams)}}])
        )
    # A document spans the time from when its text was first seen until it was last seen.
    if question.since_ms is not None:
        filters.append({"range": {"until": {"gte": iso_time(question.since_ms)}}})
    if question.until_ms is not None:
        filters.append({"range": {"@timestamp": {"lt": iso_time(question.until_ms)}}})
    return filters


def _agent(text: str) -> dict[str, Any]:
    """An agent by its id, by the beginning of it, or by its computer's name."""
    try:
        return {"term": {"agent_id": str(UUID(text))}}
    except ValueError:
        return _any([{"prefix": {"agent_id": text.lower()}}, {"term": {"computer": text}}])


def _any(clauses: list[dict[str, Any]]) -> dict[str, Any]:
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses, "minimum_should_match": 1}}


def _hit(hit: dict[str, Any]) -> Hit:
    source = hit["_source"]
    highlight = hit.get("highlight", {})
    fragments = [fragment for name in HIGHLIGHTED if name != "title" for fragment in highlight.get(name, [])]
    title = highlight.get("title", [source["title"]])[0]
    return Hit(
        document_id=hit["_id"],
        index=hit["_index"],
        score=hit["_score"],
        time=datetime.fromisoformat(source["@timestamp"]),
        until=datetime.fromisoformat(source["until"]),
        agent_id=source["agent_id"],
        user=source["user"],
        computer=source["computer"],
        stream=source["stream"],
        kind=source["kind"],
        application=source["application"],
        title=title,
        fragments=tuple(fragments) or (source["text"][:140],),
        source=source,
    )
