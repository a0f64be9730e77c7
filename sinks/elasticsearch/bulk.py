"""Bulk requests: bodies that are built by hand, a few of them in flight, and what became of each document.

Never calls a document stored that the cluster did not confirm; an older version refused is as good as stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from elasticsearch import ApiError, AsyncElasticsearch

from schemas.errors import UnavailableError
from sinks.elasticsearch.client import refusal, request

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_ITEMS = 1000
_BREATH_ITEMS = 100
IN_FLIGHT = 3
"""Two that the cluster works on, while a third is built."""

_PATH = "/_bulk?filter_path=errors"
_PATH_IN_FULL = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
"""Asked when something was refused: what was stored already is the same once more."""

_PASSING = frozenset(
    {
        "cluster_block_exception",
        "unavailable_shards_exception",
        "es_rejected_execution_exception",
        "circuit_breaking_exception",
        "no_shard_available_action_exception",
        "index_not_found_exception",
        "process_cluster_event_timeout_exception",
        "security_exception",
    }
)
"""What says more of the cluster than of the document: wait, do not reject."""


@dataclass(frozen=True, slots=True)
class Item:
    """One document on its way: `lines` is its action and source; `number` is the caller's own."""

    number: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that the cluster will never take."""

    number: int
    reason: str
    detail: str


def build_item(number: int, index: str, document_id: str, version: int, source: dict[str, Any]) -> Item:
    """`source` under its id, to replace what has the same or an older version."""
    action = {"index": {"_index": index, "_id": document_id, "version": version, "version_type": "external_gte"}}
    return Item(number, orjson.dumps(action) + b"\n" + orjson.dumps(source) + b"\n")


async def next_chunk(items: Iterator[Item]) -> list[Item]:
    """The next items for one body of a size that the cluster likes; empty at their end."""
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.lines)
        if size >= MAX_BODY_BYTES or len(chunk) >= MAX_ITEMS:
            break
        if len(chunk) % _BREATH_ITEMS == 0:
            await asyncio.sleep(0)  # bodies that are on their way go on meanwhile
    return chunk


async def send(client: AsyncElasticsearch, items: Iterable[Item]) -> list[Refusal]:
    """Return when every item is stored or refused for good; raises `UnavailableError` when some is neither.

    `items` may make them one by one: a body is built while those before it are on their way.
    """
    rest = iter(items)
    refusals: list[Refusal] = []

    async def work() -> None:
        while chunk := await next_chunk(rest):
            refusals.extend(await _send_chunk(client, chunk))

    workers = [asyncio.create_task(work()) for _ in range(IN_FLIGHT)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return sorted(refusals, key=lambda refusal: refusal.number)


async def _send_chunk(client: AsyncElasticsearch, chunk: list[Item]) -> list[Refusal]:
    body = b"".join(item.lines for item in chunk)
    try:
        answer = await request(client, "POST", _PATH, body=body, content_type="application/x-ndjson")
        if answer["errors"]:
            answer = await request(client, "POST", _PATH_IN_FULL, body=body, content_type="application/x-ndjson")
    except ApiError as error:
        if error.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise UnavailableError(f"Elasticsearch refuses bulk requests: {refusal(error)}") from error
        if len(chunk) == 1:
            return [Refusal(chunk[0].number, "too_large", f"{len(body)} bytes are more than the cluster takes")]
        half = len(chunk) // 2
        return [*await _send_chunk(client, chunk[:half]), *await _send_chunk(client, chunk[half:])]
    return judge(chunk, answer) if answer["errors"] else []


def judge(chunk: Sequence[Item], answer: dict[str, Any]) -> list[Refusal]:
    """What a bulk answer refuses for good; raises `UnavailableError` when an item should be sent again."""
    refusals: list[Refusal] = []
    for item, outcome in zip(chunk, answer["items"], strict=True):
        [result] = outcome.values()
        status = result["status"]
        if status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.CONFLICT:
            continue  # a conflict: the store has a newer version
        error = result.get("error", {})
        kind = error.get("type", "unknown")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR or kind in _PASSING:
            raise UnavailableError(f"Elasticsearch takes nothing now: {status} {kind}")
        # Elasticsearch quotes the document in its reason; only what is before the quotation is kept.
        reason = error.get("reason", "").split(" Preview of field's value")[0]
        refusals.append(Refusal(item.number, "rejected", f"{kind}: {reason}"))
    return refusals
