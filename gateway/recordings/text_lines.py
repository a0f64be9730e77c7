"""The entries of a text of recordings.

Never imports what reads recordings: the gateway writes such entries too.
"""

from __future__ import annotations

from datetime import UTC, datetime


def entry(time_ms: int, kind: str, text: str) -> bytes:
    """One entry of the file: when, what, and the text below it, indented."""
    when = datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    body = "\n".join(f"    {line}".rstrip() for line in text.replace("\r", "").split("\n"))
    return f"{when}Z  {kind}\n{body}\n\n".encode("utf-8", "replace")
