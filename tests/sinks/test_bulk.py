"""Bulk bodies and answers, without a cluster."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UnavailableError
from sinks.elasticsearch.bulk import MAX_BODY_BYTES, MAX_ITEMS, Item, build_item, judge, next_chunk
from sinks.elasticsearch.mapping import index_name, iso_time
from sinks.elasticsearch.search import Question, build_search


def answer(*outcomes: tuple[int, str]) -> dict[str, Any]:
    items = [
        {"index": {"status": status, **({"error": {"type": kind, "reason": "r"}} if kind else {})}}
        for status, kind in outcomes
    ]
    return {"errors": True, "items": items}


ITEMS = [Item(number, b"x\n") for number in range(5)]


def test_item_is_two_lines() -> None:
    """An action with id and external version, and the source."""
    action, source = build_item(0, "i-2026.11", "d", 4, {"text": "ä"}).lines.splitlines()
    expected = {"_index": "i-2026.11", "_id": "d", "version": 4, "version_type": "external_gte"}
    assert orjson.loads(action) == {"index": expected}
    assert orjson.loads(source) == {"text": "ä"}


@given(st.lists(st.integers(1, MAX_BODY_BYTES // 3), max_size=30), st.integers(0, 2500))
def test_chunks_keep_everything_within_bounds(sizes: list[int], more: int) -> None:
    """Nothing is lost or reordered, and a body is at most one item larger than it should be."""
    items = [Item(number, b"x" * (size // 500)) for number, size in enumerate(sizes)]
    items += [Item(number, b"x") for number in range(more)]

    async def cut() -> list[list[Item]]:
        rest, found = iter(items), []
        while chunk := await next_chunk(rest):
            found.append(chunk)
        return found

    found = asyncio.run(cut())
    assert [item for chunk in found for item in chunk] == items
    assert all(len(chunk) <= MAX_ITEMS for chunk in found)
    assert all(sum(len(item.lines) for item in chunk[:-1]) < MAX_BODY_BYTES for chunk in found)


def test_conflict_is_success() -> None:
    """The store has a newer version: nothing is left to do."""
    assert judge(ITEMS[:2], answer((201, ""), (409, "version_conflict_engine_exception"))) == []


def test_permanent_refusal_is_told_of_its_item_alone() -> None:
    """The item's own number, the error's type, and no quotation of the document."""
    bad = answer((201, ""), (400, "document_parsing_exception"), (200, ""))
    bad["items"][1]["index"]["error"]["reason"] = "failed to parse [x]. Preview of field's value: 'secret'"
    [refusal] = judge(ITEMS[:3], bad)
    assert refusal.number == 1
    assert "document_parsing_exception" in refusal.detail
    assert "secret" not in refusal.detail


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "es_rejected_execution_exception"),
        (503, "unavailable_shards_exception"),
        (403, "cluster_block_exception"),
        (404, "index_not_found_exception"),
        (500, "unknown"),
    ],
)
def test_passing_trouble_is_waited_for(status: int, kind: str) -> None:
    """What says more of the cluster than of the document is never a reject."""
    with pytest.raises(UnavailableError):
        judge(ITEMS[:2], answer((201, ""), (status, kind)))


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_iso_8601(time_ms: int) -> None:
    """Whatever the time, it reads back as the same millisecond, and names the month's index."""
    moment = datetime.fromisoformat(iso_time(time_ms))
    assert round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000) == time_ms
    assert index_name("s", time_ms) == f"s-documents-{moment.year:04}.{moment.month:02}"


def test_question_becomes_clauses() -> None:
    """Words, phrases, beginnings and near misses each have their clause; an empty question matches all."""
    must = build_search(Question('one "two three" fo*'))["query"]["bool"]["must"]
    assert [clause["multi_match"]["query"] for clause in must] == ["one", "two three", "fo"]
    assert must[2]["multi_match"]["type"] == "phrase_prefix"
    assert build_search(Question("one", fuzzy=True))["query"]["bool"]["must"][0]["multi_match"]["fuzziness"] == "AUTO"
    assert build_search(Question('""'))["query"]["bool"]["must"] == [{"match_all": {}}]
