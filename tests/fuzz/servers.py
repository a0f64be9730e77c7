"""Targets: what miners and sinks read of agents that send what they like, and the archive's files.

Never needs a store: rows and documents are made, not written.
"""

from __future__ import annotations

import json
from importlib import resources
from random import Random
from typing import Any, cast
from uuid import UUID

from infra.text.email import email_passages
from infra.text.terminal import TerminalReader
from schemas.errors import ConfigError, MalformedError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind
from schemas.records import Record, decode_record, decode_segment, encode_record, encode_segment
from sinks.archive.container import build_file_header, encode_long, read_blocks
from sinks.archive.entry import SCHEMA, encode_entry
from sinks.archive.scan import parse_archive_header, read_entries
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.postgresql.fold import check_fact
from sinks.postgresql.rows import AVRO_ROWS, avro_row
from sinks.sink import SinkRecord
from tests.console.sealed import make_value
from tests.fuzz.target import Target

_SOURCE = EnvelopeId(bytes(16), bytes(32), 0)
_SESSION: Record = {
    "session": "s", "masked": False, "columns": 80, "rows": 24, "exit_code": None, "title": "", "alternate": False,
}  # fmt: skip
_SCREEN = (
    b"\x1b[2J\x1b[1;1H$ \x1b[32mls\x1b[0m\r\n\x1b[?1049h\x1b[5;10r\x1b[3M\x1b]0;title\x07"
    b"caf\xc3\xa9\x1b[?1049l\r\n\tx\x08y"
)
_WIDE = "会議室 e\u0301 👩\u200d💻\r\n".encode() * 9
_TIMES = 1_767_225_600_000


def _show(data: bytes) -> None:
    """Output and input of a terminal, in two pieces, as any program may write them."""
    half = len(data) // 2
    kinds = (("start", b"bash"), ("output", data[:half]), ("input", data[:40]), ("output", data[half:]), ("end", b""))
    events = [{**_SESSION, "time_us": n, "kind": kind, "data": content} for n, (kind, content) in enumerate(kinds)]
    for passage in TerminalReader().read(_SOURCE, events):
        passage.text.encode()


def _read_terminal(data: bytes) -> None:
    """Events in any order, of any session, with any size."""
    for passage in TerminalReader().read(_SOURCE, decode_segment(StreamKind.KEYSTROKES, data)):
        passage.text.encode()


def _read_mail(data: bytes) -> None:
    for message in email_passages(decode_record(data, "email_segment")["events"]):
        message.text.encode()


def _index(data: bytes) -> None:
    """A document on its way into Elasticsearch."""
    ElasticsearchSink(cast("Any", None), "fuzz")._item(0, _record("documents", data))


def _fold(data: bytes) -> None:
    check_fact(decode_record(data, "lifecycle_event"))


def _row(data: bytes) -> None:
    """A record of each topic that becomes a row in PostgreSQL."""
    for topic in AVRO_ROWS:
        if len(data) > 4 and data[4] == _subject_id(topic):
            avro_row(_record(topic, data), UUID(int=0))


def _record(topic: str, value: bytes) -> SinkRecord:
    return SinkRecord(topic, 0, 0, 0, None, value)


def _subject_id(topic: str) -> int:
    return encode_record(AVRO_ROWS[topic][1], _make(AVRO_ROWS[topic][1]))[4]


def _make(subject: str) -> Record:
    """A record whose texts, ids and times are usable."""
    schema = json.loads((resources.files("schemas") / "avro" / f"{subject}.avsc").read_text("utf-8"))
    record: Record = make_value(schema, Random(3))
    ids = {name: "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0" for name in ("agent_id", "id") if name in record}
    times = {name: _TIMES for name in record if name.endswith("_ms")}
    hexes = {"epoch_id": "00" * 32} if isinstance(record.get("epoch_id"), str) else {}
    known = {"document_id": "d", "version": 1}
    return record | ids | times | hexes | {name: value for name, value in known.items() if name in record}


def _read_archive(data: bytes) -> None:
    for block in read_blocks(data, parse_archive_header(data)):
        for entry in read_entries(data, block, check=False):
            assert entry.end <= len(data)
        list(read_entries(data, block))


def _events(kind: StreamKind) -> list[Record]:
    schema = json.loads((resources.files("schemas") / "avro" / f"{kind.label}_segment.avsc").read_text("utf-8"))
    chance = Random(4)
    return [make_value(schema["fields"][0]["type"]["items"], chance) for _ in range(4)]


_SYNC = bytes(16)
_ARCHIVE = build_file_header(SCHEMA, _SYNC)
_ENTRY = b"".join(
    encode_entry(
        SinkRecord("envelopes.email", 0, 7, _TIMES, b"key", b"", (("h", b"v"),)),
        _SOURCE,
        _TIMES,
        0,
        memoryview(b"sealed"),
    )
)
_TERMINAL = [{**_SESSION, "time_us": n, "kind": kind, "data": _SCREEN} for n, kind in enumerate(("start", "output"))]

TARGETS = (
    Target("terminal_output", _show, (), (_SCREEN, b"\x1b(0lqk\x1b(B" * 9, _WIDE)),
    Target("terminal_events", _read_terminal, (MalformedError,), (encode_segment(StreamKind.KEYSTROKES, _TERMINAL),)),
    Target(
        "email_events",
        _read_mail,
        (MalformedError,),
        (encode_record("email_segment", {"events": _events(StreamKind.EMAIL)}),),
    ),
    Target("document_item", _index, (MalformedError,), (encode_record("document", _make("document")),)),
    Target(
        "table_row",
        _row,
        (MalformedError,),
        tuple(encode_record(subject, _make(subject)) for _, subject, _ in AVRO_ROWS.values()),
    ),
    Target("lifecycle_fact", _fold, (MalformedError,), (encode_record("lifecycle_event", _make("lifecycle_event")),)),
    Target(
        "archive_file",
        _read_archive,
        (MalformedError, ConfigError),
        (_ARCHIVE, _ARCHIVE + encode_long(1) + encode_long(len(_ENTRY)) + _ENTRY + _SYNC),
    ),
)
