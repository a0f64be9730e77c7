"""Messages to documents.

Never reads a message by itself: `infra.text.email` does.
"""

from __future__ import annotations

from infra.text.email import email_passages
from schemas.records import Record
from streams.segment import Segment


def email_documents(segment: Segment) -> list[Record]:
    """The documents of an email segment, ordinal after the message's place in it."""
    return [
        segment.document("email", until_ms=message.time_ms, **message._asdict())
        for message in email_passages(segment.events)
    ]
