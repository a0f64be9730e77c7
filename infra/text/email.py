"""Messages to passages: one a message, and more where a message's text is too long for one.

Never drops text: what does not fit the first passage goes on in further ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.records import Record

TEXT_CHARACTERS = 200_000
"""The most text of one passage: 800 kB at worst, within what a topic takes."""

CONTINUATION = 10_000
"""Ordinals of the n-th continuation begin at n times this."""


class Message(NamedTuple):
    """A message's text, or a part of it; `ordinal` is its place in the segment. Fields are as a `Document` has them."""

    ordinal: int
    time_ms: int
    title: str
    text: str
    sender: str
    recipients: list[str]
    attachments: list[str]


def email_passages(events: Sequence[Record]) -> Iterator[Message]:
    """What there is to read in the events of an email segment."""
    for index, event in enumerate(events):
        text = event["text"]
        for number, start in enumerate(range(0, max(len(text), 1), TEXT_CHARACTERS)):
            yield Message(
                number * CONTINUATION + index,
                event["time_us"] // 1000,
                event["subject"],
                text[start : start + TEXT_CHARACTERS],
                event["sender"],
                event["recipients"],
                [attachment["name"] for attachment in event["attachments"]],
            )
