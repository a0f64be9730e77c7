"""Messages to documents: one a message, and more where a message's text is too long for one.

Never drops text: what does not fit the first document goes on in further ones.
"""

from __future__ import annotations

from schemas.records import Record
from streams.segment import Segment

TEXT_CHARACTERS = 200_000
"""The most text of one document: 800 kB at worst, within what a topic takes."""

CONTINUATION = 10_000
"""Ordinals of the n-th continuation begin at n times this."""


def email_documents(segment: Segment) -> list[Record]:
    """The documents of an email segment, ordinal after the message's place in it."""
    return [document for index, event in enumerate(segment.events) for document in _documents(segment, index, event)]


def _documents(segment: Segment, index: int, event: Record) -> list[Record]:
    text = event["text"]
    starts = range(0, max(len(text), 1), TEXT_CHARACTERS)
    time_ms = event["time_us"] // 1000
    return [
        segment.document(
            "email",
            ordinal=number * CONTINUATION + index,
            time_ms=time_ms,
            until_ms=time_ms,
            title=event["subject"],
            text=text[start : start + TEXT_CHARACTERS],
            sender=event["sender"],
            recipients=event["recipients"],
            attachments=[attachment["name"] for attachment in event["attachments"]],
        )
        for number, start in enumerate(starts)
    ]
