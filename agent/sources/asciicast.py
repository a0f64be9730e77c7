"""asciicast, the format of terminal recordings elsewhere, to and from keystrokes events.

Never trusts a file: a line that is not understood is an error that names it.
"""

from __future__ import annotations

import json
import uuid
from typing import IO, TYPE_CHECKING, Any

from schemas.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemas.records import Record

MAX_LINE = 16 * 1024 * 1024
_KINDS = {"o": "output", "i": "input", "r": "resize"}
_CODES = {kind: code for code, kind in _KINDS.items()}


def read_asciicast(file: IO[str], start_us: int | None = None) -> Iterator[Record]:
    """Events of a version 1 or 2 recording; times from its header's timestamp, or from `start_us`.

    Raises `MalformedError` with the number of the line.
    """
    first = file.readline(MAX_LINE)
    header = _parse(first if first.strip() not in ("", "{") else first + file.read(MAX_LINE), 1)
    if not isinstance(header, dict) or header.get("version") not in (1, 2):
        raise MalformedError("not an asciicast of version 1 or 2", "bad_asciicast")
    events = _events_of_1(header) if header["version"] == 1 else _events_of_2(file)
    if start_us is None:
        start_us = int(_number(header.get("timestamp") or 0, 1) * 1_000_000)
    yield from _as_records(header, events, start_us)


def write_asciicast(file: IO[str], events: Iterable[Record]) -> None:
    """A version 2 recording of one session's events. Input that was masked is left out."""
    started_us: int | None = None
    for event in events:
        if started_us is None:
            started_us = event["time_us"]
            header = {
                "version": 2,
                "width": event["columns"] or 80,
                "height": event["rows"] or 24,
                "timestamp": started_us // 1_000_000,
            }
            if event["kind"] == "start":
                header["command"] = event["data"].decode("utf-8", "replace")
            file.write(json.dumps(header) + "\n")
        code = _CODES.get(event["kind"])
        if code is None or event["masked"]:
            continue
        data = f"{event['columns']}x{event['rows']}" if code == "r" else event["data"].decode("utf-8", "replace")
        seconds = (event["time_us"] - started_us) / 1_000_000
        file.write(json.dumps([round(seconds, 6), code, data], ensure_ascii=False) + "\n")


def _as_records(header: dict[str, Any], events: Iterator[tuple[float, str, str]], start_us: int) -> Iterator[Record]:
    columns, rows = _side(header.get("width")), _side(header.get("height"))
    base = {"session": str(uuid.uuid4()), "masked": False, "exit_code": None}

    def record(kind: str, time_us: int, data: bytes = b"") -> Record:
        return {**base, "time_us": time_us, "kind": kind, "data": data, "columns": columns, "rows": rows}

    yield record("start", start_us, str(header.get("command") or header.get("title") or "").encode("utf-8", "replace"))
    time_us = start_us
    for seconds, code, data in events:
        time_us = max(start_us + int(seconds * 1_000_000), time_us)
        kind = _KINDS.get(code)
        if kind == "resize":
            width, _, height = data.partition("x")
            columns, rows = _side(width), _side(height)
        if kind is not None:
            yield record(kind, time_us, b"" if kind == "resize" else data.encode("utf-8", "replace"))
    yield record("end", time_us)


def _events_of_1(header: dict[str, Any]) -> Iterator[tuple[float, str, str]]:
    seconds = 0.0
    frames = header.get("stdout")
    for frame in frames if isinstance(frames, list) else []:
        if not (isinstance(frame, list) and len(frame) == 2 and isinstance(frame[1], str)):
            raise MalformedError("a frame of stdout is not a delay and a text", "bad_asciicast")
        seconds += _number(frame[0], 1)
        yield seconds, "o", frame[1]


def _events_of_2(file: IO[str]) -> Iterator[tuple[float, str, str]]:
    number = 1
    while line := file.readline(MAX_LINE):
        number += 1
        if not line.strip():
            continue
        event = _parse(line, number)
        if not (isinstance(event, list) and len(event) == 3 and all(isinstance(part, str) for part in event[1:])):
            raise MalformedError(f"line {number} is not an event", "bad_asciicast")
        yield _number(event[0], number), event[1], event[2]


def _parse(text: str, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError(f"line {number} is not JSON", "bad_asciicast") from None


def _number(value: Any, line: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e10:
        raise MalformedError(f"line {line} has no usable time", "bad_asciicast")
    return float(value)


def _side(value: Any) -> int:
    try:
        side = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return side if 0 <= side <= 65535 else 0
