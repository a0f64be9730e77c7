"""Screens from any moment on: what is drawn before the scope begins is put into one first whole frame.

Never lets out a frame from before the scope: the viewer sees what was on the screen then, not how it came there.
"""

from __future__ import annotations

from PIL import Image

from schemas.canvas import Canvas
from schemas.errors import MalformedError
from schemas.kinds import StreamKind
from schemas.opening import Opened
from schemas.records import Record, decode_segment, encode_segment
from schemas.tiles import FrameEncoder, bgra_of

Display = tuple[bytes, int]


class ScreenStart:
    """Takes the segments of screens in their order."""

    def __init__(self) -> None:
        self._canvases: dict[Display, Canvas] = {}
        self._shown: set[Display] = set()

    def take(self, opened: Opened, *, in_scope: bool) -> bytes | None:
        """The segment for the viewer: as it is, or with a whole first frame; none for what comes before the scope."""
        events = decode_segment(StreamKind.SCREEN, opened.plaintext)
        displays = {(opened.id.agent_id, event["display"]) for event in events}
        if in_scope and displays <= self._shown:
            return opened.plaintext
        kept = [kept for event in events if (kept := self._place(opened, event, in_scope)) is not None]
        return encode_segment(StreamKind.SCREEN, kept) if kept and in_scope else None

    def _place(self, opened: Opened, frame: Record, in_scope: bool) -> Record | None:  # noqa: FBT001
        display = (opened.id.agent_id, frame["display"])
        if display in self._shown:
            return frame
        canvas = self._canvases.setdefault(display, Canvas())
        try:
            canvas.draw(frame)
        except MalformedError:
            return None  # it builds on what is not here: the next key frame comes within minutes
        if not in_scope:
            return None
        self._shown.add(display)
        del self._canvases[display]
        return frame if frame["key_frame"] else _whole(canvas, frame)


def _whole(canvas: Canvas, frame: Record) -> Record | None:
    height, width = canvas.pixels.shape[:2]
    return FrameEncoder(frame["display"]).encode(
        bgra_of(Image.fromarray(canvas.pixels)),
        width,
        height,
        time_us=frame["time_us"],
        application=frame["application"],
        title=frame["title"],
    )
