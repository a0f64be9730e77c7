"""The audit's chain: every way of tampering is told, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.audit_chain import FIRST_HASH, ChainCheck, Checkpoint, Link, Report, next_hash
from schemas.errors import ConfigError

TOPIC = "5bd55600-6583-4c2e-baeb-a598c6893456"

Rows = list[dict[str, Any]]


def make_rows(count: int = 5) -> Rows:
    """Rows as the table has them."""
    return [
        {
            "topic_id": TOPIC,
            "kafka_partition": 0,
            "kafka_offset": offset,
            "happened_at": f"2026-11-23T12:00:0{offset}.25+00:00",
            "actor": "ann@node-1",
            "action": "unlock",
            "target": "an agent",
            "purpose": "case 4711",
            "outcome": "granted",
            "detail": {"keys": "officers"},
        }
        for offset in range(count)
    ]


def link_up(rows: Rows) -> list[Link]:
    """The chain of rows."""
    links, before = [], FIRST_HASH
    for number, row in enumerate(rows, 1):
        before = next_hash(before, entry := json.dumps(row))
        links.append(Link(number, entry, before))
    return links


def records_of(rows: Rows) -> list[tuple[int, int, dict[str, Any] | None]]:
    """The rows' records in Kafka."""
    return [
        (
            0,
            row["kafka_offset"],
            {**row, "time_ms": 1795435200250 + 1000 * row["kafka_offset"], "detail": {**row["detail"]}},
        )
        for row in rows
    ]


def check(links: list[Link], rows: Rows, in_kafka: Rows, *checkpoints: Checkpoint) -> Report:
    """What a check finds."""
    checking = ChainCheck(checkpoints)
    for link in links:
        checking.take_link(link)
    checking.end_links()
    checking.check_rows(rows)
    checking.check_records(TOPIC, records_of(in_kafka))
    return checking.report


def test_an_untouched_audit_is_sound() -> None:
    """Chain, rows and records that agree are sound, at every checkpoint."""
    rows = make_rows()
    links = link_up(rows)
    report = check(links, rows, rows, *(Checkpoint(link.number, link.hash) for link in links))
    assert report.sound, report.damage
    assert report.head == Checkpoint(5, links[-1].hash)


def test_an_empty_audit_is_sound() -> None:
    """Nothing has happened yet."""
    assert check([], [], []).sound


def test_what_is_not_stored_yet_is_no_damage() -> None:
    """Records behind the newest stored one are counted, not blamed."""
    rows = make_rows()
    report = check(link_up(rows[:3]), rows[:3], rows)
    assert report.sound
    assert report.not_stored_yet == 2


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda links, _rows, _kafka: links.pop(2), "missing from the chain"),
        (lambda links, _rows, _kafka: links.__setitem__(1, links[1]._replace(entry=links[1].entry + " ")), "changed"),
        (lambda links, _rows, _kafka: links.__setitem__(4, links[4]._replace(hash=bytes(32))), "changed"),
        (lambda _links, rows, _kafka: rows.pop(1), "was removed"),
        (lambda _links, rows, _kafka: rows[1].update(actor="bob"), "was changed"),
        (lambda _links, rows, _kafka: rows[1].update(happened_at="2026-11-23T12:00:02+00:00"), "time of the row"),
        (lambda _links, rows, _kafka: rows.append({**rows[0], "kafka_offset": 77}), "not in the chain"),
        (lambda _links, _rows, kafka: kafka[3].update(purpose="other"), "another than the database's"),
        (lambda _links, _rows, kafka: kafka.pop(3), "Kafka does not have"),
    ],
)
def test_every_tampering_is_told(tamper: Callable[[list[Link], Rows, Rows], Any], told: str) -> None:
    """A change in the chain, in the table or in Kafka is damage, in words that say where."""
    rows, in_kafka = make_rows(), make_rows()
    links = link_up(make_rows())
    tamper(links, rows, in_kafka)
    report = check(links, rows, in_kafka)
    assert any(told in line for line in report.damage), report.damage


def test_a_row_missing_between_others_is_not_taken_for_lag() -> None:
    """A record that the database jumped over is damage."""
    rows = make_rows()
    kept = [row for row in rows if row["kafka_offset"] != 2]
    report = check(link_up(kept), kept, rows)
    assert any("missing from the database" in line for line in report.damage)


def test_a_rewritten_chain_is_told_by_its_checkpoint() -> None:
    """Who changes an entry and makes all hashes anew is found out by a checkpoint kept elsewhere."""
    rows = make_rows()
    checkpoint = Checkpoint(4, link_up(rows)[3].hash)
    rows[1]["actor"] = "bob"
    report = check(link_up(rows), rows, rows, checkpoint)
    assert [line for line in report.damage if "rewritten" in line]


def test_a_cut_chain_is_told_by_its_checkpoint() -> None:
    """So is who cuts off the end, in all places."""
    rows = make_rows()
    checkpoint = Checkpoint(5, link_up(rows)[4].hash)
    report = check(link_up(rows[:3]), rows[:3], rows[:3], checkpoint)
    assert [line for line in report.damage if "was cut" in line]


@pytest.mark.parametrize("text", ["", "5", "0:" + "00" * 32, "x:" + "00" * 32, "5:00", "5:" + "zz" * 32])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """A mistyped checkpoint is told, not passed over."""
    with pytest.raises(ConfigError):
        Checkpoint.parse(text)


def test_a_checkpoint_is_written_as_it_is_read() -> None:
    """`NUMBER:HASH`, and back."""
    checkpoint = Checkpoint(12, bytes(range(32)))
    assert Checkpoint.parse(f" {checkpoint}\n") == checkpoint
