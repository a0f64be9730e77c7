"""The process that opens recordings for the console: it has the server's KEK, which the gateway has not.

Never opens what is end to end, writes nothing to disk, and never lets one request keep the others waiting: each job
goes on by steps, and rests when its bytes are not taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any, BinaryIO

import structlog

from gateway.recordings.asking import Ask
from gateway.recordings.jobs import Steps, Tools, serve
from gateway.recordings.library import Library
from gateway.recordings.reading import NUMBER_BYTES, PIECE_BYTES
from gateway.unlock.opener import shield
from gateway.unlock.pipe import Frame, FrameSplitter, Kind, encode_frame
from infra.logging import configure_logging, identify_process
from infra.settings import Settings
from schemas.errors import SealstreamError

log = structlog.get_logger(__name__)

_READ_BYTES = 1 << 20


@dataclass(slots=True)
class _Running:
    number: int
    steps: Steps
    credit: int


class Reader:
    """Serves requests that come in on one descriptor and answers on another, until the first ends."""

    def __init__(self, reading: int, writing: BinaryIO) -> None:
        self._reading = reading
        self._writing = writing
        self._splitter = FrameSplitter()
        self._tools: Tools | None = None
        self._running: deque[_Running] = deque()

    def run(self) -> None:
        """Serve; returns when nobody is at the other end any more."""
        while self._take(wait=not self._busy):
            self._step()

    @property
    def _busy(self) -> bool:
        return any(one.credit > 0 for one in self._running)

    def _take(self, *, wait: bool) -> bool:
        """Take what was said; whether there may be more."""
        while select.select([self._reading], [], [], None if wait else 0)[0]:
            data = os.read(self._reading, _READ_BYTES)
            if not data:
                return False
            for frame in self._splitter.feed(data):
                self._hear(frame)
            wait = False
        return True

    def _hear(self, frame: Frame) -> None:
        if frame.kind is Kind.BEGIN:
            self._begin(frame.fields)
            return
        number, body = int.from_bytes(frame.body[:NUMBER_BYTES], "big"), frame.body[NUMBER_BYTES:]
        match frame.kind:
            case Kind.ASK if self._tools:
                ask = json.loads(body)
                steps = serve(self._tools, Ask.from_json(ask["ask"]))
                self._running.append(_Running(number, steps, int(ask["credit"])))
            case Kind.CREDIT:
                for one in self._running:
                    one.credit += int.from_bytes(body, "big") if one.number == number else 0
            case Kind.CANCEL:
                gone = [one for one in self._running if one.number == number]
                for one in gone:
                    self._running.remove(one)
                    one.steps.close()

    def _begin(self, fields: dict[str, Any]) -> None:
        try:
            settings = Settings.model_validate(fields["settings"])
            identify_process(node=settings.node.id, process=settings.gateway.name)
            self._tools = Tools(Library(settings), fields["cache_bytes"])
        except SealstreamError as error:
            self._say(Kind.REFUSED, json.dumps({"reason": "unavailable", "message": str(error)}).encode())
            return
        self._say(Kind.READY, b"{}")

    def _step(self) -> None:
        """Let the next request whose bytes are taken go on by one step."""
        for _ in range(len(self._running)):
            one = self._running[0]
            self._running.rotate(-1)
            if one.credit > 0:
                self._advance(one)
                return

    def _advance(self, one: _Running) -> None:
        try:
            data = next(one.steps)
        except StopIteration as end:
            self._end(one, Kind.FINISHED, end.value)
        except SealstreamError as error:
            self._end(one, Kind.FAILED, {"reason": getattr(error, "reason", "failed"), "message": str(error)})
        except Exception as error:  # noqa: BLE001 - one request's mistake must not end the others'
            log.error("reader_job_failed", error=type(error).__name__)  # noqa: TRY400 - its text may be content
            self._end(one, Kind.FAILED, {"reason": "failed", "message": type(error).__name__})
        else:
            one.credit -= len(data)
            for at in range(0, len(data), PIECE_BYTES):
                self._say(Kind.PIECE, one.number.to_bytes(NUMBER_BYTES, "big") + data[at : at + PIECE_BYTES])

    def _end(self, one: _Running, kind: Kind, fields: dict[str, Any]) -> None:
        self._running.remove(one)
        self._say(kind, one.number.to_bytes(NUMBER_BYTES, "big") + json.dumps(fields).encode())

    def _say(self, kind: Kind, body: bytes) -> None:
        self._writing.write(encode_frame(kind, body))
        self._writing.flush()


def main() -> None:
    """Serve over standard input and output."""
    shield()
    configure_logging("recordings")
    writing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not get between the frames
    with contextlib.suppress(BrokenPipeError):  # the gateway is gone
        Reader(sys.stdin.fileno(), writing).run()
    os._exit(0)


if __name__ == "__main__":
    main()
