"""Frames of a screen: what changed since the frame before, encoded small and without losing text.

Never keeps a copy of a picture: the caller's pixels are held until the next look, so they must not be reused.

A frame holds tiles: rectangles that changed. Most are raw, their RGB in one zstd frame for all; a tile like a
photograph, which zstd does not shrink, is a WebP or JPEG image; a tile that only moved (scrolling) names where it
stood before. `schemas.canvas` is the way back.
"""

from __future__ import annotations

import io
import struct
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from schemas.motion import find_shift
from schemas.rectangle import Rectangle, cover, scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Frame = dict[str, Any]
Tile = dict[str, Any]

MAX_SIDE = 16_384
"""Pixels; no display is wider or higher."""

MAX_PIXELS = 36_000_000
"""Of one display: a little over 8K."""

MAX_TILES = 20_000
MAX_DISPLAY = 63
COPY_SOURCE = struct.Struct(">II")
"""Left and top, in the frame before, of a copy tile."""

_CELL = 16
_BLOCK = 64
_PHOTO_FLATNESS = 0.3
_PHOTO_GAIN = 3
_WEBP_PIXELS = 64 * 1024
_QUALITY = 80
_SMALL_BYTES = 1 << 18
_LEVEL_SMALL, _LEVEL_LARGE = 12, 5


class FrameEncoder:
    """Turns looks at one display into `Frame` records; an unchanged screen makes none."""

    def __init__(self, display: int = 0) -> None:
        self._display = display
        self._before: NDArray[np.uint32] | None = None

    def renew(self) -> None:
        """Make the next frame a key frame."""
        self._before = None

    def encode(
        self,
        bgra: bytes | bytearray | memoryview,
        width: int,
        height: int,
        *,
        time_us: int,
        application: str = "",
        title: str = "",
    ) -> Frame | None:
        """The frame for this look, or None when nothing changed.

        `bgra` holds 4 bytes a pixel, blue first, row after row without gaps, as `mss` gives it.
        """
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
            raise ValueError(f"a display of {width} x {height} pixels cannot be recorded")
        now = np.frombuffer(bgra, np.uint32).reshape(height, width)
        before = self._before
        if before is not None and before.shape != now.shape:
            before = None
        tiles, pixels = _encode_key(now) if before is None else _encode_change(before, now)
        self._before = now
        if not tiles:
            return None
        return {
            "time_us": time_us,
            "display": self._display,
            "width": width,
            "height": height,
            "key_frame": before is None,
            "tiles": tiles,
            "pixels": pixels,
            "application": application,
            "title": title,
        }


def bgra_of(image: Image.Image) -> bytes:
    """The pixels of a picture in the form that `FrameEncoder.encode` takes."""
    return image.convert("RGB").tobytes("raw", "BGRX")


def _encode_key(now: NDArray[np.uint32]) -> tuple[list[Tile], bytes]:
    height, width = now.shape
    return _encode_areas(now, [Rectangle(0, 0, width, height)], [])


def _encode_change(before: NDArray[np.uint32], now: NDArray[np.uint32]) -> tuple[list[Tile], bytes]:
    dirty = changed_cells(before, now)
    if not dirty.any():
        return [], b""
    height, width = now.shape
    screen = Rectangle(0, 0, width, height)
    moved = np.zeros_like(dirty)
    down = find_shift(before, now, dirty, _CELL)
    if down:
        moved = _moved_cells(before, now, dirty, down)
    copies = [scale(cells, _CELL, screen) for cells in cover(moved)]
    areas = [scale(cells, _CELL, screen) for cells in cover(dirty & ~moved)]
    return _encode_areas(now, areas, [_copy_tile(area, down) for area in copies])


