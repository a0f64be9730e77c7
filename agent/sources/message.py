"""A message as mail programs store it, read into what the email stream keeps of it.

Never raises for what a message says, however it was made, and never keeps an attachment's content.
"""

from __future__ import annotations

import binascii
import email.errors
import email.header
import email.utils
import hashlib
import re
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent.sources.markup import read_html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.records import Record

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Of a larger message the beginning is read."""

MAX_TEXT = 1_000_000
"""Characters of a message's text that are kept."""

MAX_PARTS = 1000
MAX_MARKS = 20_000
"""Lines that may begin a part; each costs a kilobyte of memory, whatever is in it."""

MAX_DEPTH = 50
_MAX_HEADER = 4096
_MAX_NAME = 255
_MAX_RECIPIENTS = 1000
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FOLDS = re.compile(r"[\r\n]+[ \t]*")
_MARK = re.compile(rb"(?m)^--")
_MULTIPART = re.compile(rb"(?im)^content-type:[ \t]*(?:\r?\n[ \t]+)?multipart/")
_LONG_KIND = re.compile(rb"(?im)^content-(?:type|disposition):(?:[^\n]|\n[ \t]){8192}")
_BAD = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    binascii.Error,
    email.errors.HeaderParseError,
)


def read_message(data: bytes, *, size: int, folder: str, time_us: int) -> Record:
    """The `EmailEvent` for a message; `size` is that of the whole, `data` may be its beginning."""
    message = _parse(data)
    plain: list[str] = []
    marked_up: list[str] = []
    attachments: list[Record] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        if _is_attachment(part, kind):
            attachments.append(_describe(part, kind))
        elif sum(map(len, plain if kind == "text/plain" else marked_up)) < MAX_TEXT:
            (plain if kind == "text/plain" else marked_up).append(_text(part))
    text = "\n".join(plain)
    if not text.strip() and marked_up:
        text = read_html("\n".join(marked_up)[: 2 * MAX_TEXT])
    if size > len(data) and attachments:
        attachments.pop()  # it may be cut: its hash would be of something else
    return {
        "time_us": time_us,
        "message_id": _header(message, "message-id").strip()[:_MAX_HEADER],
        "folder": _clean(folder)[:_MAX_HEADER],
        "sender": _header(message, "from")[:_MAX_HEADER],
        "recipients": _recipients(message),
        "subject": _header(message, "subject")[:_MAX_HEADER],
        "sent_ms": _sent_ms(_header(message, "date")),
        "text": _clean(text)[:MAX_TEXT],
        "attachments": attachments,
        "size": size,
    }


def _parse(data: bytes) -> Message:
    """Many parts within parts, and endless parameters, take quadratic time: of such a message only its headers.

    Of one with very many parts, the beginning.
    """
    beyond = next(islice(_MARK.finditer(data), MAX_MARKS, None), None)
    if beyond is not None:
        data = data[: beyond.start()]
    if len(_MULTIPART.findall(data)) <= MAX_DEPTH and _LONG_KIND.search(data) is None:
        try:
            return BytesParser().parsebytes(data)
        except _BAD:
            pass
    try:
        message = BytesHeaderParser().parsebytes(data[:MAX_TEXT])
    except _BAD:
        return Message()
    for name in ("content-type", "content-disposition"):
        del message[name]
    return message


def _leaves(message: Message) -> Iterator[Message]:
    """Parts that hold content, in their order; those of enclosed messages too."""
    waiting: list[Any] = [message]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        part = waiting.pop()
        payload = part.get_payload() if part.is_multipart() else None
        if isinstance(payload, list):
            waiting.extend(reversed(payload))
        elif part.get_content_maintype() != "multipart" or part is message:
            yield part


def _is_attachment(part: Message, kind: str) -> bool:
    try:
        disposition = part.get_content_disposition()
        named = part.get_filename() is not None
    except _BAD:
        return True
    return disposition == "attachment" or named or kind not in ("text/plain", "text/html")


def _describe(part: Message, kind: str) -> Record:
    content = _content(part)
    try:
        name = part.get_filename() or ""
    except _BAD:
        name = ""
    return {
        "name": _decode(name)[:_MAX_NAME],
        "content_type": _clean(kind)[:_MAX_NAME],
        "size": len(content),
        "sha256": hashlib.sha256(content).digest(),
    }


def _content(part: Message) -> bytes:
    try:
        content = part.get_payload(decode=True)
    except _BAD:
        content = None
    return content if isinstance(content, bytes) else b""


def _text(part: Message) -> str:
    content = _content(part)[: 4 * MAX_TEXT]
    for charset in (_charset(part), "utf-8"):
        try:
            return content.decode(charset)
        except _BAD:
            continue
    return content.decode("latin-1")


def _charset(part: Message) -> str:
    try:
        return part.get_content_charset("utf-8")
    except _BAD:
        return "utf-8"


def _header(message: Message, name: str) -> str:
    for key, value in message.raw_items():
        if key.lower() == name:
            return _decode(str(value))
    return ""


def _recipients(message: Message) -> list[str]:
    found: list[str] = []
    for name in ("to", "cc", "bcc"):
        raw = [_FOLDS.sub(" ", str(value)) for key, value in message.raw_items() if key.lower() == name]
        try:
            pairs = email.utils.getaddresses([text[: 64 * _MAX_HEADER] for text in raw])
        except _BAD:
            pairs = [("", text) for text in raw]
        shown = (f"{_decode(person)} <{_clean(address)}>" if person else _clean(address) for person, address in pairs)
        found += [text[:_MAX_HEADER] for text in shown if text]
    return found[:_MAX_RECIPIENTS]


def _sent_ms(date: str) -> int | None:
    try:
        return int(email.utils.parsedate_to_datetime(date).timestamp() * 1000)
    except (*_BAD, OverflowError, OSError, IndexError):
        return None


def _decode(value: str) -> str:
    """A header's text: RFC 2047 words decoded, raw bytes as UTF-8."""
    value = _FOLDS.sub(" ", value)[: 16 * _MAX_HEADER]
    if "=?" not in value:
        return _clean(value)
    try:
        return _clean("".join(_decode_word(word, charset) for word, charset in email.header.decode_header(value)))
    except _BAD:
        return _clean(value)


def _decode_word(word: bytes | str, charset: str | None) -> str:
    if isinstance(word, str):
        return word
    try:
        return word.decode(charset or "utf-8", "replace")
    except LookupError:
        return word.decode("latin-1")


def _clean(text: str) -> str:
    """Text that any encoder takes: no half characters, no control characters but for line ends and tabs."""
    return _CONTROLS.sub(
        "", text.encode("utf-8", "surrogateescape" if _escaped(text) else "replace").decode("utf-8", "replace")
    )


def _escaped(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
