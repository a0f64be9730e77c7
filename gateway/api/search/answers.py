"""What a search answers: hits with their words, facets, and the moment to jump to.

Never carries a document's lines: one document has them, when it is asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from gateway.api.errors import ApiError
from gateway.api.search.pieces import Piece, pieces_of
from gateway.api.times import to_ms

if TYPE_CHECKING:
    from sinks.elasticsearch.facets import Facets
    from sinks.elasticsearch.search import Hit

MAX_AFTER = 2000


class Frozen(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class HitRow(Frozen):
    """A text that was found. `frame_at_ms`: when its screen shows it."""

    id: str
    index: str
    score: float | None
    time_ms: int
    until_ms: int
    agent_id: str
    person: str
    computer: str
    stream: str
    kind: str
    application: str
    title: list[Piece]
    fragments: list[list[Piece]]
    display: int | None
    frame_at_ms: int | None
    session: str
    sender: str
    recipients: list[str]
    attachments: list[str]


class FacetValue(Frozen):
    """A value, and how many hits have it."""

    value: str
    count: int


class FacetDay(Frozen):
    """How many hits fall in a stretch of time."""

    from_ms: int
    until_ms: int
    count: int


class FacetRows(Frozen):
    """What the hits are like."""

    person: list[FacetValue]
    computer: list[FacetValue]
    stream: list[FacetValue]
    kind: list[FacetValue]
    application: list[FacetValue]
    days: list[FacetDay]


class SearchAnswer(Frozen):
    """The best hits. `at_least`: there are `total` or more; `took_ms`: Elasticsearch's own time."""

    total: int
    at_least: bool
    took_ms: int
    after: str | None
    hits: list[HitRow]
    facets: FacetRows | None
    end_to_end: int
    """End-to-end texts in scope, which only the blind search finds."""


def hit_row(hit: Hit) -> HitRow:
    """A hit as the page gets it."""
    source = hit.source
    display = display_of(hit.document_id) if hit.kind == "screen" else None
    return HitRow(
        id=hit.document_id,
        index=hit.index,
        score=hit.score,
        time_ms=to_ms(hit.time),
        until_ms=to_ms(hit.until),
        agent_id=hit.agent_id,
        person=hit.user,
        computer=hit.computer,
        stream=hit.stream,
        kind=hit.kind,
        application=hit.application,
        title=pieces_of(hit.title),
        fragments=[pieces_of(fragment) for fragment in hit.fragments],
        display=display,
        frame_at_ms=None if display is None else to_ms(hit.until),
        session=source.get("session", ""),
        sender=source.get("sender", ""),
        recipients=_texts(source.get("recipients")),
        attachments=_texts(source.get("attachments")),
    )


def display_of(document_id: str) -> int:
    """The display that a screen's document is about: the last number of its id."""
    return int(document_id.rsplit("-", 1)[1])


def facet_rows(facets: Facets, spelled: Mapping[str, str]) -> FacetRows:
    """Facets as the page gets them; people as their agents spell them."""
    rows = {
        name: [FacetValue(value=value, count=count) for value, count in counts]
        for name, counts in facets.values.items()
    }
    rows["person"] = [FacetValue(value=spelled.get(one.value, one.value), count=one.count) for one in rows["person"]]
    days = [FacetDay(from_ms=one.from_ms, until_ms=one.until_ms, count=one.count) for one in facets.days]
    return FacetRows(days=days, **rows)


def encode_after(after: Sequence[Any] | None) -> str | None:
    """Where the next page begins, as text."""
    if after is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(list(after)).encode()).decode().rstrip("=")


def decode_after(text: str) -> list[Any] | None:
    """The way back; raises `ApiError`."""
    if not text:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        after = None
    if not isinstance(after, list) or not all(isinstance(one, str | int | float) for one in after):
        raise ApiError(400, "bad_page", "`after` is what the page before said")
    return after


def time_of(text: str) -> int:
    """A time of Elasticsearch in milliseconds."""
    return to_ms(datetime.fromisoformat(text))


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
