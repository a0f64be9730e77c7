"""One document: its whole text, and where on the screen its words stand.

Never shows a document of a person whom the account may not see: there is none then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from gateway.api.access import Permission, Principal, needs
from gateway.api.errors import not_found
from gateway.api.recordings.scope import Purpose
from gateway.api.search.answers import Frozen, HitRow, display_of, time_of
from gateway.api.search.pieces import Piece, marked_lines, pieces_of
from gateway.api.search.scope import Words
from gateway.api.services import Serving
from gateway.recordings.seen import Look, Stretch, told
from sinks.elasticsearch.documents import read_document
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.search import Question

router = APIRouter(prefix="/search")

_ID = r"^[0-9a-f-]{36}-[0-9a-f]{32}-[0-9]+-[0-9]+$"


class LineRow(Frozen):
    """A line of text on a screen, in pixels of the display; `hit`: it has a word of the question."""

    text: str
    x: int
    y: int
    width: int
    height: int
    display: int
    appeared_ms: int
    went_ms: int | None
    hit: bool


class DocumentAnswer(HitRow):
    """A document whole."""

    text: list[Piece]
    lines: list[LineRow]


@router.get("/documents/{index}/{document_id}")
async def show_document(
    principal: Annotated[Principal, needs(Permission.SEARCH)],
    services: Serving,
    *,
    index: Annotated[str, Path(max_length=255)],
    document_id: Annotated[str, Path(max_length=255, pattern=_ID)],
    q: Words = "",
    fuzzy: Annotated[bool, Query()] = False,
    purpose: Purpose = "",
) -> DocumentAnswer:
    """The text of a document with the words of `q` marked, and its lines with their places."""
    prefix = services.settings.elasticsearch.index_prefix
    if not index.startswith(f"{alias_name(prefix)}-"):
        raise not_found("document")
    question = Question(q, persons=principal.persons, fuzzy=fuzzy)
    found = await read_document(services.elasticsearch, prefix, document_id, question)
    if found is None or not principal.may_see(found["_source"]["user"]):
        raise not_found("document")
    source = found["_source"]

    async def write(outcome: str, stretches: Sequence[Stretch]) -> None:
        target, detail = f"{source['agent_id']} {source['stream']}", {"persons": source["user"], **told(stretches)}
        await services.audit(principal, "view", target, purpose=purpose.strip(), outcome=outcome, **detail)

    look = Look(principal.actor, source["agent_id"], f"text {source['stream']}", purpose.strip())
    time_ms, until_ms = time_of(source["@timestamp"]), time_of(source["until"])
    await services.recordings.seen.note(look, time_ms, until_ms + 1, write)
    return _answer(found, time_ms, until_ms)


def _answer(found: dict[str, Any], time_ms: int, until_ms: int) -> DocumentAnswer:
    source, marked = found["_source"], found.get("highlight", {})
    text = marked.get("text", [source["text"]])[0]
    lines = _lines(source, text)
    hits = [line for line in lines if line.hit] or lines
    screen = source["kind"] == "screen"
    return DocumentAnswer(
        id=found["_id"],
        index=found["_index"],
        score=found.get("_score"),
        time_ms=time_ms,
        until_ms=until_ms,
        agent_id=source["agent_id"],
        person=source["user"],
        computer=source["computer"],
        stream=source["stream"],
        kind=source["kind"],
        application=source["application"],
        title=pieces_of(marked.get("title", [source["title"]])[0]),
        fragments=[pieces_of(one) for name in ("sender", "recipients", "attachments") for one in marked.get(name, ())],
        display=display_of(found["_id"]) if screen else None,
        frame_at_ms=_frame_at(hits, until_ms) if screen else None,
        session=source.get("session", ""),
        sender=source.get("sender", ""),
        recipients=list(source.get("recipients") or ()),
        attachments=list(source.get("attachments") or ()),
        text=pieces_of(text),
        lines=lines,
    )


def _lines(source: dict[str, Any], marked: str) -> list[LineRow]:
    """The lines with their places; a document's text has one line for each."""
    lines = source.get("lines") or []
    hits = marked_lines(marked)
    return [
        LineRow(
            text=line["text"],
            x=line["x"],
            y=line["y"],
            width=line["width"],
            height=line["height"],
            display=line.get("display", 0),
            appeared_ms=line["appeared_ms"],
            went_ms=line.get("went_ms"),
            hit=len(hits) == len(lines) and hits[number],
        )
        for number, line in enumerate(lines)
    ]


def _frame_at(lines: list[LineRow], until_ms: int) -> int:
    """The moment at which all of these lines are shown, or the first of them."""
    if not lines:
        return until_ms
    latest = max(line.appeared_ms for line in lines)
    gone = [line.went_ms for line in lines if line.went_ms is not None and line.went_ms <= latest]
    return latest if not gone else min(line.appeared_ms for line in lines)
