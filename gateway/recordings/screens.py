"""What was on the displays of one agent at a moment: found backwards to the last key frame, and drawn from there.

Never decodes what stands before the key frames, and never draws a frame that was captured later than asked for.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gateway.recordings.library import Group
from schemas.canvas import Canvas
from schemas.errors import MalformedError, OpenError
from schemas.kinds import ContentType, StreamKind
from schemas.records import Record, decode_segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schemas.opening import Opened

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOOK_MS = 2_000
"""Key frames of all displays are taken in one look; segments so much older may still hold some of them."""

_STEP = 16
_LEVEL = 3

Opening = Callable[[Group], "Opened | None"]
"""What a segment holds; `None` when it is end to end. Raises `OpenError` or `MalformedError`."""


class Place(NamedTuple):
    """Where a state was reached: behind the segment that begins there."""

    agent: bytes
    epoch: bytes
    sequence: int
    display: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A display as it was, and the last frame that changed it, without what it changed.

    `key_ms`: when the key frame that it builds on was captured; those of the other displays stand beside that one.
    """

    pixels: NDArray[np.uint8]
    frame: Record
    key_ms: int


class Pictures:
    """Displays that were drawn, compressed; those used last, up to `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = 0
        """Bytes that are kept."""
        self._kept: OrderedDict[Place, tuple[bytes, tuple[int, ...], Record, int]] = OrderedDict()

    def keep(self, place: Place, picture: Picture) -> None:
        """Keep what was drawn."""
        if place in self._kept:
            return
        data = zstd.compress(picture.pixels.tobytes(), 1)
        self._kept[place] = data, picture.pixels.shape, picture.frame, picture.key_ms
        self.size += len(data)
        while self.size > self._most:
            _, (gone, *_) = self._kept.popitem(last=False)
            self.size -= len(gone)

    def find(self, place: Place) -> Picture | None:
        """What was drawn there."""
        found = self._kept.get(place)
        if found is None:
            return None
        self._kept.move_to_end(place)
        data, shape, frame, key_ms = found
        return Picture(np.frombuffer(zstd.decompress(data), np.uint8).reshape(shape).copy(), frame, key_ms)

    def key_ms(self, place: Place) -> int | None:
        """When the key frame of what was drawn there was captured, if it was drawn."""
        found = self._kept.get(place)
        return found[3] if found else None


class Step(NamedTuple):
    """Frames of one segment that are to be drawn; `cut`: later ones of it are not."""

    group: Group
    frames: list[Record]
    cut: bool


@dataclass(slots=True)
class Rewound:
    """What was found on the way back."""

    sealed: bool = False
    """The last of it is end to end."""
    steps: list[Step] = field(default_factory=list)
    """What to draw, newest first."""
    ready: dict[int, Place] = field(default_factory=dict)
    """Displays that were drawn before, up to that segment."""
    met: dict[int, int] = field(default_factory=dict)
    """Displays whose key frame or earlier drawing was met, and when the key frame was captured."""
    seen: set[int] = field(default_factory=set)
    damaged: int = 0
    shut: int = 0

    @property
    def complete(self) -> bool:
        """Whether every display that was seen can be drawn."""
        return bool(self.met) and self.seen <= self.met.keys()


def rewind(
    groups: Sequence[Group], opening: Opening, pictures: Pictures, until_us: int, only: int | None = None
) -> Generator[bytes, None, Rewound]:
    """Go back from the newest of `groups` until each display's key frame was met, or that of display `only`.

    Frames after `until_us` are left out.
    """
    found = Rewound()
    for number, group in enumerate(reversed(groups)):
        if number % _STEP == _STEP - 1:
            yield b""
        if found.complete and group.capture_ms < min(found.met.values()) - LOOK_MS:
            break
        frames = _frames(group, opening, found)
        if frames is None:
            found.sealed = not found.seen
            break
        if only is not None:
            frames = [frame for frame in frames if frame["display"] == only]
        _meet(group, frames, pictures, found, until_us)
    return found


def _meet(group: Group, frames: list[Record], pictures: Pictures, found: Rewound, until_us: int) -> None:
    """Take what is needed of one segment: of each display the frames from its last key frame on."""
    needed: list[Record] = []
    first, cut = group.first.id, any(frame["time_us"] > until_us for frame in frames)
    for display in {frame["display"] for frame in frames} - found.met.keys():
        own = [frame for frame in frames if frame["display"] == display and frame["time_us"] <= until_us]
        if not own:
            continue
        found.seen.add(display)
        place = Place(first.agent_id, first.epoch_id, first.sequence, display)
        key_ms = None if cut else pictures.key_ms(place)
        if key_ms is not None:
            found.ready[display], found.met[display] = place, key_ms
            continue
        keys = [number for number, frame in enumerate(own) if frame["key_frame"]]
        if keys:
            found.met[display] = group.capture_ms
        needed += own[keys[-1] if keys else 0 :]
    if needed:
        found.steps.append(Step(group, needed, cut))


def _frames(group: Group, opening: Opening, found: Rewound) -> list[Record] | None:
    try:
        opened = opening(group)
        if opened is None:
            return None
        if opened.record.content_type != ContentType.SEGMENT:
            return []
        return decode_segment(StreamKind.SCREEN, opened.plaintext)
    except OpenError:
        found.shut += 1
    except MalformedError:
        found.damaged += 1
    return []


def draw(found: Rewound, pictures: Pictures) -> Generator[bytes, None, dict[int, Picture]]:
    """The displays as they were; what was drawn is kept for the next who asks."""
    canvases: dict[int, Canvas] = {}
    frames: dict[int, Record] = {}
    last: dict[int, Step] = {}
    for display, place in found.ready.items():
        picture = pictures.find(place)
        if picture is not None:
            canvases[display] = Canvas()
            canvases[display].pixels, frames[display] = picture.pixels, picture.frame
    for number, step in enumerate(reversed(found.steps)):
        if number % 2:
            yield b""
        for frame in step.frames:
            display = frame["display"]
            try:
                canvases.setdefault(display, Canvas()).draw(frame)
            except MalformedError:
                continue  # it builds on what is not here: the next key frame comes within minutes
            frames[display] = {**frame, "tiles": [], "pixels": b""}
            last[display] = step
    shown = {
        display: Picture(canvases[display].pixels, frame, found.met.get(display, 0))
        for display, frame in frames.items()
    }
    for display, step in last.items():
        first = step.group.first.id
        if not step.cut and display in found.met:
            pictures.keep(Place(first.agent_id, first.epoch_id, first.sequence, display), shown[display])
    return shown


def whole_frame(picture: Picture) -> Record:
    """A key frame of what is shown, one raw tile."""
    height, width = picture.pixels.shape[:2]
    tile = {"x": 0, "y": 0, "width": width, "height": height, "codec": "raw", "data": b""}
    pixels = zstd.compress(picture.pixels.tobytes(), _LEVEL)
    return {**picture.frame, "width": width, "height": height, "key_frame": True, "tiles": [tile], "pixels": pixels}
