"""One OCR process: reads requests from its input, writes answers to its output, until the input ends.

Never outlives its parent, and never prints: its output is the answers.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from infra.ocr.cache import LineCache
from infra.ocr.protocol import LENGTH, LENGTHS
from infra.ocr.reader import ScreenReader
from infra.ocr.recognizer import Recognizer
from schemas.errors import MalformedError
from schemas.records import decode_record

if TYPE_CHECKING:
    from infra.ocr.text import ScreenText


class Shard:
    """The displays of some agents, at most `max_bytes` of pictures; the least recently used are forgotten."""

    def __init__(self, recognizer: Recognizer, cache: LineCache, max_bytes: int) -> None:
        self._recognizer = recognizer
        self._cache = cache
        self._max_bytes = max_bytes
        self._readers: OrderedDict[tuple[str, int], ScreenReader] = OrderedDict()

    def answer(self, agent: str, frames: list[dict[str, Any]], *, emit: bool) -> dict[str, Any]:
        """Texts for the frames, or which error they end in."""
        fresh: set[int] = set()
        for frame in frames:
            reader = self._readers.get((agent, frame["display"]))
            drawable = frame["key_frame"] or frame["display"] in fresh or (reader is not None and reader.takes(frame))
            if not drawable:
                return {"error": "missing", "message": f"display {frame['display']} has no picture here"}
            fresh.add(frame["display"])
        try:
            texts = [self._read(agent, frame, emit=emit) for frame in frames]
        except MalformedError as error:
            return {"error": "malformed", "message": str(error), "reason": error.reason}
        self._forget()
        return {"texts": [[text.appeared, text.went] for text in texts]}

    def _read(self, agent: str, frame: dict[str, Any], *, emit: bool) -> ScreenText:
        place = (agent, frame["display"])
        reader = self._readers.pop(place, None) or ScreenReader(self._cache, self._recognizer)
        try:
            return reader.read(frame, emit=emit)
        finally:
            if reader.has_canvas:
                self._readers[place] = reader

    def _forget(self) -> None:
        total = sum(reader.size_bytes for reader in self._readers.values())
        while total > self._max_bytes and len(self._readers) > 1:
            _, reader = self._readers.popitem(last=False)
            total -= reader.size_bytes


def serve(source: BinaryIO, target: BinaryIO, shard: Shard) -> None:
    """Answer requests until the input ends."""
    while len(head := source.read(LENGTHS.size)) == LENGTHS.size:
        json_bytes, avro_bytes = LENGTHS.unpack(head)
        request = orjson.loads(source.read(json_bytes))
        try:
            frames = decode_record(source.read(avro_bytes), "screen_segment")["events"]
            answer = shard.answer(request["agent"], frames, emit=request["emit"])
        except MalformedError as error:
            answer = {"error": "malformed", "message": str(error), "reason": error.reason}
        body = orjson.dumps(answer)
        target.write(LENGTH.pack(len(body)) + body)
        target.flush()


def main() -> None:
    """Serve on standard input and output; arguments: megabytes of pictures, megabytes of cached lines."""
    picture_bytes, line_bytes = (int(value) << 20 for value in sys.argv[1:3])
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log, not among the answers
    with Recognizer() as recognizer:
        serve(sys.stdin.buffer, target, Shard(recognizer, LineCache(line_bytes), picture_bytes))


if __name__ == "__main__":
    main()