def changed_cells(before: NDArray[np.uint32], now: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which cells of 16 x 16 pixels differ; both pictures have the same shape."""
    height, width = now.shape
    padded = -(-width // _CELL) * _CELL
    rows = -(-height // _CELL)
    cells = np.zeros((rows, padded // _CELL), np.bool_)
    band = np.zeros((_CELL, padded), np.bool_)
    for row in range(rows):
        top, bottom = row * _CELL, min((row + 1) * _CELL, height)
        if bottom - top < _CELL:
            band[:] = False
        different = band[: bottom - top, :width]
        np.not_equal(before[top:bottom], now[top:bottom], out=different)
        if different.any():
            cells[row] = band.any(axis=0).reshape(-1, _CELL).any(axis=1)
    return cells


def _moved_cells(
    before: NDArray[np.uint32], now: NDArray[np.uint32], dirty: NDArray[np.bool_], down: int
) -> NDArray[np.bool_]:
    """Cells that show what stood `down` pixels higher, near those that changed."""
    height, _ = now.shape
    moved = np.zeros_like(dirty)
    first = -(-max(down, 0) // _CELL)
    last = (height + min(down, 0)) // _CELL
    if last > first:
        top, bottom = first * _CELL, last * _CELL
        moved[first:last] = ~changed_cells(before[top - down : bottom - down], now[top:bottom])
    changed = np.argwhere(moved & dirty)
    if not len(changed):
        return np.zeros_like(dirty)
    (y, x), (bottom, right) = changed.min(axis=0), changed.max(axis=0) + 1
    near = np.zeros_like(dirty)
    near[y:bottom, x:right] = moved[y:bottom, x:right]
    return near


def _copy_tile(area: Rectangle, down: int) -> Tile:
    return _tile(area, "copy", COPY_SOURCE.pack(area.x, area.y - down))


def _tile(area: Rectangle, codec: str, data: bytes = b"") -> Tile:
    return {"x": area.x, "y": area.y, "width": area.width, "height": area.height, "codec": codec, "data": data}


def _encode_areas(now: NDArray[np.uint32], areas: Iterable[Rectangle], copies: list[Tile]) -> tuple[list[Tile], bytes]:
    photos: list[Tile] = []
    plain: list[Rectangle] = []
    for area in areas:
        for part, is_photo in _split(now, area):
            photo = _encode_photo(now, part) if is_photo else None
            if photo is None:
                plain.append(part)
            else:
                photos.append(photo)
    raw = b"".join(_rgb(part.of(now)).tobytes() for part in plain)
    level = _LEVEL_SMALL if len(raw) <= _SMALL_BYTES else _LEVEL_LARGE
    pixels = zstd.compress(raw, level) if raw else b""
    return [*copies, *photos, *(_tile(part, "raw") for part in plain)], pixels


def _split(now: NDArray[np.uint32], area: Rectangle) -> Iterator[tuple[Rectangle, bool]]:
    """The parts of an area, each with whether it looks like a photograph."""
    if area.width < _BLOCK or area.height < _BLOCK:
        yield area, False
        return
    busy = _flatness(area.of(now)) < _PHOTO_FLATNESS
    for marks, is_photo in ((busy, True), (~busy, False)):
        for cells in cover(marks):
            yield scale(cells, _BLOCK, area), is_photo


def _flatness(pixels: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Per block, the share of pixels that equal the one beside or below: text has most, photographs have few."""
    same = pixels[:-1, :-1] == pixels[:-1, 1:]
    below = pixels[:-1, :-1] == pixels[1:, :-1]
    rows, columns = np.arange(0, same.shape[0], _BLOCK), np.arange(0, same.shape[1], _BLOCK)
    if pixels.shape[0] % _BLOCK == 1:
        rows = rows[: pixels.shape[0] // _BLOCK]
    shares = [_block_sums(marks, rows, columns) for marks in (same, below)]
    sizes = _block_sums(np.ones_like(same), rows, columns)
    grid = np.maximum(shares[0], shares[1]) / sizes
    missing = [(0, -(-side // _BLOCK) - have) for side, have in zip(pixels.shape, grid.shape, strict=True)]
    return np.pad(grid, missing, mode="edge")


def _block_sums(marks: NDArray[np.bool_], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    down = np.add.reduceat(marks, rows, axis=0, dtype=np.uint16)
    return np.add.reduceat(down, columns, axis=1, dtype=np.float64)


def _encode_photo(now: NDArray[np.uint32], area: Rectangle) -> Tile | None:
    """The tile as a compressed photograph, or None when zstd does nearly as well without loss."""
    pixels = _rgb(area.of(now))
    out = io.BytesIO()
    codec = "webp" if area.area <= _WEBP_PIXELS else "jpeg"
    image = Image.fromarray(pixels)
    if codec == "webp":
        image.save(out, "WEBP", quality=_QUALITY, method=1)
    else:
        image.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    if len(zstd.compress(pixels.tobytes(), 1)) < out.tell() * _PHOTO_GAIN:
        return None
    return _tile(area, codec, out.getvalue())


def _rgb(pixels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Height x width x 3 bytes, red first."""
    channels = np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, 4)
    return np.ascontiguousarray(channels[:, :, 2::-1])
