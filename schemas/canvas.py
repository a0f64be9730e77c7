"""A display as its frames tell it: the way back from `schemas.tiles`.

Never trusts a frame: sizes are checked before memory is spent on them, and a refused frame changes nothing.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from schemas.errors import MalformedError
from schemas.rectangle import Rectangle
from schemas.tiles import COPY_SOURCE, MAX_DISPLAY, MAX_PIXELS, MAX_SIDE, MAX_TILES, Frame, Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Drawing = tuple[Rectangle, "NDArray[np.uint8]"]

_IMAGE_FORMATS = {"webp": "WEBP", "jpeg": "JPEG"}


class Canvas:
    """The picture of one display: height x width x 3 bytes, red first, in `pixels`."""

    def __init__(self) -> None:
        self.pixels: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)

    def takes(self, frame: Frame) -> bool:
        """Whether the frame can be drawn: it is whole, or changes a picture of the size that is here."""
        return bool(frame["key_frame"]) or self.pixels.shape[:2] == (frame["height"], frame["width"])

    def draw(self, frame: Frame) -> list[Rectangle]:
        """Draw the frame and say which parts it touched.

        Raises `MalformedError` (reason `bad_frame`, or `no_key_frame` when it changes what is not here).
        """
        areas = check_frame(frame)
        if not self.takes(frame):
            raise MalformedError("the frame changes a picture that is not here", "no_key_frame")
        drawings = self._decode(frame, areas)
        if frame["key_frame"]:
            self.pixels = np.empty((frame["height"], frame["width"], 3), np.uint8)
        for area, pixels in drawings:
            area.of(self.pixels)[:] = pixels
        return areas

    def _decode(self, frame: Frame, areas: list[Rectangle]) -> list[Drawing]:
        tiles: list[Tile] = frame["tiles"]
        raw = [area for area, tile in zip(areas, tiles, strict=True) if tile["codec"] == "raw"]
        drawings = _decode_raw(frame["pixels"], raw)
        for area, tile in zip(areas, tiles, strict=True):
            if tile["codec"] == "copy":
                drawings.append((area, self._copied(area, tile["data"])))
            elif tile["codec"] != "raw":
                drawings.append((area, _decode_image(area, tile)))
        return drawings

    def _copied(self, area: Rectangle, data: bytes) -> NDArray[np.uint8]:
        x, y = COPY_SOURCE.unpack(data)
        return Rectangle(x, y, area.width, area.height).of(self.pixels).copy()


def check_frame(frame: Frame) -> list[Rectangle]:
    """The areas of its tiles; raises `MalformedError` for sizes, places or codecs that no encoder writes."""
    width, height, tiles = frame["width"], frame["height"], frame["tiles"]
    _require(0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS, "size of the display")
    _require(0 <= frame["display"] <= MAX_DISPLAY, "number of the display")
    _require(len(tiles) <= MAX_TILES, "number of tiles")
    areas = [_checked_area(tile, width, height, key_frame=frame["key_frame"]) for tile in tiles]
    total = sum(area.area for area in areas)
    _require(total <= width * height, "tiles overlap")
    seen = np.zeros((height, width), np.bool_)
    for area in areas:
        area.of(seen)[:] = True
    _require(int(np.count_nonzero(seen)) == total, "tiles overlap")
    _require(not frame["key_frame"] or total == width * height, "a key frame that is not whole")
    return areas


def _checked_area(tile: Tile, width: int, height: int, *, key_frame: bool) -> Rectangle:
    area = Rectangle(tile["x"], tile["y"], tile["width"], tile["height"])
    _require(_within(area, width, height), "place of a tile")
    codec, data = tile["codec"], tile["data"]
    if codec == "copy":
        _require(not key_frame and len(data) == COPY_SOURCE.size, "a copy tile")
        x, y = COPY_SOURCE.unpack(data)
        _require(_within(Rectangle(x, y, area.width, area.height), width, height), "source of a copy tile")
    elif codec == "raw":
        _require(not data, "data of a raw tile")
    else:
        _require(codec in _IMAGE_FORMATS, "codec of a tile")
    return area


def _within(area: Rectangle, width: int, height: int) -> bool:
    sides = area.width > 0 and area.height > 0
    return sides and 0 <= area.x <= width - area.width and 0 <= area.y <= height - area.height


def _require(condition: Any, what: str) -> None:
    if not condition:
        raise MalformedError(f"bad frame: {what}", "bad_frame")


def _decode_raw(compressed: bytes, areas: list[Rectangle]) -> list[Drawing]:
    size = sum(area.area for area in areas) * 3
    if not size:
        _require(not compressed, "pixels that no tile shows")
        return []
    decompressor = zstd.ZstdDecompressor()
    try:
        raw = decompressor.decompress(compressed, size + 1)
    except zstd.ZstdError:
        raise MalformedError("bad frame: the pixels are not zstd", "bad_frame") from None
    _require(len(raw) == size and decompressor.eof and not decompressor.unused_data, "length of the pixels")
    drawings = []
    start = 0
    for area in areas:
        pixels = np.frombuffer(raw, np.uint8, area.area * 3, start).reshape(area.height, area.width, 3)
        drawings.append((area, pixels))
        start += area.area * 3
    return drawings


def _decode_image(area: Rectangle, tile: Tile) -> NDArray[np.uint8]:
    kind = _IMAGE_FORMATS[tile["codec"]]
    try:
        with Image.open(io.BytesIO(tile["data"]), formats=(kind,)) as image:
            _require(image.size == (area.width, area.height), "size of an image tile")
            return np.asarray(image.convert("RGB"))
    except MalformedError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow raises whatever a damaged picture provokes
        raise MalformedError(f"bad frame: image tile, {type(error).__name__}", "bad_frame") from None
