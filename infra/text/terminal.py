"""Terminal sessions to text as a person reads it: groups of lines that grow until they end.

Never lets a word be cut by a segment's border, and never reports what was typed while echo was off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from infra.text.emulator import MAX_TITLE, Emulator
from infra.text.looks import Looks
from infra.text.page import Line
from infra.text.typing import LineEditor
from schemas.identity import EnvelopeId
from schemas.records import Record

GROUP_CHARACTERS = 4000
LOOKS_CHARACTERS = 16_000
QUIET_US = 30_000_000
GROUP_US = 120_000_000
MAX_SESSIONS = 256
_CHUNK = 4096
_JOINED_BYTES = 1024
_JOINED_US = 1_000_000
"""Pieces of output that follow each other are read as one, up to so much: programs write line by line."""


@dataclass(frozen=True, slots=True)
class Passage:
    """The text of one group of lines so far. `source` and `ordinal` say where it began: its identity."""

    source: EnvelopeId
    ordinal: int
    session: str
    title: str
    text: str
    time_us: int
    until_us: int


@dataclass(slots=True)
class _Group:
    source: EnvelopeId
    ordinal: int
    time_us: int
    until_us: int
    looks: Looks | None
    finished: list[Line] = field(default_factory=list)
    characters: int = 0
    typed: list[str] = field(default_factory=list)
    told: str = ""


class _Session:
    """One terminal: its emulator, the line being typed, and the group that grows."""

    def __init__(self, name: str, command: str) -> None:
        self._name = name
        self._command = command
        self._terminal = Emulator()
        self._editor = LineEditor()
        self._group: _Group | None = None
        self._typed = False
        self._ordinals: Iterator[int] = iter(())
        self._source: EnvelopeId | None = None
        self._passages: dict[tuple[EnvelopeId, int], Passage] = {}

    def begin(self, source: EnvelopeId, ordinals: Iterator[int]) -> None:
        """Events of the segment at `source` follow. A new epoch begins a new group."""
        if self._source is not None and self._source.epoch_id != source.epoch_id:
            self._close()
        self._source, self._ordinals = source, ordinals
        self._passages = {}

    def end(self) -> list[Passage]:
        """The groups that this segment changed."""
        if self._group is not None:
            self._tell(self._group)
        return list(self._passages.values())

    def take(self, event: Record) -> None:
        """Take one event of this session."""
        time_us = event["time_us"]
        if self._group is not None and (
            time_us - self._group.until_us > QUIET_US or time_us - self._group.time_us > GROUP_US
        ):
            self._close()
        if event["columns"] and event["rows"]:
            self._terminal.resize(event["columns"], event["rows"])
        match event["kind"]:
            case "start":
                self._command = event["data"][: 4 * MAX_TITLE].decode("utf-8", "replace")[:MAX_TITLE]
                self._terminal.stand(event["title"], alternate=event["alternate"], switch=self._close)
            case "input":
                self._take_input(event, time_us)
            case "output":
                for at in range(0, len(event["data"]), _CHUNK):
                    self._take_output(event["data"][at : at + _CHUNK], time_us)
                if self._group is not None:
                    self._group.until_us = max(self._group.until_us, int(event.get("until_us") or time_us))
            case "end":
                self._close()

    def _take_input(self, event: Record, time_us: int) -> None:
        if event["masked"]:
            self._editor.clear()
            return
        group = self._open(time_us)
        if group.looks is not None:
            self._look(group)
            self._typed = True
            self._editor.clear()
            return
        group.typed.extend(self._editor.feed(event["data"]))

    def _take_output(self, data: bytes, time_us: int) -> None:
        group = self._open(time_us)
        self._terminal.feed(data, self._close)
        if group is not self._group:  # the page changed: what follows belongs to a new group
            group = self._open(time_us)
        self._collect(group)
        if group.characters > GROUP_CHARACTERS or (group.looks and group.looks.characters > LOOKS_CHARACTERS):
            self._close(cut=True)

    def _collect(self, group: _Group) -> None:
        """Take the lines that went off the page; those of a full-screen program are seen by its looks."""
        page = self._terminal.page
        gone, page.gone = page.gone, []
        if group.looks is None:
            fresh = [line for line in gone if not line.closed]
            group.finished.extend(fresh)
            group.characters += sum(len(line.cells) for line in fresh)

    def _open(self, time_us: int) -> _Group:
        if self._group is None:
            assert self._source is not None
            looks = Looks() if self._terminal.alternate else None
            self._group = _Group(self._source, next(self._ordinals), time_us, time_us, looks)
        self._group.until_us = max(self._group.until_us, time_us)
        return self._group

    def _close(self, *, cut: bool = False) -> None:
        """End the group: the lines above the one being written are told, and not told again.

        The line being written belongs to the next group too; to this one not, when it is `cut` for its length.
        """
        group, self._group = self._group, None
        if group is None:
            return
        self._tell(group, finished_only=cut)
        if group.looks is None:
            for line in self._finished():
                line.closed = True

    def _finished(self) -> list[Line]:
        """The lines above the one being written."""
        page = self._terminal.page
        writing = page.y
        while writing > 0 and page.lines[writing].wrapped:
            writing -= 1
        return page.lines[:writing]

    def _tell(self, group: _Group, *, finished_only: bool = False) -> None:
        if group.looks is not None:
            self._look(group)
            text = group.looks.text
        else:
            self._collect(group)
            visible = self._finished() if finished_only else self._terminal.page.lines
            fresh = [line for line in visible if not line.closed]
            text = _with_typed(_joined([*group.finished, *fresh]), group.typed)
        if text == group.told:
            return
        group.told = text
        title = self._terminal.title or self._command
        self._passages[group.source, group.ordinal] = Passage(
            group.source, group.ordinal, self._name, title, text, group.time_us, group.until_us
        )

    def _look(self, group: _Group) -> None:
        if group.looks is not None and self._terminal.alternate:
            group.looks.look(_joined(self._terminal.page.lines, keep_blank=True).split("\n"), typed=self._typed)
            self._typed = False


class TerminalReader:
    """The terminal sessions of one agent. What it says of a segment depends on the segments before it alone."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def read(self, source: EnvelopeId, events: Sequence[Record]) -> list[Passage]:
        """The passages that the segment at `source` begins, changes or ends."""
        ordinals = iter(range(1_000_000))
        touched: dict[str, _Session] = {}
        for event in _joined_output(events):
            name = event["session"]
            if name not in touched:
                touched[name] = self._session(name)
                touched[name].begin(source, ordinals)
            touched[name].take(event)
            if event["kind"] == "end":
                self._sessions.pop(name, None)
        return [passage for session in touched.values() for passage in session.end()]

    def _session(self, name: str) -> _Session:
        session = self._sessions.setdefault(name, _Session(name, ""))
        self._sessions.move_to_end(name)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return session


