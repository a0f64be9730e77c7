"""What there is to read in the segments of a stream: messages, terminal sessions, screens.

Never reads what was not recorded: a reader sees the events that were sealed, and no others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from schemas.blind_index import FILES, PEOPLE, TEXT, TITLE
from schemas.identity import EnvelopeId
from schemas.records import Record

if TYPE_CHECKING:
    from infra.ocr.pool import OcrPool
    from infra.text.terminal import Passage


class Found(NamedTuple):
    """A text: the passage as it is sealed, and the fields whose words are indexed."""

    passage: Record
    texts: list[tuple[str, str]]

    @property
    def place(self) -> tuple[bytes, int, int]:
        """Where the text began: a later one of the same place replaces it."""
        return self.passage["origin_epoch"], self.passage["origin_sequence"], self.passage["ordinal"]


class Reader(Protocol):
    """Reads the segments of one stream, in order. `seals` says whether its text has to be sealed beside the stream."""

    seals: bool

    async def read(self, source: EnvelopeId, events: list[Record]) -> list[Found]:
        """What the segment at `source` brings or changes; raises `SealstreamError` when it cannot be read."""

    def reset(self) -> None:
        """A segment was passed over: what comes next is read without what came before."""

    async def close(self) -> None:
        """Let everything go."""


class EmailReader:
    """Messages; the segment itself holds their text."""

    seals = False

    async def read(self, source: EnvelopeId, events: list[Record]) -> list[Found]:
        """One text a message, or more of a very long one."""
        from infra.text.email import email_passages

        return [
            Found(
                _passage(source, message.ordinal, "email", message.time_ms * 1000),
                [
                    (TITLE, message.title),
                    (TEXT, message.text),
                    *((PEOPLE, person) for person in (message.sender, *message.recipients)),
                    *((FILES, name) for name in message.attachments),
                ],
            )
            for message in email_passages(events)
        ]

    def reset(self) -> None:
        """Messages stand by themselves."""

    async def close(self) -> None:
        """Nothing is held."""


class TerminalText:
    """Terminal sessions as a person reads them."""

    seals = True

    def __init__(self) -> None:
        self.reset()

    async def read(self, source: EnvelopeId, events: list[Record]) -> list[Found]:
        """The passages that the segment begins, changes or ends."""
        passages = await asyncio.to_thread(self._reader.read, source, events)
        return [self._found(passage) for passage in passages if passage.text]

    def reset(self) -> None:
        """Begin with empty terminals."""
        from infra.text.terminal import TerminalReader

        self._reader = TerminalReader()

    async def close(self) -> None:
        """Forget the sessions."""
        self.reset()

    @staticmethod
    def _found(passage: Passage) -> Found:
        told = _passage(
            passage.source,
            passage.ordinal,
            "terminal",
            passage.time_us,
            until_us=passage.until_us,
            title=passage.title,
            session=passage.session,
            text=passage.text,
        )
        return Found(told, [(TITLE, passage.title), (TEXT, passage.text)])


class ScreenText:
    """Screens, read by an OCR process of the agent's own (R6.9): a crash there costs no recording."""

    seals = True

    def __init__(self) -> None:
        self._pool: OcrPool | None = None
        self._drawn: set[int] = set()
        self._name = 0

    async def read(self, source: EnvelopeId, events: list[Record]) -> list[Found]:
        """One text for each display on which lines appeared."""
        frames = [frame for frame in events if self._drawable(frame)]
        if not frames:
            return []
        if self._pool is None:
            from infra.ocr.pool import OcrPool

            self._pool = OcrPool(1, picture_megabytes=64, cache_megabytes=32)
        texts = await self._pool.read(f"own#{self._name}", frames)
        displays = dict.fromkeys(frame["display"] for frame in frames)
        looks = {one: [(f, t) for f, t in zip(frames, texts, strict=True) if f["display"] == one] for one in displays}
        return [found for display in displays if (found := _screen(source, display, looks[display]))]

    def reset(self) -> None:
        """Wait for the next key frame of each display."""
        self._drawn.clear()
        self._name += 1

    async def close(self) -> None:
        """End the process."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def _drawable(self, frame: Record) -> bool:
        if frame["key_frame"]:
            self._drawn.add(frame["display"])
        return frame["display"] in self._drawn


def _screen(source: EnvelopeId, display: int, looks: Sequence[tuple[Record, Any]]) -> Found | None:
    lines = [line for _, text in looks for line in text.appeared]
    went = [line for _, text in looks for line in text.went]
    if not lines:
        return None
    shown = next(frame for frame, text in looks if text.appeared)
    text = "\n".join(dict.fromkeys(line["text"] for line in lines))
    passage = _passage(
        source,
        display,
        "screen",
        shown["time_us"],
        until_us=looks[-1][0]["time_us"],
        application=shown["application"],
        title=shown["title"],
        text=text,
        lines=lines,
        went=went,
    )
    return Found(passage, [(TITLE, shown["title"]), (TEXT, text)])


def _passage(origin: EnvelopeId, ordinal: int, kind: str, time_us: int, **fields: Any) -> Record:
    return {
        "time_us": time_us,
        "until_us": time_us,
        "kind": kind,
        "origin_epoch": origin.epoch_id,
        "origin_sequence": origin.sequence,
        "ordinal": ordinal,
        "application": "",
        "title": "",
        "session": "",
        "text": "",
        "lines": [],
        "went": [],
        **fields,
    }
