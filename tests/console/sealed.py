"""Segments, envelopes and frames as the product's Python makes them, for the browser's side to read.

Random but the same at every run, but for keys: those are made anew each time.
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageDraw, ImageFilter

from schemas.canvas import Canvas
from schemas.envelope import peek
from schemas.errors import MalformedError
from schemas.keys import Identity
from schemas.kinds import ContentType, StreamKind
from schemas.opening import PartJoiner
from schemas.records import SEGMENT_SCHEMAS, decode_segment, encode_segment, encode_text, latest_id, schema_source
from schemas.seal import Epoch, split_segment
from schemas.tiles import COPY_SOURCE, FrameEncoder, bgra_of
from tests.schemas.vector_maker import Counter

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NOW_MS = 1_767_225_600_000
WIDTH, HEIGHT = 640, 400
_WORDS = ("invoice", "größer", "会議室", "😀", "", "a\0b", "\ufeffmark", "quarterly report", "é" * 90)

_PRIMITIVES: dict[str, Callable[[random.Random], Any]] = {
    "null": lambda _: None,
    "boolean": lambda chance: chance.random() < 0.5,
    "int": lambda chance: chance.choice((0, 1, -1, 63, 64, -65, 2**31 - 1, -(2**31))),
    "long": lambda chance: chance.choice((0, -1, NOW_MS * 1000 + chance.randrange(10**9), 2**52, 1 - 2**53)),
    "string": lambda chance: chance.choice(_WORDS),
    "bytes": lambda chance: chance.randbytes(chance.choice((0, 1, 40, 3000))),
}


def to_json(value: Any) -> Any:
    """`value` with bytes as the browser's tests write them."""
    if isinstance(value, bytes):
        return f"hex:{value.hex()}"
    if isinstance(value, dict):
        return {name: to_json(one) for name, one in value.items()}
    return [to_json(one) for one in value] if isinstance(value, list) else value


def find_named(schema: Any) -> Iterator[tuple[str, Any]]:
    """The named types in an Avro schema."""
    if isinstance(schema, dict):
        if schema.get("type") in ("record", "enum"):
            yield schema["name"], schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from find_named(one)


def make_value(schema: Any, chance: random.Random, named: dict[str, Any] | None = None) -> Any:
    """Some value of an Avro schema."""
    named = dict(find_named(schema)) if named is None else named
    if isinstance(schema, list):
        return make_value(chance.choice(schema), chance, named)
    if isinstance(schema, str):
        return _PRIMITIVES[schema](chance) if schema in _PRIMITIVES else make_value(named[schema], chance, named)
    match schema["type"]:
        case "record":
            return {one["name"]: make_value(one["type"], chance, named) for one in schema["fields"]}
        case "array":
            return [make_value(schema["items"], chance, named) for _ in range(chance.choice((0, 1, 3)))]
        case "map":
            return {word: make_value(schema["values"], chance, named) for word in chance.sample(_WORDS, 2)}
        case _:
            return chance.choice(schema["symbols"])


def make_segments() -> list[dict[str, Any]]:
    """Some segments of every stream, and those that are refused."""
    return [to_json(one) for one in [*make_random_segments(), _older_segment(), *_compressions(), *_refused_segments()]]


def make_random_segments() -> list[dict[str, Any]]:
    """Some segments of every stream, their data as bytes."""
    chance = random.Random(4711)
    made = []
    subjects: dict[str, Any] = {kind.label: kind for kind in StreamKind}
    for label, kind in {**subjects, "text": None}.items():
        subject = SEGMENT_SCHEMAS[kind] if kind else "text_segment"
        schema = json.loads(schema_source(latest_id(subject)))
        for _ in range(8):
            events = make_value(schema, chance)["events"]
            data = encode_segment(kind, events) if kind else encode_text(events)
            made.append({"name": f"random {label}", "kind": label, "data": data, "events": events})
    return made


def _older_segment() -> dict[str, Any]:
    """Written under the first schema of keystrokes: later fields come with their defaults."""
    first, session = b"\0\0\0\0\2", b"\x04ab"
    event = b"\x02" + b"\x06" + session + b"\x00" + b"\x06ls\r" + b"\x00" + b"\xa0\x01" + b"\x30" + b"\x00"
    data = zstd.compress(first + event + b"\0")
    events = decode_segment(StreamKind.KEYSTROKES, data)
    assert events[0]["data"] == b"ls\r"
    return {"name": "an older schema", "kind": "keystrokes", "data": data, "events": events}


