"""What a person sees of miners: tables and lines; with `--json` what the contract says, in its own words.

Never writes control characters that a node or a person put into a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from infra.cli.plain import plain_line
from infra.cli.table import render_table


def message_json(message: Any) -> dict[str, Any]:
    """A message of the contract as JSON, with its own names and every field."""
    from google.protobuf.json_format import MessageToDict

    told: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _with_numbers(message, told)


def print_miners(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """The miners that there are."""
    if as_json:
        print(json.dumps(list(rows)))
    elif rows:
        cells = [
            (row["node"], row["state"], row["address"], "yes" if row["serves"] else "no", row["fault"]) for row in rows
        ]
        print(render_table(("NODE", "STATE", "ADDRESS", "SERVES", ""), cells))
    else:
        print("no miner is known: `sealstream miner run` on a node with the role miner")


def print_status(told: Any, *, as_json: bool) -> None:
    """What one does."""
    if as_json:
        print(json.dumps(message_json(told)))
        return
    load = told.load
    what = "drained" if told.drained else "mines" if told.workers else "idle"
    print(f"{told.node}  sealstream {told.version}  {what}")
    print(
        f"load {load.one_minute:.2f} on {load.cores} cores, {_gib(load.memory_free_bytes)} of "
        f"{_gib(load.memory_bytes)} GiB free, {told.partitions} partitions held\n"
    )
    workers = [(one.name, one.pid, "drained" if one.drained else "works", one.fault or "ok") for one in told.workers]
    print(render_table(("WORKER", "PID", "WISHED", "HEALTH"), workers))
    behind = [row for row in told.lag if row.here or row.end_offset > row.next_offset]
    if behind:
        rows = [
            (row.group, row.topic, row.partition, row.end_offset - row.next_offset, "here" if row.here else "")
            for row in behind
        ]
        print("\n" + render_table(("GROUP", "TOPIC", "PARTITION", "LAG", ""), rows))
    for fault in told.faults:
        print(f"\nwrong: {plain_line(fault)}")


def print_capabilities(told: Any, *, as_json: bool) -> None:
    """What one can do."""
    if as_json:
        print(json.dumps(message_json(told)))
        return
    ocr = told.ocr
    rows = [
        ("release", told.version),
        ("streams", ", ".join(told.kinds)),
        ("workers", f"{told.workers} of {told.cores} cores, {ocr.processes} OCR processes each"),
        ("OCR", f"{ocr.engine} {ocr.engine_version}: {', '.join(ocr.languages) or 'no language is installed'}"),
        *((f"reads again as {one.processor}", ", ".join(one.topics)) for one in told.replayable),
        ("rules of alerts", f"{len(told.rules)} in force"),
    ]
    print(render_table(("WHAT", ""), rows))


def print_replay(told: Any, *, as_json: bool) -> None:
    """One replay, as a line."""
    if as_json:
        print(json.dumps(message_json(told)), flush=True)
        return
    parts = [f"{told.run_id}  {told.state}  {told.topic}", f"{told.done} of about {told.expected_records} envelopes"]
    if told.HasField("share"):
        parts.append(f"{100 * told.share:.0f} %")
    if told.HasField("per_s"):
        parts.append(f"{told.per_s:.0f}/s")
    if told.HasField("eta_s"):
        parts.append(f"{told.eta_s:.0f} s left")
    if told.paused:
        parts.append("stands back for live traffic")
    if told.fault:
        parts.append(plain_line(told.fault))
    print(", ".join(parts), flush=True)


def print_replays(found: Iterable[Any], *, as_json: bool) -> None:
    """Replays, the newest first."""
    if as_json:
        print(json.dumps([message_json(one) for one in found]))
        return
    rows = [
        (one.run_id, one.node, one.state, one.topic, one.source, _moment(one.asked_ms), one.done, one.person)
        for one in found
    ]
    print(render_table(("RUN", "NODE", "STATE", "TOPIC", "FROM", "ASKED", "ENVELOPES", "BY"), rows))


def print_progress(told: Any, *, as_json: bool) -> None:
    """How far draining is, as a line."""
    if as_json:
        print(json.dumps(message_json(told)), flush=True)
        return
    waiting = [one.name for one in told.workers if not one.drained]
    rest = f"; waits for {', '.join(waiting)}" if waiting else ""
    print("drained: nothing is read here" if told.drained else f"{told.partitions} partitions held{rest}", flush=True)


def _with_numbers(message: Any, told: dict[str, Any]) -> dict[str, Any]:
    """64-bit numbers as numbers: protobuf's JSON has them as text, for readers that know only fractions."""
    for field in message.DESCRIPTOR.fields:
        if field.name not in told:
            continue
        value = told[field.name]
        if field.message_type is not None and field.is_repeated:
            told[field.name] = [
                _with_numbers(one, row) for one, row in zip(getattr(message, field.name), value, strict=True)
            ]
        elif field.message_type is not None:
            told[field.name] = _with_numbers(getattr(message, field.name), value)
        elif isinstance(value, str) and field.type in {field.TYPE_UINT64, field.TYPE_INT64}:
            told[field.name] = int(value)
    return told


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(" ", "seconds")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
