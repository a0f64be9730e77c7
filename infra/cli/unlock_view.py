"""How a person sees what was unlocked: JSON lines, text, or files with pictures.

Never writes a file that others can read, and never lets recorded text command the terminal.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from infra.cli.envelope import bytes_as_text
from infra.cli.plain import plain_json, plain_line
from schemas.errors import ConfigError
from schemas.identity import EnvelopeId, agent_bytes
from schemas.kinds import ContentType, StreamKind
from schemas.records import Record, decode_segment, decode_text

if TYPE_CHECKING:
    from infra.text.terminal import Passage
    from schemas.canvas import Canvas

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class View(Protocol):
    """Where released segments go."""

    def show(self, about: dict[str, Any], segment: bytearray) -> None:
        """Take one segment; it is wiped afterwards."""

    def close(self) -> None:
        """There are no more."""


class JsonView:
    """One JSON object an event, with agent and stream."""

    def show(self, about: dict[str, Any], segment: bytearray) -> None:
        """Print the segment's events."""
        for event in events_of(about, segment):
            print(plain_json({**about, **event}, default=bytes_as_text))

    def close(self) -> None:
        """Nothing is kept."""


class TextView:
    """Mails, terminals and titles of windows as people read them."""

    def __init__(self) -> None:
        self._terminals = Terminals()

    def show(self, about: dict[str, Any], segment: bytearray) -> None:
        """Print it, or keep it until its terminal's text is whole."""
        for line in self._lines(about, segment):
            print(line)

    def _lines(self, about: dict[str, Any], segment: bytearray) -> list[str]:
        events = events_of(about, segment)
        if _tells_again(about):
            return []
        if about["content_type"] != ContentType.SEGMENT:
            return [line for event in events for line in _passage_lines(about, event)]
        match about["stream"]:
            case "keystrokes":
                self._terminals.take(about, events)
                return []
            case "email":
                return [line for event in events for line in (*mail_lines(event), "")]
            case "screen":
                return [f"{moment(event['time_us'])}  screen  {_window(event)}" for event in events]
            case _:
                return [plain_json({**about, **event}, default=bytes_as_text) for event in events]

    def close(self) -> None:
        """Print the terminals."""
        for passage in self._terminals.passages():
            print(f"{moment(passage.time_us)}  terminal  {plain_line(passage.title)}")
            print("".join(f"    {plain_line(line)}\n" for line in passage.text.splitlines()))


class FileView:
    """Files in one directory: a PNG a frame, a text file a mail and a terminal, a JSON line an event of the rest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._terminals = Terminals()
        self._displays: dict[tuple[str, int], Canvas] = {}
        self._files = 0
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"{directory} cannot be made: {error.strerror}") from None

    def show(self, about: dict[str, Any], segment: bytearray) -> None:
        """Write its files."""
        events = events_of(about, segment)
        if _tells_again(about):
            return
        if about["content_type"] != ContentType.SEGMENT:
            text = "\n".join(line for event in events for line in _passage_lines(about, event))
            self._write(f"{_stamp(about['capture_ms'] * 1000)}-{about['stream']}-text.txt", text)
        elif about["stream"] == "screen":
            for event in events:
                self._draw(about, event)
        elif about["stream"] == "keystrokes":
            self._terminals.take(about, events)
        elif about["stream"] == "email":
            for event in events:
                name = f"{_stamp(event['time_us'])}-email-{event['subject'][:40]}.txt"
                self._write(name, "\n".join(mail_lines(event, plain=False)))
        else:
            lines = [plain_json({**about, **event}, default=bytes_as_text) for event in events]
            self._write(f"{_stamp(about['capture_ms'] * 1000)}-{about['stream']}.jsonl", "\n".join(lines))

    def close(self) -> None:
        """Write the terminals."""
        for passage in self._terminals.passages():
            self._write(f"{_stamp(passage.time_us)}-terminal.txt", f"{passage.title}\n\n{passage.text}")
        print(f"{self._files} files in {self._directory}", file=sys.stderr)

    def _draw(self, about: dict[str, Any], frame: Record) -> None:
        from io import BytesIO

        from PIL import Image

        from schemas.canvas import Canvas

        canvas = self._displays.setdefault((about["agent"], frame["display"]), Canvas())
        if not canvas.takes(frame):
            return
        canvas.draw(frame)
        picture = BytesIO()
        Image.fromarray(canvas.pixels).save(picture, "PNG")
        self._write(f"{_stamp(frame['time_us'])}-screen-{frame['display']}.png", picture.getvalue())

    def _write(self, name: str, content: str | bytes) -> None:
        """A new file of that name, or with a number where it is taken."""
        stem, dot, ending = _NOT_IN_NAMES.sub("_", name).rpartition(".")
        data = content.encode() if isinstance(content, str) else content
        number = 1
        while True:
            path = self._directory / f"{stem}{f'-{number}' if number > 1 else ''}{dot}{ending}"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                number += 1
                continue
            except OSError as error:
                raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            self._files += 1
            return


class Terminals:
    """The text of terminals as it grows; what it became counts."""

    def __init__(self) -> None:
        from infra.text.terminal import TerminalReader

        self._reader = TerminalReader()
        self._passages: dict[tuple[EnvelopeId, int], Passage] = {}

    def take(self, about: dict[str, Any], events: list[Record]) -> None:
        """The next segment of keystrokes."""
        source = EnvelopeId(agent_bytes(about["agent"]), bytes.fromhex(about["epoch"]), about["sequence"])
        for passage in self._reader.read(source, events):
            self._passages[passage.source, passage.ordinal] = passage

    def passages(self) -> list[Passage]:
        """All of it, the oldest first."""
        return sorted(self._passages.values(), key=lambda passage: passage.time_us)


def events_of(about: dict[str, Any], segment: bytearray) -> list[Record]:
    """The events of a released segment, or the passages of text that was read on the endpoint."""
    if about["content_type"] == ContentType.TEXT:
        return decode_text(bytes(segment))
    return decode_segment(StreamKind.from_label(about["stream"]), bytes(segment))


def _tells_again(about: dict[str, Any]) -> bool:
    """Whether it is the text of what is shown anyway: mails and terminals."""
    return bool(about["content_type"] == ContentType.TEXT and about["stream"] != "screen")


def mail_lines(event: Record, *, plain: bool = True) -> list[str]:
    """A mail as people read it; `plain` for a terminal."""
    show = plain_line if plain else str
    names = ", ".join(attachment["name"] for attachment in event["attachments"])
    head = {
        "Date": moment(event["time_us"]),
        "From": event["sender"],
        "To": ", ".join(event["recipients"]),
        "Subject": event["subject"],
        "Attached": names,
    }
    lines = [f"{name}: {show(value)}" for name, value in head.items() if value]
    return [*lines, "", *(show(line) for line in event["text"].splitlines())]


def moment(time_us: int) -> str:
    """A time as people read it, UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _stamp(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _window(event: Record) -> str:
    size = f"{event['width']} x {event['height']}"
    return "  ".join(part for part in (plain_line(event["application"]), plain_line(event["title"]), size) if part)


def _passage_lines(about: dict[str, Any], passage: Record) -> list[str]:
    """Text that was read on the endpoint."""
    head = (moment(passage["time_us"]), f"{about['stream']} text", passage["application"], passage["title"])
    return [plain_line("  ".join(head)), *(f"    {plain_line(line)}" for line in passage["text"].splitlines())]
