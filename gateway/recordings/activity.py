"""Spans of what was in front, out of the segments of activity: for the timeline.

Never invents a span: what was not recorded has none, and what differs is not joined.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.recordings.asking import Ask
from gateway.recordings.jobs import Steps, Tools
from gateway.recordings.library import Group, Visit, opened_of
from schemas.errors import MalformedError, OpenError
from schemas.kinds import ContentType, StreamKind
from schemas.records import decode_segment

MOST_SPANS = 2000
JOINED_MS = 2_000
MOST_KNOWN = 100_000
"""Segments whose spans are remembered."""

_PIECE_BYTES = 128 * 1024


class Span(NamedTuple):
    """What was in front from when until when."""

    from_ms: int
    until_ms: int
    application: str
    title: str
    idle: bool
    paused: bool


def serve_activity(tools: Tools, ask: Ask) -> Steps:
    """A JSON array of `[agent, from, until, application, title, idle, paused]`; `cut` when there were more."""
    visit = tools.library.visit(ask)
    rows: list[list[object]] = []
    cut = False
    for agent in ask.agents:
        spans: list[Span] = []
        for number, group in enumerate(visit.groups(StreamKind.ACTIVITY, agent)):
            if number % 32 == 0:
                yield b""
            spans += _spans_of(tools, visit, group)
        wanted = [span for span in spans if span.until_ms > ask.since_ms and span.from_ms < ask.until_ms]
        joined = list(join_spans(wanted))
        cut = cut or len(joined) > MOST_SPANS
        rows += [[agent.hex(), *span] for span in joined[:MOST_SPANS]]
    body = json.dumps(rows, separators=(",", ":")).encode()
    for at in range(0, len(body), _PIECE_BYTES):
        yield body[at : at + _PIECE_BYTES]
    return {"cut": cut, "reads": visit.reads}


def _spans_of(tools: Tools, visit: Visit, group: Group) -> list[Span]:
    place = group.first.id.epoch_id, group.first.id.sequence
    known = tools.spans.get(place)
    if known is None:
        try:
            opened = opened_of(visit, group)
        except (OpenError, MalformedError):
            return []
        if opened is None or opened.record.content_type != ContentType.SEGMENT:
            return []
        try:
            known = list(_read(decode_segment(StreamKind.ACTIVITY, opened.plaintext)))
        except MalformedError:
            known = []
        if len(tools.spans) >= MOST_KNOWN:
            tools.spans.clear()
        tools.spans[place] = known
    return known


def _read(events: Iterable[dict[str, object]]) -> Iterator[Span]:
    for event in events:
        kind = str(event["kind"])
        if kind == "file":
            continue
        start_ms = int(str(event["time_us"])) // 1000
        until_ms = start_ms + int(str(event["duration_us"])) // 1000
        yield Span(start_ms, until_ms, str(event["application"]), str(event["title"]), kind == "idle", kind == "paused")


def join_spans(spans: Iterable[Span]) -> Iterator[Span]:
    """Spans in order of time; those alike that follow each other within two seconds are one."""
    held: Span | None = None
    for span in sorted(spans):
        if held is not None and held[2:] == span[2:] and span.from_ms - held.until_ms <= JOINED_MS:
            held = held._replace(until_ms=max(held.until_ms, span.until_ms))
            continue
        if held is not None:
            yield held
        held = span
    if held is not None:
        yield held
