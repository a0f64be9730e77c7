"""Which documents Elasticsearch has: by their ids with versions, and by the epochs that they came from.

Only asks; and asks nothing that a cluster may lack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from elasticsearch import ApiError, AsyncElasticsearch

from schemas.errors import UnavailableError
from sinks.elasticsearch.client import refusal, request
from sinks.elasticsearch.mapping import alias_name

_AT_ONCE = 500
_MISSING_INDEX = 404


async def read_versions(client: AsyncElasticsearch, prefix: str, ids: Sequence[str]) -> dict[str, int]:
    """The version of each document that there is; raises `UnavailableError`."""
    found: dict[str, int] = {}
    for some in _slices(list(dict.fromkeys(ids))):
        query = {"query": {"ids": {"values": some}}, "size": len(some), "_source": ["version"]}
        answer = await _ask(client, f"/{alias_name(prefix)}/_search", query)
        for hit in answer.get("hits", {}).get("hits", ()):
            found[hit["_id"]] = max(hit["_source"]["version"], found.get(hit["_id"], 0))
    return found


async def find_silent_epochs(client: AsyncElasticsearch, prefix: str, epochs: Sequence[str]) -> set[str]:
    """The epochs (hex) of which there is no document; raises `UnavailableError`."""
    silent: set[str] = set()
    for some in _slices(epochs):
        lines: list[Mapping[str, Any]] = []
        for epoch in some:
            lines += [{}, {"query": {"term": {"epoch_id": epoch}}, "size": 0, "terminate_after": 1}]
        body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        answer = await _ask(client, f"/{alias_name(prefix)}/_msearch", body)
        answers = answer.get("responses") or [{}] * len(some)
        silent.update(epoch for epoch, one in zip(some, answers, strict=True) if not _total(one))
    return silent


def _total(answer: Mapping[str, Any]) -> int:
    if "error" in answer and answer.get("status") != _MISSING_INDEX:
        raise UnavailableError(f"Elasticsearch could not look for documents: status {answer.get('status')}")
    return int(answer.get("hits", {}).get("total", {}).get("value", 0))


async def _ask(client: AsyncElasticsearch, path: str, body: Mapping[str, Any] | bytes) -> Any:
    content_type = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    try:
        return await request(client, "POST", path, body=body, content_type=content_type)
    except ApiError as error:
        if error.status_code == _MISSING_INDEX:  # nothing was ever indexed
            return {}
        raise UnavailableError(f"Elasticsearch answers {refusal(error)}") from error


def _slices(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(items), _AT_ONCE):
        yield items[first : first + _AT_ONCE]
