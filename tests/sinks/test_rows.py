"""Rows of the relational store: what they make of records of now and of earlier releases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from schemas.errors import MalformedError
from schemas.records import encode_record
from sinks.postgresql.rows import ACTIVITY_SPAN, ALERT, avro_row
from sinks.sink import SinkRecord

AGENT = "00000000-0000-0000-0000-000000000001"
LOG = UUID(int=7)


def row_of(topic: str, subject: str, record: dict[str, Any]) -> dict[str, Any]:
    table, row = avro_row(SinkRecord(topic, 2, 9, 0, None, encode_record(subject, record)), LOG)
    return dict(zip(table.columns, row, strict=True))


def test_an_alert_is_known_by_its_id_and_an_older_one_by_its_place() -> None:
    """So that one that was written before alerts had ids is still stored once."""
    assert ALERT.key == ("alert_id",)
    old = {"time_ms": 5000, "rule": "r", "agent_id": AGENT}
    assert row_of("alerts", "alert", old)["alert_id"] == f"{LOG}-2-9"
    row = row_of("alerts", "alert", {**old, "alert_id": "x", "until_ms": 9000, "person": "an\0n"})
    assert (row["alert_id"], row["person"]) == ("x", "an\N{REPLACEMENT CHARACTER}n")
    assert row["until_at"] == datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC)


def span(*runs: tuple[int, int]) -> dict[str, Any]:
    return {
        "agent_id": AGENT, "epoch_id": "ab", "sequence": 1, "ordinal": 0, "user": "ann", "computer": "pc",
        "application": "Editor", "hour_ms": 0, "active_ms": 1, "idle_ms": 0, "switches": 1,
        "active": [{"from_ms": since, "until_ms": until} for since, until in runs],
    }  # fmt: skip


def test_runs_of_a_span_are_ranges_of_time() -> None:
    """In milliseconds, none lost; a span of an earlier release has none."""
    ranges = row_of("activity", "activity_span", span((1, 2500)))["active"]
    assert [(run.lower.microsecond, run.upper.second) for run in ranges] == [(1000, 2)]
    assert row_of("activity", "activity_span", span())["active"] == []
    assert ACTIVITY_SPAN.columns[-1] == "active"


@pytest.mark.parametrize("run", [(5, 4), (-1, 4)])
def test_a_run_that_is_none_rejects_its_record(run: tuple[int, int]) -> None:
    """One that ends before it begins, or lies before 1970, would fail the whole batch."""
    with pytest.raises(MalformedError):
        row_of("activity", "activity_span", span(run))
