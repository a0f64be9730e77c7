"""Targets: envelopes, segments, frames of screens, and what belongs to the blind index.

Never needs a real KEK: a wrapped key is looked up, as in the vectors.
"""

from __future__ import annotations

import json
from importlib import resources

from PIL import Image

from schemas.blind_index import Root, build_root, parse_root, split_tokens, words_of
from schemas.canvas import Canvas
from schemas.envelope import Peeker, parse_epoch_header, peek
from schemas.errors import MalformedError, OpenError
from schemas.kinds import StreamKind
from schemas.opening import Chain, Opener
from schemas.records import decode_record, decode_segment, decode_text, encode_record, encode_segment, encode_text
from schemas.tiles import FrameEncoder, bgra_of
from tests.console.sealed import make_random_segments
from tests.fuzz.target import Target
from tests.schemas.vector_maker import KnownKey

_VECTORS = json.loads((resources.files("schemas") / "vectors" / "envelope.json").read_text("utf-8"))
_OPENING = [vector for vector in _VECTORS if vector["outcome"] == "opens"]
_KEYS = [
    KnownKey(*(bytes.fromhex(row[name]) for name in ("key_id", "wrapped", "dek")))
    for vector in _OPENING
    for row in vector["unwraps"]
]
_ENVELOPES = tuple(bytes.fromhex(vector["envelope"]) for vector in _OPENING)
_SEGMENTS = tuple(one["data"][:4000] for one in make_random_segments())


def _peek(data: bytes) -> None:
    """The quick way and the plain way tell the same."""
    told = Peeker().peek(data)
    assert told == peek(data)
    assert len(parse_epoch_header(data).header_bytes) == told.record_at
    Chain().check(told, data)


def _open(data: bytes) -> None:
    """Only what a vector holds opens: whatever else was authenticated would be a forgery."""
    opened = Opener(_KEYS).open(data)
    assert data in _ENVELOPES, "a changed envelope opened"
    assert opened.plaintext is not None


def _read_segment(data: bytes) -> None:
    kind = StreamKind(data[0] % len(StreamKind) + 1) if data else StreamKind.GAP
    decode_segment(kind, data[1:])


def _make_frames() -> tuple[bytes, ...]:
    encoder = FrameEncoder()
    first = encoder.encode(bgra_of(Image.new("RGB", (96, 64), "white")), 96, 64, time_us=0)
    second = encoder.encode(bgra_of(Image.effect_noise((96, 64), 90).convert("RGB")), 96, 64, time_us=1)
    assert first is not None
    assert second is not None
    return tuple(encode_record("screen_segment", {"events": frames}) for frames in ([first], [first, second]))


def _draw(data: bytes) -> None:
    canvas = Canvas()
    for frame in decode_record(data, "screen_segment")["events"]:
        canvas.draw(frame)


_SPREAD = tuple(bytes([kind - 1]) + encode_segment(kind, []) for kind in StreamKind)
_BY_STREAM = tuple(bytes([n % len(StreamKind)]) + data for n, data in enumerate(_SEGMENTS))

TARGETS = (
    Target("envelope_peek", _peek, (MalformedError,), _ENVELOPES),
    Target("envelope_open", _open, (MalformedError, OpenError), _ENVELOPES),
    Target("segment", _read_segment, (MalformedError,), _SPREAD + _BY_STREAM),
    Target("text_segment", decode_text, (MalformedError,), (encode_text([]), *_SEGMENTS[-8:])),
    Target("screen_frames", _draw, (MalformedError,), _make_frames()),
    Target(
        "index_root",
        parse_root,
        (MalformedError,),
        (build_root(Root(StreamKind.EMAIL, bytes(16), 20_780, bytes(32))),),
    ),
    Target("index_tokens", split_tokens, (MalformedError,), (bytes(range(128)),)),
    Target(
        "index_words",
        lambda data: list(words_of(data.decode("utf-8", "surrogatepass"))),
        (UnicodeDecodeError,),
        ("Überweisung ΟΔΟΣ İstanbul 会議室 ﬁnance".encode(),),
    ),
)
