"""Frames: what was encoded is drawn again, and what nobody encoded is refused."""

from __future__ import annotations

import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from schemas.canvas import Canvas, check_frame
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment
from schemas.rectangle import Rectangle, cover
from schemas.tiles import COPY_SOURCE, FrameEncoder, bgra_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WIDTH, HEIGHT = 203, 117


def look(pixels: np.ndarray) -> bytes:
    return bgra_of(Image.fromarray(pixels))


def tile(x: int, y: int, width: int, height: int, codec: str = "raw", data: bytes = b"") -> dict:
    return {"x": x, "y": y, "width": width, "height": height, "codec": codec, "data": data}


def frame(**changes) -> dict:
    """A whole frame of 4 x 2 black pixels, with changes."""
    return {
        "time_us": 0, "display": 0, "width": 4, "height": 2, "key_frame": True, "tiles": [tile(0, 0, 4, 2)],
        "pixels": zstd.compress(bytes(24)), "application": "", "title": "",
    } | changes  # fmt: skip


strokes = st.lists(
    st.tuples(
        st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, WIDTH), st.integers(1, HEIGHT),
        st.integers(0, 255), st.booleans(),
    ),
    max_size=5,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(strokes, min_size=1, max_size=6), st.integers(0, 6))
def test_any_sequence_of_looks_is_drawn_again(looks: list, renewed: int) -> None:
    """After each frame, and after each look that made none, the canvas shows the screen, text exactly."""
    encoder, canvas = FrameEncoder(2), Canvas()
    screen = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for number, changes in enumerate(looks):
        screen = screen.copy()
        for x, y, width, height, colour, scrolls in changes:
            part = screen[y : y + height, x : x + width]
            part[:] = np.roll(part, colour % 7, axis=0) if scrolls else colour
        if number == renewed:
            encoder.renew()
        made = encoder.encode(look(screen), WIDTH, HEIGHT, time_us=number)
        if made is not None:
            assert made["key_frame"] == (number in {0, renewed})
            canvas.draw(decode_segment(StreamKind.SCREEN, encode_segment(StreamKind.SCREEN, [made]))[0])
        assert np.array_equal(canvas.pixels, screen)


def test_an_unchanged_screen_makes_no_frame() -> None:
    """Nothing is encoded, stored or sent for a screen that stays as it is."""
    encoder = FrameEncoder()
    screen = look(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert encoder.encode(screen, WIDTH, HEIGHT, time_us=0) is not None
    assert encoder.encode(bytearray(screen), WIDTH, HEIGHT, time_us=1) is None


def test_a_scroll_is_a_copy() -> None:
    """A page that moves costs a small part of what it cost to draw."""
    noise = np.random.default_rng(1)
    page = Image.new("RGB", (640, 2000), "white")
    draw = ImageDraw.Draw(page)
    for y in range(0, 2000, 18):
        draw.text((20, y), " ".join(str(n) for n in noise.integers(0, 10**6, 12)), "black")
    encoder, canvas = FrameEncoder(), Canvas()
    sizes = []
    for top in (0, 90, 40):
        shown = page.crop((0, top, 640, top + 480))
        made = encoder.encode(bgra_of(shown), 640, 480, time_us=top)
        assert made is not None
        canvas.draw(made)
        assert np.array_equal(canvas.pixels, np.asarray(shown))
        sizes.append(len(made["pixels"]))
    assert max(sizes[1:]) < sizes[0] / 3


def test_a_photograph_is_compressed_as_one_and_text_stays_exact() -> None:
    """Loss is for what zstd cannot shrink; beside it every pixel is kept."""
    screen = np.full((480, 640, 3), 250, np.uint8)
    noise = np.random.default_rng(3)
    coarse = Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
    screen[128:384, 64:320] = np.clip(np.asarray(coarse) + noise.normal(0, 4, (256, 256, 3)), 0, 255)
    screen[20:30, 400:600:3] = 0
    made = FrameEncoder().encode(look(screen), 640, 480, time_us=0)
    assert made is not None
    canvas = Canvas()
    canvas.draw(made)
    lossy = [Rectangle(t["x"], t["y"], t["width"], t["height"]) for t in made["tiles"] if t["codec"] != "raw"]
    assert lossy
    assert sum(area.area for area in lossy) <= 320 * 320
    for area in lossy:
        area.of(screen)[:] = area.of(canvas.pixels)
    assert np.array_equal(canvas.pixels, screen)


def test_a_display_that_changes_its_size_starts_anew() -> None:
    """The first look at another size is a key frame."""
    encoder = FrameEncoder()
    encoder.encode(bytes(4 * 20 * 10), 20, 10, time_us=0)
    made = encoder.encode(bytes(4 * 10 * 20), 10, 20, time_us=1)
    assert made is not None
    assert made["key_frame"]


@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=9))
def test_rectangles_cover_the_marked_cells_exactly(rows: list[list[bool]]) -> None:
    """No marked cell is left out, no other is taken in, none twice."""
    marks = np.array(rows)
    seen = np.zeros(marks.shape, int)
    for cells in cover(marks):
        cells.of(seen)[:] += 1
    assert np.array_equal(seen, marks.astype(int))


