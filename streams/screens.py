"""Screens to documents: one for each display of a segment on which text appeared or went.

Never reads pixels itself: `infra.ocr` does, in processes of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol

from infra.ocr.pool import ReaderDied, StateMissing
from schemas.errors import UnavailableError
from schemas.records import Record
from streams.processor import PoisonError
from streams.segment import Segment

_generation = count(1)


class StateLostError(UnavailableError):
    """What came before has to be shown again: the process that held it is gone, through no fault of this record."""


class ScreenText(Protocol):
    """What one frame changed of the text on its display."""

    @property
    def appeared(self) -> Sequence[Record]:
        """Lines that this frame shows first, as `TextLine` records."""
        ...

    @property
    def went(self) -> Sequence[Record]:
        """Lines that this frame no longer shows, as `TextLine` records."""
        ...


class ScreenPool(Protocol):
    """The OCR processes: `infra.ocr.pool.OcrPool`."""

    async def read(self, agent: str, frames: list[Record], *, emit: bool = True) -> Sequence[ScreenText]:
        """One result a frame; raises `StateMissing` for a frame whose predecessor it does not have."""
        ...


class ScreenMiner:
    """The displays of one agent, from the first segment that it is shown.

    The pool knows this miner by a name that no other ever has: a canvas that was left behind cannot be taken for ours.
    """

    def __init__(self, pool: ScreenPool, agent: str) -> None:
        self._pool = pool
        self._name = f"{agent}#{next(_generation)}"
        self._displays: set[int] = set()

    async def warm(self, segment: Segment) -> None:
        """Take a segment that was mined already, for what it leaves on the screens."""
        frames = self._known(segment.events)
        if frames:
            await self._ask(frames, emit=False)

    async def read(self, segment: Segment) -> list[Record]:
        """The documents of a segment."""
        frames = self._known(segment.events)
        if not frames:
            return []
        texts = await self._ask(frames, emit=True)
        documents = (
            _document(segment, display, [(f, t) for f, t in zip(frames, texts, strict=True) if f["display"] == display])
            for display in sorted({frame["display"] for frame in frames})
        )
        return [document for document in documents if document is not None]

    async def _ask(self, frames: list[Record], *, emit: bool) -> Sequence[ScreenText]:
        """The pool's answer; a reader that died of these frames is told apart from one that died of others."""
        try:
            return await self._pool.read(self._name, frames, emit=emit)
        except ReaderDied as error:
            raise PoisonError(str(error)) from error
        except StateMissing as error:
            raise StateLostError("the screens before this are not known (any more)") from error

    def _known(self, frames: Sequence[Record]) -> list[Record]:
        """The frames from the first key frame of their display on; what stands before one cannot be drawn."""
        drawable: list[Record] = []
        for frame in frames:
            if frame["key_frame"]:
                self._displays.add(frame["display"])
            if frame["display"] in self._displays:
                drawable.append(frame)
        return drawable


def _document(segment: Segment, display: int, looks: Sequence[tuple[Record, ScreenText]]) -> Record | None:
    """What one display's frames add up to; `None` when no text appeared or went."""
    lines: dict[tuple[Any, ...], Record] = {}
    went: list[Record] = []
    shown: Record | None = None
    for frame, text in looks:
        for line in text.went:
            appeared = lines.get(_identity(line))
            if appeared is None:
                went.append(dict(line))
            else:
                appeared["went_ms"] = line["went_ms"]
        for line in text.appeared:
            shown = shown or frame
            lines[_identity(line)] = dict(line)
    if not lines and not went:
        return None
    shown = shown or looks[0][0]
    return segment.document(
        "screen",
        ordinal=display,
        time_ms=shown["time_us"] // 1000,
        until_ms=looks[-1][0]["time_us"] // 1000,
        application=shown["application"],
        title=shown["title"],
        text="\n".join(line["text"] for line in lines.values()),
        lines=list(lines.values()),
        went=went,
    )


def _identity(line: Record) -> tuple[Any, ...]:
    return line["display"], line["x"], line["y"], line["width"], line["height"], line["appeared_ms"], line["text"]
