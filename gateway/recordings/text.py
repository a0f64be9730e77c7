"""What can be read in recordings, as lines of text with their times: mails, terminals, titles of windows.

Never has a word of what is end to end; text on screens is not read here, it comes from what was mined.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator

from gateway.recordings.asking import Ask
from gateway.recordings.jobs import Steps, Tools
from gateway.recordings.library import Group, Visit, opened_of
from gateway.recordings.text_lines import entry
from infra.text.terminal import Passage, TerminalReader
from schemas.errors import MalformedError, OpenError
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened
from schemas.records import Record, decode_segment

HELD_PASSAGES = 256
"""Groups of lines of a terminal that may still grow."""


def serve_text(tools: Tools, ask: Ask) -> Steps:
    """UTF-8 lines, stream by stream."""
    visit = tools.library.visit(ask)
    counts = {"segments": 0, "sealed": 0}
    for kind in ask.kinds:
        for agent in ask.agents:
            if kind is StreamKind.KEYSTROKES:
                yield from _terminals(visit, ask, agent, counts)
            elif kind in {StreamKind.EMAIL, StreamKind.ACTIVITY}:
                yield from _events(visit, ask, kind, agent, counts)
    return {**counts, "reads": visit.reads}


def _events(visit: Visit, ask: Ask, kind: StreamKind, agent: bytes, counts: dict[str, int]) -> Generator[bytes]:
    shown = ("", "")
    for group in visit.groups(kind, agent):
        for event in _decoded(visit, ask, group, counts)[1]:
            if kind is StreamKind.EMAIL:
                yield _mail(event)
                continue
            title = (event["application"], event["title"] or event["path"])
            if title != shown and event["kind"] in {"focus", "file"} and any(title):
                shown = title
                yield entry(event["time_us"] // 1000, "window", "  ".join(filter(None, title)))
        yield b""


def _terminals(visit: Visit, ask: Ask, agent: bytes, counts: dict[str, int]) -> Generator[bytes]:
    reader = TerminalReader()
    held: OrderedDict[tuple[object, int], Passage] = OrderedDict()
    for group in visit.groups(StreamKind.KEYSTROKES, agent):
        opened, events = _decoded(visit, ask, group, counts)
        for passage in reader.read(opened.id, events) if opened else ():
            held[passage.source, passage.ordinal] = passage
            held.move_to_end((passage.source, passage.ordinal))
        while len(held) > HELD_PASSAGES:
            yield _terminal(held.popitem(last=False)[1])
        yield b""
    for passage in sorted(held.values(), key=lambda one: one.time_us):
        yield _terminal(passage)


def _decoded(visit: Visit, ask: Ask, group: Group, counts: dict[str, int]) -> tuple[Opened | None, list[Record]]:
    if not ask.holds(group.capture_ms):
        return None, []
    try:
        opened = opened_of(visit, group)
        if opened is None:
            counts["sealed"] += 1
            return None, []
        if opened.record.content_type != ContentType.SEGMENT:
            return None, []
        events = decode_segment(group.kind, opened.plaintext)
    except (OpenError, MalformedError):
        return None, []
    counts["segments"] += 1
    return opened, events


def _mail(event: Record) -> bytes:
    attachments = ", ".join(one["name"] for one in event["attachments"])
    lines = [
        f"From: {event['sender']}",
        f"To: {', '.join(event['recipients'])}",
        f"Subject: {event['subject']}",
        *([f"Attachments: {attachments}"] if attachments else []),
        "",
        event["text"],
    ]
    return entry(event["time_us"] // 1000, "mail", "\n".join(lines))


def _terminal(passage: Passage) -> bytes:
    return entry(passage.time_us // 1000, "terminal", f"{passage.title}\n{passage.text}".strip("\n"))
