"""Limits: a claim of much, in few bytes, costs little memory and little time (R2, R6).

Each case is the smallest input that asks for the most.
"""

from __future__ import annotations

import io
import json
import sys
import time
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from agent.kek import MAX_KEK_BYTES, load_kek
from agent.sources.message import MAX_PARTS, MAX_TEXT, read_message
from agent.sources.trace import TraceWriter, read_trace
from infra.text.terminal import TerminalReader
from schemas.blind_index import LONGEST, MAX_MARKS, words_of
from schemas.canvas import Canvas
from schemas.enrolment import PREFIX, EnrolmentToken
from schemas.envelope import peek
from schemas.errors import ConfigError, MalformedError, WireError
from schemas.frames import FRAME_TYPES, FrameType, Hello, build_frame
from schemas.identity import EnvelopeId
from schemas.keyset import MAX_PAYLOAD_BYTES, SignedKeySet, parse_payload
from schemas.kinds import StreamKind
from schemas.opening import Opened, PartJoiner
from schemas.records import MAX_SEGMENT_BYTES, decode_record, decode_segment, latest_id
from schemas.wire import Connection, Role
from tests.schemas.vector_maker import begin

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20


@contextmanager
def at_most(*, mib: float, cpu_s: float) -> Iterator[None]:
    """Fails when the block takes more memory at any moment, or more time of a core."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mib * MIB, f"{peak / MIB:.1f} MiB"
    assert spent < cpu_s, f"{spent:.2f} s"


def refused(read: Callable[[], object], error: type[Exception] = MalformedError) -> None:
    """`read` is refused, and cheaply."""
    with at_most(mib=1, cpu_s=0.5), pytest.raises(error):
        read()


def greeted() -> Connection:
    """A gateway's side that waits for a push."""
    connection = Connection(Role.GATEWAY)
    connection.receive(build_frame(Hello("a", "ann", "desk", [1], "0.1", "linux", 1)))
    return connection


@pytest.mark.parametrize("row", FRAME_TYPES, ids=lambda row: row.cls.__name__)
@pytest.mark.parametrize("length", [0xFFFFFFFF, 1 << 24], ids=["4 GiB", "16 MiB"])
def test_a_frame_is_refused_by_its_length_before_it_is_kept(row: FrameType, length: int) -> None:
    """Five bytes are enough to refuse."""
    prefix = length.to_bytes(4, "big") + bytes([row.number])
    for connection in (Connection(Role.GATEWAY), Connection(Role.AGENT)):
        refused(partial(connection.receive, prefix), WireError)
        assert connection.buffered == 0


def test_a_frame_that_is_not_due_is_refused_before_it_is_kept() -> None:
    """Who has not said hello cannot make the gateway keep four megabytes of a push."""
    connection = Connection(Role.GATEWAY)
    refused(lambda: connection.receive((4 * MIB).to_bytes(4, "big") + b"\x03"), WireError)
    assert connection.buffered == 0


def test_a_push_cannot_claim_more_envelopes_than_it_holds() -> None:
    """65,535 envelopes in a few bytes."""
    body = (0).to_bytes(8, "big") + b"\xff\xff"
    frame = (len(body) + 1).to_bytes(4, "big") + b"\x03" + body
    connection = greeted()
    refused(lambda: connection.receive(frame), WireError)


@pytest.mark.parametrize("depth", [10_000, 30_000])
def test_deep_json_is_refused(depth: int) -> None:
    """Nesting is a way to the end of the stack."""
    deep = b'{"detail":' + b"[" * depth + b"]" * depth + b"}"
    frame = (len(deep) + 1).to_bytes(4, "big") + b"\x01" + deep
    refused(lambda: Connection(Role.GATEWAY).receive(frame), WireError)
    text = ('{"format":' + "[" * depth + "]" * depth + "}")[:MAX_PAYLOAD_BYTES]
    refused(lambda: parse_payload(text))