def _joined_output(events: Sequence[Record]) -> Iterator[Record]:
    """The events, with pieces of plain output that follow each other as one; it lasts until its `until_us`."""
    held: Record | None = None
    pieces: list[bytes] = []
    size = 0
    for event in events:
        data = event["data"]
        plain = event["kind"] == "output" and len(data) < _JOINED_BYTES and b"\x1b[?" not in data
        if (
            held is not None
            and plain
            and size + len(data) <= _JOINED_BYTES
            and event["session"] == held["session"]
            and 0 <= event["time_us"] - held["time_us"] <= _JOINED_US
            and (event["columns"], event["rows"]) == (held["columns"], held["rows"])
        ):
            pieces.append(data)
            size += len(data)
            held["until_us"] = event["time_us"]
            continue
        if held is not None:
            yield {**held, "data": b"".join(pieces)}
            held = None
        if plain:
            held, pieces, size = {**event}, [data], len(data)
        else:
            yield event
    if held is not None:
        yield {**held, "data": b"".join(pieces)}


def _joined(lines: Sequence[Line], *, keep_blank: bool = False) -> str:
    """Lines as text; a line that was wrapped at the terminal's edge is one line again."""
    texts: list[str] = []
    for line in lines:
        text = "".join(line.cells)
        if line.wrapped and texts:
            texts[-1] += text
        else:
            texts.append(text)
    stripped = [text.rstrip() for text in texts]
    if keep_blank:
        return "\n".join(stripped)
    return "\n".join(stripped).strip("\n")


def _with_typed(shown: str, typed: Sequence[str]) -> str:
    """What was shown, and below it what was typed and not shown."""
    if not typed:
        return shown
    flat = " ".join(shown.split())
    unseen = [line for line in typed if " ".join(line.split()) not in flat]
    return "\n".join(part for part in (shown, *unseen) if part)
