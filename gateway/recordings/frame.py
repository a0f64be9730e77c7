"""One picture of a display at a moment, as WebP.

Never shows what is end to end, and never a moment later than was asked for.
"""

from __future__ import annotations

import io

from PIL import Image

from gateway.recordings.asking import Ask
from gateway.recordings.jobs import MOST_BEFORE_BYTES, Steps, Tools, Work, bound
from gateway.recordings.screens import Picture, draw
from schemas.kinds import StreamKind

_QUALITY = 82
_SMALL_EFFORT, _LARGE_EFFORT = 3, 1
_SMALL_PIXELS = 1_000_000


def serve_frame(tools: Tools, ask: Ask) -> Steps:
    """The picture; what there is to say of it. `found`: whether there is one, `sealed`: it is end to end."""
    work = Work(tools, ask)
    visit = work.visit
    (agent,) = ask.agents
    at_ms = ask.until_ms - 1
    before = [group for group in visit.groups(StreamKind.SCREEN, agent) if group.capture_ms <= at_ms]
    bound(before, MOST_BEFORE_BYTES)
    yield b""
    found = yield from work.find_start(agent, before, at_ms * 1000 + 999)
    shown = yield from draw(found, tools.pictures)
    picture = shown.get(ask.options["display"])
    if picture is None:
        return {"found": False, "sealed": found.sealed, "reads": visit.reads}
    height, width = picture.pixels.shape[:2]
    yield b""
    image = encode_picture(picture, ask.options["width"])
    for at in range(0, len(image), 128 * 1024):
        yield image[at : at + 128 * 1024]
    return {
        "found": True,
        "sealed": False,
        "time_ms": picture.frame["time_us"] // 1000,
        "size": [width, height],
        "reads": visit.reads,
    }


def encode_picture(picture: Picture, width: int) -> bytes:
    """The picture, made smaller to `width` pixels when that is not 0."""
    image = Image.fromarray(picture.pixels)
    if 0 < width < image.width:
        size = (width, max(1, round(image.height * width / image.width)))
        image = image.resize(size, Image.Resampling.BOX if width * 3 < image.width else Image.Resampling.BILINEAR)
    out = io.BytesIO()
    effort = _SMALL_EFFORT if image.width * image.height <= _SMALL_PIXELS else _LARGE_EFFORT
    image.save(out, "WEBP", quality=_QUALITY, method=effort)
    return out.getvalue()