BOMB = zstd.compress(bytes(50_000_000))
HOSTILE = {
    "no tiles": frame(tiles=[], pixels=b""),
    "huge display": frame(width=1 << 30, height=1 << 30),
    "display without pixels": frame(width=0, height=0, tiles=[], pixels=b""),
    "display of many pixels": frame(width=16_000, height=16_000),
    "display number": frame(display=1000),
    "negative display": frame(display=-1),
    "tile outside": frame(tiles=[tile(1, 0, 4, 2)]),
    "tile above": frame(tiles=[tile(0, -1, 4, 2)]),
    "empty tile": frame(tiles=[tile(0, 0, 0, 2)]),
    "negative tile": frame(tiles=[tile(3, 1, -4, -2)]),
    "overlap": frame(tiles=[tile(0, 0, 3, 2), tile(2, 0, 1, 2)]),
    "the same tile twice": frame(tiles=[tile(0, 0, 4, 2), tile(0, 0, 4, 2)], pixels=zstd.compress(bytes(48))),
    "too many tiles": frame(tiles=[tile(0, 0, 1, 1)] * 30_000),
    "hole in a key frame": frame(tiles=[tile(0, 0, 3, 2)], pixels=zstd.compress(bytes(18))),
    "copy in a key frame": frame(tiles=[tile(0, 0, 4, 2, "copy", COPY_SOURCE.pack(0, 0))], pixels=b""),
    "too few pixels": frame(pixels=zstd.compress(bytes(23))),
    "too many pixels": frame(pixels=zstd.compress(bytes(25))),
    "bomb": frame(pixels=BOMB),
    "not zstd": frame(pixels=b"nonsense"),
    "cut": frame(pixels=zstd.compress(bytes(24))[:-2]),
    "trailing": frame(pixels=zstd.compress(bytes(24)) + b"x"),
    "unknown codec": frame(tiles=[tile(0, 0, 4, 2, "avif", b"x")], pixels=b""),
    "raw with data": frame(tiles=[tile(0, 0, 4, 2, "raw", b"x")]),
    "not an image": frame(tiles=[tile(0, 0, 4, 2, "jpeg", b"nonsense")], pixels=b""),
    "empty image": frame(tiles=[tile(0, 0, 4, 2, "webp")], pixels=b""),
    "pixels for nobody": frame(tiles=[tile(0, 0, 4, 2, "webp", b"x")]),
    "change without a picture": frame(key_frame=False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frames_are_refused_and_change_nothing(name: str) -> None:
    """Whatever a peer sends, the answer is `MalformedError`, and the picture is as it was."""
    canvas = Canvas()
    if name != "change without a picture":
        canvas.draw(frame())
    before = canvas.pixels.copy()
    with pytest.raises(MalformedError):
        canvas.draw(HOSTILE[name])
    assert np.array_equal(canvas.pixels, before)


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
@pytest.mark.parametrize("damage", ["size", "format", "cut"])
def test_damaged_images_are_refused(codec: str, damage: str, tmp_path) -> None:
    """An image of another size or format than its tile says, or cut short, is not drawn."""
    image = Image.new("RGB", (4000, 4000) if damage == "size" else (64, 64))
    path = tmp_path / "image"
    image.save(path, "PNG" if damage == "format" else codec.upper())
    data = path.read_bytes()
    made = frame(
        width=64, height=64, pixels=b"",
        tiles=[tile(0, 0, 64, 64, codec, data[: len(data) // 2] if damage == "cut" else data)],
    )  # fmt: skip
    with pytest.raises(MalformedError):
        Canvas().draw(made)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 6)] * 4), max_size=4),
    st.booleans(),
    st.binary(max_size=40),
    st.sampled_from(["raw", "webp", "jpeg", "copy"]),
)
def test_junk_frames_raise_nothing_but_malformed(places: list, key_frame, data: bytes, codec: str) -> None:
    """Random sizes, places and bytes end in a drawing or in `MalformedError`."""
    canvas = Canvas()
    canvas.draw(frame())
    junk = frame(key_frame=key_frame, pixels=data, tiles=[tile(*place, codec, data) for place in places])
    with suppress(MalformedError):
        canvas.draw(junk)
    assert canvas.pixels.shape == (2, 4, 3)


def test_a_copy_from_outside_is_refused() -> None:
    """A source beyond the picture would show memory that is not the screen's."""
    canvas = Canvas()
    canvas.draw(frame())
    for x, y in ((4, 0), (0, 2), (1, 0), (2**31, 2**31)):
        made = frame(key_frame=False, pixels=b"", tiles=[tile(0, 0, 4, 2, "copy", COPY_SOURCE.pack(x, y))])
        with pytest.raises(MalformedError):
            check_frame(made)
