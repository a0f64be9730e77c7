"""Reading in this process, for an agent that reads its own screens: frames in, lines that appeared out.

Never starts a process, and never loads Tesseract before the first frame.

    with Screens() as screens:
        for line in screens.read(frame).appeared: ...   # line["text"], line["x"], line["y"], ...

Frames are those of `schemas.tiles.FrameEncoder`, of any number of displays, each display's in order. A frame that
changes a picture which was never shown raises `MalformedError` (reason `no_key_frame`): let the encoder make a key
frame. Reading takes CPU seconds for a screen full of new text, so call it where it may wait (a thread, low priority).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from infra.ocr.cache import LineCache
from infra.ocr.reader import ScreenReader

if TYPE_CHECKING:
    from types import TracebackType

    from infra.ocr.recognizer import Recognizer
    from infra.ocr.text import ScreenText
    from schemas.tiles import Frame


class Screens:
    """The displays of one endpoint; not for several threads at once."""

    def __init__(self, language: str = "eng", *, cache_megabytes: int = 16) -> None:
        self._language = language
        self._cache = LineCache(cache_megabytes << 20)
        self._recognizer: Recognizer | None = None
        self._readers: dict[int, ScreenReader] = {}

    def read(self, frame: Frame) -> ScreenText:
        """The lines that the frame brought (`appeared`) and took away (`went`).

        Raises `MalformedError` for a frame that cannot be drawn, `ConfigError` where Tesseract's data is missing.
        """
        display = frame["display"]
        reader = self._readers.get(display)
        if reader is None:
            reader = self._readers[display] = ScreenReader(self._cache, self._loaded())
        return reader.read(frame)

    def _loaded(self) -> Recognizer:
        if self._recognizer is None:
            from infra.ocr.recognizer import Recognizer

            self._recognizer = Recognizer(self._language)
        return self._recognizer

    def close(self) -> None:
        """Forget the pictures and the texts, and free the model."""
        self._readers.clear()
        self._cache = LineCache(0)
        if self._recognizer is not None:
            self._recognizer.close()
            self._recognizer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