@pytest.mark.parametrize("kind", list(StreamKind), ids=lambda kind: kind.label)
def test_a_segment_that_unpacks_to_much_is_refused(kind: StreamKind) -> None:
    """Nine kilobytes of zstd that would be 300 megabytes: no more than a segment may hold is ever unpacked."""
    bomb = zstd.compress(bytes(300 * MIB), 19)
    assert len(bomb) < 64 * 1024
    with at_most(mib=2 * MAX_SEGMENT_BYTES / MIB + 8, cpu_s=2), pytest.raises(MalformedError):
        decode_segment(kind, bomb)


@pytest.mark.parametrize("count", [2**31, 2**62], ids=["2^31", "2^62"])
def test_a_list_cannot_claim_more_than_it_holds(count: int) -> None:
    """An Avro array's count is a claim; so is a string's length."""
    claim = b"\0" + latest_id("email_segment").to_bytes(4, "big") + zigzag(count)
    refused(lambda: decode_record(claim, "email_segment"))
    refused(lambda: decode_record(claim[:5] + zigzag(-count) + zigzag(1 << 40), "email_segment"))
    text = claim[:5] + zigzag(1) + zigzag(0) + zigzag(count)
    refused(lambda: decode_record(text, "email_segment"))


def zigzag(number: int) -> bytes:
    """An Avro long."""
    value = (number << 1) ^ (number >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("side", [(16_384, 16_384), (2**31 - 1, 1), (0, 5)], ids=str)
def test_a_frame_of_a_huge_screen_is_refused(side: tuple[int, int]) -> None:
    """Sizes are checked before memory is spent on a picture."""
    width, height = side
    tile = {"x": 0, "y": 0, "width": width, "height": height, "codec": "raw", "data": b""}
    frame = {
        "time_us": 0, "display": 0, "width": width, "height": height, "key_frame": True, "tiles": [tile],
        "pixels": zstd.compress(bytes(1000)), "application": "", "title": "",
    }  # fmt: skip
    refused(lambda: Canvas().draw(frame))


def test_a_picture_that_claims_a_huge_size_is_refused() -> None:
    """A JPEG of 65,500 pixels a side in a few bytes is not decoded for a tile of four pixels."""
    head = bytes.fromhex("ffd8ffc0001108ffdcffdc03011100021100031100ffd9")
    tile = {"x": 0, "y": 0, "width": 4, "height": 1, "codec": "jpeg", "data": head}
    frame = {
        "time_us": 0, "display": 0, "width": 4, "height": 1, "key_frame": True, "tiles": [tile],
        "pixels": b"", "application": "", "title": "",
    }  # fmt: skip
    with at_most(mib=16, cpu_s=1), pytest.raises(MalformedError):
        Canvas().draw(frame)


def test_parts_without_an_end_are_given_up() -> None:
    """Who never sends the last part fills no memory: the joiner forgets what is over its bound."""
    epoch, _ = begin("parts")
    joiner = PartJoiner(max_bytes=1000)
    seen = [peek(epoch.seal(bytes(100), capture_ms=0, more_parts=True)) for _ in range(11)]
    parts = [Opened(one.id, one.epoch, one.record, bytes(100)) for one in seen]
    for part in parts[:-1]:
        assert joiner.add(part) is None
    with pytest.raises(MalformedError, match="larger"):
        joiner.add(parts[-1])
    assert joiner.first_open_ids == ()


def test_a_token_and_a_key_set_have_a_largest_size() -> None:
    """What is pasted or told is refused by its length before it is read."""
    refused(lambda: EnrolmentToken.parse(PREFIX + "A" * 100_000))
    refused(lambda: parse_payload(" " * (MAX_PAYLOAD_BYTES + 1)))
    body = {"payload": "x" * (MAX_PAYLOAD_BYTES + 1), "signer": "00" * 32, "signature": "00" * 64}
    refused(lambda: SignedKeySet.from_json(body))


def test_a_kek_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    """The fixed place may hold anything; a gigabyte of it is not read."""
    path = tmp_path / "kek.pem"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert MAX_KEK_BYTES < MIB
    refused(lambda: load_kek(path), ConfigError)


def test_a_trace_cannot_claim_a_description_or_chunk_that_is_not_there() -> None:
    """Four bytes may say four gigabytes."""
    file = io.BytesIO()
    file.close = lambda: None  # type: ignore[method-assign]
    with TraceWriter(file, started_us=0):
        pass
    head = file.getvalue()[:9]
    refused(lambda: read_trace(io.BytesIO(head[: len(head) - 1] + head[-1:] + b"\xff\xff\xff\xff")))


def test_a_message_of_many_parts_or_deep_ones_is_read_within_bounds() -> None:
    """What a mailbox holds was written by strangers."""
    many = b'Content-Type: multipart/mixed; boundary="b"\n\n' + b"--b\n\nx\n" * 1_000_000
    deep = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3000))
    header = b"To: " + b"a@example.org, " * 200_000 + b"\nSubject: " + b"=?utf-8?q?a?= " * 100_000 + b"\n\nx"
    html = b"Content-Type: text/html\n\n" + b"<a <!-- <b" * 200_000
    for data in (many, deep, header, html):
        with at_most(mib=100, cpu_s=10):
            record = read_message(data, size=len(data), folder="INBOX", time_us=0)
        assert len(record["text"]) <= MAX_TEXT
        assert len(record["attachments"]) <= MAX_PARTS
        assert len(json.dumps(record)) < 8 * MIB


