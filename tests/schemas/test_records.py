"""Records and segments: what is written can be read, for ever."""

from __future__ import annotations

import hashlib
import json
from importlib import resources

import pytest
from fastavro.schema import parse_schema, to_parsing_canonical_form
from fastavro.utils import generate_one
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.records import (
    MAX_SEGMENT_BYTES,
    SEGMENT_SCHEMAS,
    decode_record,
    decode_segment,
    encode_record,
    encode_segment,
    latest_id,
    schema_ids,
    schema_source,
    zstd,
)

AVRO = resources.files("schemas") / "avro"
SUBJECTS = sorted({name.split("-")[0] for name in schema_ids().values()})


def registered() -> list[tuple[int, str, str]]:
    lines = (AVRO / "ids.txt").read_text("utf-8").splitlines()
    return [(int(a), b, c) for a, b, c in (line.split() for line in lines if line and not line.startswith("#"))]


@pytest.mark.parametrize(("schema_id", "name", "digest"), registered())
def test_a_registered_schema_never_changes(schema_id: int, name: str, digest: str) -> None:
    """The canonical form of each schema is the one that its id was given to."""
    canonical = to_parsing_canonical_form(json.loads(schema_source(schema_id)))
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest


def test_every_schema_file_is_registered() -> None:
    """Ids count up from 1, and no schema file stands outside the list."""
    rows = registered()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    files = {entry.name.removesuffix(".avsc") for entry in AVRO.iterdir() if entry.name.endswith(".avsc")}
    assert {row[1] for row in rows} == files


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_field_says_what_it_is(subject: str) -> None:
    """Each field of the outer record has a doc, however short."""
    source = json.loads(schema_source(latest_id(subject)))
    assert all("doc" in one for one in source["fields"])


@pytest.mark.parametrize("subject", SUBJECTS)
def test_old_records_stay_readable(subject: str) -> None:
    """A record of every id ever given to the subject is read with the newest schema."""
    for schema_id, name in schema_ids().items():
        if name.split("-")[0] != subject:
            continue
        import io

        import fastavro

        schema = parse_schema(json.loads(schema_source(schema_id)))
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, generate_one(schema))
        framed = b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()
        assert decode_record(framed, subject) is not None


@pytest.mark.parametrize("kind", StreamKind)
def test_segments_make_the_round_trip(kind: StreamKind) -> None:
    """Events come back as they went in."""
    schema = parse_schema(json.loads(schema_source(latest_id(SEGMENT_SCHEMAS[kind]))))
    events = generate_one(schema)["events"]
    events = decode_segment(kind, encode_segment(kind, events))
    assert decode_segment(kind, encode_segment(kind, events)) == events


@given(st.binary(max_size=300))
def test_junk_is_malformed(junk: bytes) -> None:
    """Neither records nor segments are found in junk, and no other error comes of it."""
    for subject in ("document", "screen_segment"):
        with pytest.raises(MalformedError):
            decode_record(b"\0" + latest_id(subject).to_bytes(4, "big") + junk + b"\xff" * 11, subject)
    with pytest.raises(MalformedError):
        decode_segment(StreamKind.SCREEN, junk)


def test_frames_are_checked() -> None:
    """Framing, schema id and trailing bytes are looked at."""
    good = encode_record("heartbeat", {"time_ms": 1, "id": "n", "role": "r", "incarnation": "i", "interval_ms": 3000})
    assert decode_record(good, "heartbeat")["id"] == "n"
    for bad, reason in (
        (b"", "bad_framing"),
        (b"\x01" + good[1:], "bad_framing"),
        (good + b"\0", "trailing_bytes"),
        (good[:-1], "bad_avro"),
        (b"\0\0\0\x7f\xff" + good[5:], "unknown_schema"),
    ):
        with pytest.raises(MalformedError) as caught:
            decode_record(bad, "heartbeat")
        assert caught.value.reason == reason
    with pytest.raises(MalformedError, match="not one of document"):
        decode_record(good, "document")
    with pytest.raises(MalformedError, match="no schema"):
        schema_source(9999)


def test_a_decompression_bomb_is_refused() -> None:
    """A small segment that grows beyond the limit costs no more than the limit."""
    bomb = zstd.compress(bytes(MAX_SEGMENT_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(MalformedError, match="too large"):
        decode_segment(StreamKind.SCREEN, bomb)


def test_bytes_after_a_segment_are_refused() -> None:
    """One zstd frame and nothing else."""
    with pytest.raises(MalformedError):
        decode_segment(StreamKind.GAP, encode_segment(StreamKind.GAP, []) + b"x")


def test_stream_labels() -> None:
    """Labels name kinds both ways, and a wrong one lists those there are."""
    assert [StreamKind.from_label(kind.label) for kind in StreamKind] == list(StreamKind)
    with pytest.raises(ValueError, match="screen, keystrokes"):
        StreamKind.from_label("video")