def _stream(plain: bytes, *, checksum: bool = False) -> bytes:
    """A frame without its content's size."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: int(checksum)})
    half = len(plain) // 2
    return b"".join(
        [
            compressor.compress(plain[:half], zstd.ZstdCompressor.FLUSH_BLOCK),
            compressor.compress(plain[half:], zstd.ZstdCompressor.FLUSH_FRAME),
        ]
    )


def _compressions() -> list[dict[str, Any]]:
    """One segment, compressed in the ways that there are."""
    chance = random.Random(5)
    events = [make_value(_event_schema(StreamKind.EMAIL), chance) for _ in range(60)]
    events[0]["text"] = "the same line again\n" * 40_000
    plain = zstd.decompress(encode_segment(StreamKind.EMAIL, events))
    ways = {
        "fastest": zstd.compress(plain, -7),
        "hardest": zstd.compress(plain, 19),
        "no size": _stream(plain),
        "no size, with a checksum": _stream(plain, checksum=True),
    }
    return [
        {"name": f"zstd: {name}", "kind": "email", "data": data, "events": events}
        for name, data in ways.items()
        if decode_segment(StreamKind.EMAIL, data) == events
    ]


def _event_schema(kind: StreamKind) -> Any:
    return json.loads(schema_source(latest_id(SEGMENT_SCHEMAS[kind])))["fields"][0]["type"]["items"]


def _refused_segments() -> list[dict[str, Any]]:
    good = encode_segment(StreamKind.ACTIVITY, [])
    plain = zstd.decompress(good)
    bomb = zstd.compress(bytes(65 * 1024 * 1024))
    cases = {
        "nothing": b"",
        "no zstd": b"hello, this is no zstd frame",
        "cut": good[:-1],
        "a byte follows": good + b"\0",
        "another frame follows": good + good,
        "too large": bomb,
        "too large, and the size is not told": _stream(bytes(65 * 1024 * 1024)),
        "no framing": zstd.compress(b"\1" + plain[1:]),
        "shorter than the framing": zstd.compress(b"\0\0\0"),
        "another stream's schema": zstd.compress(b"\0\0\0\0\1\0"),
        "a schema that is not known": zstd.compress(b"\0\0\0\xff\xff\0"),
        "bytes after the record": zstd.compress(plain + b"\0"),
        "an array without an end": zstd.compress(plain[:-1]),
        "more items than bytes": zstd.compress(plain[:-1] + b"\xfe\xff\xff\xff\x0f"),
    }
    refused = []
    for name, data in cases.items():
        try:
            decode_segment(StreamKind.ACTIVITY, data)
        except MalformedError as error:
            refused.append({"name": name, "kind": "activity", "data": data, "reason": error.reason})
    assert len(refused) == len(cases)
    return refused


def make_agent_key() -> str:
    """The public key of the agent that signed in the vectors."""
    key = Ed25519PrivateKey.from_private_bytes(Counter("agent")(32)).public_key()
    return key.public_bytes_raw().hex()


def make_journey(identity: Identity) -> dict[str, Any]:
    """What an agent sends in two epochs of one stream, and the segments that a reader gets of it."""
    chance = random.Random(6)
    options: dict[str, Any] = {"agent_id": os.urandom(16), "kind": StreamKind.EMAIL, "end_to_end": True}
    recipients = [identity.recipient, Identity.generate(2048).recipient]
    first = Epoch.begin(recipients=recipients, created_ms=NOW_MS, **options)
    schema = _event_schema(StreamKind.EMAIL)
    told = [[make_value(schema, chance)] for _ in range(4)]
    segments = [encode_segment(StreamKind.EMAIL, events) for events in told]
    envelopes = [first.seal(segments[0], capture_ms=NOW_MS), first.seal(segments[1], capture_ms=NOW_MS, pad_to=512)]
    parts = split_segment(segments[2], max(1, len(segments[2]) // 3))
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        envelopes.append(first.seal(part, capture_ms=NOW_MS, more_parts=not last, final=last))
    second = Epoch.begin(recipients=recipients, created_ms=NOW_MS + 1, previous=first.link, **options)
    envelopes.append(second.seal(segments[3], capture_ms=NOW_MS + 1))
    read = make_value(json.loads(schema_source(latest_id("text_segment"))), chance)["events"]
    envelopes.append(second.seal(encode_text(read), capture_ms=NOW_MS, content_type=ContentType.TEXT))
    assert len(parts) > 2
    assert PartJoiner.__doc__
    assert all(peek(one).epoch.end_to_end for one in envelopes)
    return {"envelopes": [one.hex() for one in envelopes], "segments": to_json([*told, read])}


def make_frames() -> list[dict[str, Any]]:
    """A display over some time: text, scrolling, a photograph small and large, another size."""
    chance = np.random.default_rng(7)
    noise = Image.fromarray(chance.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8).astype(np.uint8))
    photo = noise.filter(ImageFilter.GaussianBlur(3))
    page = _page(0)
    looks = [page, _page(24), page, _pasted(page, photo, 128, 128), _pasted(page, photo, 576, 384), photo]
    looks.append(_page(0).resize((WIDTH // 2, HEIGHT // 2)))
    encoder, canvas, told = FrameEncoder(1), Canvas(), []
    for number, look in enumerate(looks):
        frame = encoder.encode(bgra_of(look), *look.size, time_us=number, application="editor", title="größer")
        assert frame is not None
        canvas.draw(frame)
        photos = any(tile["codec"] in ("webp", "jpeg") for tile in frame["tiles"])
        told.append({"frame": to_json(frame), "rgb": canvas.pixels.tobytes().hex(), "photos": photos})
    codecs = {tile["codec"] for one in told for tile in one["frame"]["tiles"]}
    assert codecs == {"raw", "copy", "webp", "jpeg"}, codecs
    return told


def make_large_frame() -> Any:
    """A whole 1080p screen of text."""
    page = _page(0).resize((1920, 1080))
    frame = FrameEncoder().encode(bgra_of(page), 1920, 1080, time_us=0)
    return to_json(frame)


def _page(scrolled: int) -> Image.Image:
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    for line in range(40):
        words = " ".join(str((line * 97 + word) * 7919 % 99_991) for word in range(16))
        draw.text((10, 10 + line * 12 - scrolled), words, "black")
    return page


def _pasted(page: Image.Image, photo: Image.Image, width: int, height: int) -> Image.Image:
    both = page.copy()
    both.paste(photo.crop((0, 0, width, height)), (64, 0))
    return both


def _tile(x: int, y: int, width: int, height: int, codec: str = "raw", data: bytes = b"") -> dict[str, Any]:
    return {"x": x, "y": y, "width": width, "height": height, "codec": codec, "data": data}


def make_refused_frames() -> list[dict[str, Any]]:
    """Frames that no encoder writes, each with the reason that Python gives."""
    whole = {
        "time_us": 0, "display": 0, "width": 4, "height": 2, "key_frame": True, "tiles": [_tile(0, 0, 4, 2)],
        "pixels": zstd.compress(bytes(24)), "application": "", "title": "",
    }  # fmt: skip
    change = {"key_frame": False, "tiles": [_tile(0, 0, 1, 1)], "pixels": zstd.compress(bytes(3))}
    copy = {"key_frame": False, "pixels": b""}
    source = COPY_SOURCE.pack(0, 0)
    cases: dict[str, dict[str, Any]] = {
        "no width": {"width": 0},
        "too wide": {"width": 16_385},
        "too many pixels": {"width": 16_000, "height": 16_000},
        "display 64": {"display": 64},
        "display -1": {"display": -1},
        "too many tiles": {"tiles": [_tile(0, 0, 1, 1)] * 20_001},
        "a tile without height": {"tiles": [_tile(0, 0, 4, 0)]},
        "a tile beyond the edge": {"tiles": [_tile(1, 0, 4, 2)]},
        "a tile before the edge": {"tiles": [_tile(-1, 0, 4, 2)]},
        "a huge place": {"tiles": [_tile(2**31 - 1, 0, 4, 2)]},
        "tiles overlap": {
            **change,
            "tiles": [_tile(0, 0, 2, 2), _tile(1, 1, 2, 1)],
            "pixels": zstd.compress(bytes(18)),
        },
        "one tile within another": {**change, "tiles": [_tile(1, 1, 1, 1), _tile(0, 0, 3, 2)]},
        "not whole": {"tiles": [_tile(0, 0, 3, 2)], "pixels": zstd.compress(bytes(18))},
        "a copy in a key frame": {"tiles": [_tile(0, 0, 4, 2, "copy", source)], "pixels": b""},
        "a copy without a source": {**copy, "tiles": [_tile(0, 0, 1, 1, "copy", source[:7])]},
        "a copy from beyond": {**copy, "tiles": [_tile(0, 0, 1, 1, "copy", COPY_SOURCE.pack(4, 0))]},
        "a raw tile with data": {"tiles": [_tile(0, 0, 4, 2, "raw", b"x")]},
        "pixels that no tile shows": {"key_frame": False, "tiles": []},
        "pixels are missing": {"pixels": b""},
        "too few pixels": {"pixels": zstd.compress(bytes(23))},
        "too many bytes": {"pixels": zstd.compress(bytes(25))},
        "pixels are no zstd": {"pixels": b"hello, this is no zstd frame"},
        "a bomb": {"pixels": zstd.compress(bytes(30_000_000))},
        "an image that is none": {"tiles": [_tile(0, 0, 4, 2, "jpeg", b"\xff\xd8\xff")], "pixels": b""},
        "an image of another size": {"tiles": [_tile(0, 0, 4, 2, "webp", _webp(5, 2))], "pixels": b""},
        "an image that is cut": {"tiles": [_tile(0, 0, 4, 2, "webp", _webp(4, 2)[:34])], "pixels": b""},
        "nothing to change": change,
    }
    refused = []
    for name, changes in cases.items():
        try:
            Canvas().draw(whole | changes)
        except MalformedError as error:
            refused.append({"name": name, "frame": to_json(whole | changes), "reason": error.reason})
    assert len(refused) == len(cases)
    return refused


def _webp(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "WEBP")
    return out.getvalue()