@pytest.mark.parametrize(
    "marks",
    ["\u0301\u0323", "\u0323\uff9e", "\u0345\u0301", "\u05b0\u05b4\u0591"],
    ids=lambda text: text.encode().hex(),
)
def test_a_tower_of_marks_is_read_in_linear_time(marks: str) -> None:
    """Putting marks in their order is quadratic: a message of half a million of them would hold an agent for hours."""
    began = time.process_time()
    assert list(words_of(f"before a{marks * 250_000} after")) == ["before", "after"]
    assert time.process_time() - began < 3


def test_cutting_a_tower_of_marks_changes_no_word() -> None:
    """The bound is above the longest word, so that every implementation finds the same, cutting or not."""
    assert MAX_MARKS > LONGEST + 2
    for count in (1, 20, 31, 32, 33, 62, 63, 64, 70):
        text = f"ab{chr(0x301) * count}cd"
        whole = unicodedata.normalize("NFKC", text)
        assert list(words_of(text)) == ([whole] if len(whole) <= LONGEST else [])


_TERMINAL = {
    "scroll": b"\x1b[99999S", "lines": b"\x1b[99999L", "repeat": b"a\x1b[99999999b", "clear": b"\x1b[2Jx",
    "page": b"\x1b[?1049hx\x1b[?1049l", "number": b"\x1b[" + b"9" * 6000 + b"A",
    "numbers": b"\x1b[" + b"1;" * 9000 + b"h",
    "title": b"\x1b]0;" + b"t" * 5000 + b"\x07", "strings": b"\x1bPx", "escapes": b"\x1b", "far": b"\x1b[9999;9999Hx",
}  # fmt: skip


@pytest.mark.parametrize("output", _TERMINAL.values(), ids=_TERMINAL)
def test_what_programs_write_costs_a_terminal_reader_little(output: bytes) -> None:
    """An eighth of a megabyte of one control sequence, on the largest screen there is."""
    data = (output * (1 << 17))[: 1 << 17]
    base = {"session": "s", "masked": False, "exit_code": None, "columns": 65_535, "rows": 65_535, "alternate": False}
    kinds = (("start", b"c" * 100_000), ("output", data), ("end", b""))
    events = [{**base, "title": "", "time_us": 0, "kind": kind, "data": content} for kind, content in kinds]
    began = time.process_time()
    passages = TerminalReader().read(EnvelopeId(bytes(16), bytes(32), 0), events)
    assert time.process_time() - began < 5
    assert all(len(passage.title) <= 1000 and len(passage.text) < 4 * MIB for passage in passages)
