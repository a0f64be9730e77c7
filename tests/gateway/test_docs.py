"""The gateway's page says what the code says."""

from __future__ import annotations

from pathlib import Path

from gateway.metrics import TABLE
from infra.policy import FIELD_TYPES

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text("utf-8")


def test_every_metric_is_on_the_page() -> None:
    """With the same words."""
    rows = [f"| `{metric.name}` | {metric.help} |" for metric in TABLE]
    assert [row for row in rows if row not in PAGE] == []
    assert PAGE.count("| `gateway_") == len(TABLE)


def test_every_policy_field_is_on_the_page() -> None:
    """So that a person who edits the file finds it."""
    assert [name for name in FIELD_TYPES if f"`{name}`" not in PAGE] == []
