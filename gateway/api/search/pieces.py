"""Text in pieces: what was found and what stands round it, so that a page needs no markup.

Never lets a mark of the search through to the page.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from sinks.elasticsearch.search import MARK_END, MARK_START


class Piece(BaseModel):
    """A piece of a text; `hit`: it is what was searched for."""

    model_config = ConfigDict(frozen=True)

    text: str
    hit: bool


def pieces_of(marked: str) -> list[Piece]:
    """The pieces of a text with marks round its hits."""
    pieces: list[Piece] = []
    for number, part in enumerate(marked.split(MARK_START)):
        inside, mark, outside = part.partition(MARK_END)
        if number and mark:
            pieces += [Piece(text=inside, hit=True), Piece(text=outside, hit=False)]
        else:
            pieces.append(Piece(text=inside + outside, hit=False))
    return [piece for piece in pieces if piece.text]


def marked_lines(marked: str) -> list[bool]:
    """Of each line of a marked text whether something in it is marked; a mark may go over several lines."""
    lines: list[bool] = []
    inside = False
    for line in marked.split("\n"):
        lines.append(inside or MARK_START in line)
        if MARK_START in line or MARK_END in line:
            inside = line.rfind(MARK_START) > line.rfind(MARK_END)
    return lines
