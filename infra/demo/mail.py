"""Mail for the demo and the live tests: messages as mail programs write them, delivered as mail servers deliver them.

Never leaves half a message where a reader looks: written to `tmp`, then moved to `new`.
"""

from __future__ import annotations

import itertools
import os
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_numbers = itertools.count(1)


def make_maildir(path: Path) -> Path:
    """An empty Maildir at `path`, or the one that is there."""
    for name in ("tmp", "new", "cur"):
        (path / name).mkdir(parents=True, exist_ok=True)
    return path


def write_message(
    sender: str, recipient: str, subject: str, text: str, *, attachment: tuple[str, bytes] | None = None
) -> EmailMessage:
    """A message with a plain and an HTML body, and an attachment (name and content) if there is one."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, recipient, subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain="mail.example.com")
    message.set_content(text)
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
    message.add_alternative(f"<html><body>{paragraphs}</body></html>", subtype="html")
    if attachment is not None:
        name, content = attachment
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message


def deliver(maildir: Path, message: EmailMessage | bytes) -> Path:
    """Deliver as maildir(5) says; the message's file in `new`."""
    data = message if isinstance(message, bytes) else message.as_bytes()
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    name = f"{seconds}.M{microseconds}P{os.getpid()}Q{next(_numbers)}.example"
    unfinished = maildir / "tmp" / name
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return unfinished.rename(maildir / "new" / name)
