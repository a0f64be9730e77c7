"""Words by their pixels: what lines that were read taught about lines that are new.

Never believes a word that only one reading told: an error would spread to every line that shows the same pixels.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from infra.ocr.glyphs import Glyph, Glyphs, learn_word, spell_glyphs, spell_word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from infra.ocr.cache import LineCache

_LEAST_SHARE, _SURE_SHARE = 0.2, 0.25
_LEAST_LEAP = 2
_UNSURE_FROM, _UNSURE_TO = 0.3, 0.7
_FEW, _FEW_SHARE = 3, 0.3
_NARROWEST, _WIDEST = 0.12, 1.3
_MOST_LETTERS = 3


class Piece(NamedTuple):
    """A word of a strip: its columns, a key of its pixels, its letters, which of them may end a word, and its text.

    The text is None when it is not known. It holds a blank where what looked like one word was read as two.
    """

    start: int
    end: int
    key: bytes
    glyphs: list[Glyph]
    letters: list[str | None]
    ends: frozenset[int]
    text: str | None

    def reaches(self, text: str, starts: set[int]) -> set[int]:
        """Where the piece may end in a reading when it begins at one of these places.

        A letter that is not known may be a few letters there.
        """
        for number, letter in enumerate(self.letters):
            if letter is None:
                starts = {
                    start + length
                    for start in starts
                    for length in range(1, _MOST_LETTERS + 1)
                    if start + length <= len(text) and " " not in text[start : start + length]
                }
            else:
                starts = {start + len(letter) for start in starts if text.startswith(letter, start)}
            if number in self.ends:
                starts |= {start + 1 for start in starts if text[start : start + 1] == " "}
        return starts


class Blanks(NamedTuple):
    """How wide blanks are in a strip: those from `least` part words, those from `unsure` to below `sure` may."""

    least: float
    unsure: float
    sure: float


def cut_words(cache: LineCache, strip: NDArray[np.uint8]) -> list[Piece]:
    """The words of a strip, as its blanks part them."""
    height = strip.shape[0]
    glyphs = Glyphs(strip)
    widths = [after - end for (_, end), (after, _) in pairwise(glyphs.runs)]
    blanks = _judge(widths, height)
    columns = strip.T.tobytes()
    bounds: list[tuple[int, int, list[int]]] = []
    for (start, end), width in zip(glyphs.runs, [height, *widths], strict=False):
        if bounds and width < max(blanks.least, blanks.sure):
            first, before, ends = bounds.pop()
            bounds.append((first, end, [*ends, before] if width >= blanks.unsure else ends))
        else:
            bounds.append((start, end, []))
    return [
        _piece(cache, start, end, ends, columns[start * height : end * height], glyphs) for start, end, ends in bounds
    ]


def _judge(widths: list[int], height: int) -> Blanks:
    """What the blanks of a strip mean: two kinds, as unlike each other as can be."""
    ranked = sorted(min(width, height * 3 // 5) for width in widths)
    least, narrow, wide = _part(ranked)
    if wide < _LEAST_SHARE * height:
        return Blanks(height, height, height)
    unsure = narrow + _UNSURE_FROM * (wide - narrow)
    if wide < _SURE_SHARE * height or wide < _LEAST_LEAP * narrow:
        return Blanks(height, unsure, height)
    few = sum(width >= least for width in ranked) < _FEW
    return Blanks(least, unsure, max(narrow + _UNSURE_TO * (wide - narrow), _FEW_SHARE * height if few else 0))


def _part(ranked: list[int]) -> tuple[int, float, float]:
    """Where sorted widths fall into two kinds (Otsu): the least of the wide ones, and the mean of either kind."""
    total, count = sum(ranked), len(ranked)
    best, parted = 0.0, (0, 0.0, 0.0)
    below = 0
    for number in range(1, count):
        below += ranked[number - 1]
        if ranked[number] == ranked[number - 1]:
            continue
        narrow, wide = below / number, (total - below) / (count - number)
        spread = number * (count - number) * (wide - narrow) ** 2
        if spread > best:
            best, parted = spread, (ranked[number], narrow, wide)
    return parted


def _piece(  # noqa: PLR0917 - a place in a strip
    cache: LineCache, start: int, end: int, ends: list[int], pixels: bytes, glyphs: Glyphs
) -> Piece:
    """The piece with its text: two readings agreed on the whole, or many on each of its letters."""
    key = blake2b(pixels, digest_size=16, key=b"word%d" % (len(pixels) // (end - start))).digest()
    told = cache.peek(key)
    between = glyphs.between(start, end)
    letters = spell_glyphs(cache, between)
    numbers = glyphs.numbers(start, ends)
    text = told[1:] if told and told[0] == "=" else spell_word(cache, between, letters, numbers)
    return Piece(start, end, key, between, letters, numbers, text)


def match_words(pieces: list[Piece], text: str, *, strict: bool = True) -> list[str] | None:
    """The part of a reading that is each piece's; None when it contradicts what is known of them.

    When not `strict`, the number of words alone decides.
    """
    found = _aligned(pieces, text)
    if found is not None:
        return found
    words = text.split()
    return words if not strict and len(words) == len(pieces) else None


def _aligned(pieces: list[Piece], text: str) -> list[str] | None:
    """The parts of a reading that agree with the pieces, parted by blanks, in time that grows with their product."""
    begins: list[set[int]] = [{0}]
    for piece in pieces:
        ends = piece.reaches(text, begins[-1])
        begins.append({end + 1 for end in ends if end == len(text) or text[end] == " "})
    end = len(text)
    if end + 1 not in begins[-1]:
        return None
    words: list[str] = []
    for piece, starts in zip(reversed(pieces), reversed(begins[:-1]), strict=True):
        start = max(start for start in starts if end in piece.reaches(text, {start}))
        words.append(text[start:end])
        end = start - 1
    return words[::-1]


def learn_words(cache: LineCache, pieces: list[Piece], words: list[str], height: int) -> None:
    """Take the words of a reading, one for each piece: the first time as a rumour, then as a fact."""
    for piece, word in zip(pieces, words, strict=True):
        share = (piece.end - piece.start) / len(word) / height
        if _NARROWEST < share < _WIDEST:
            learn_word(cache, piece.glyphs, word, piece.ends)
            if piece.text != word:
                cache.store(piece.key, ("=" if cache.peek(piece.key) == "?" + word else "?") + word)
