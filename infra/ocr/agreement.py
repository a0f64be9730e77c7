"""Whether a reading agrees with the letters that are known, and which part of it each word is.

Takes time in proportion to the letters: a pattern with many unknown parts must cost no more than one with none.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class Open(Enum):
    """Parts of a pattern that are not a letter."""

    UNKNOWN = "from one to `MOST_LETTERS` characters that are no blanks"
    BLANK = "a blank, or nothing"


Part = str | Open

MOST_LETTERS = 3
"""So many letters may stand in one shape whose letters are not known."""


def divide(words: Sequence[Sequence[Part]], text: str) -> list[str] | None:
    """The text of each word, where `text` is the words with a blank between them; None when it is not.

    Of several ways the one that gives each part in turn as much as it can take.
    """
    parts: list[Part] = []
    for number, word in enumerate(words):
        parts += [" ", *word] if number else word
    fits = _fits(parts, text)
    if not fits[0] & 1:
        return None
    divided: list[str] = []
    at = number = 0
    for word in words:
        if divided:
            at, number = at + 1, number + 1
        start = at
        for part in word:
            number += 1
            at += next(width for width in _widths(part, text, at) if fits[number] >> (at + width) & 1)
        divided.append(text[start:at])
    return divided


def _fits(parts: Sequence[Part], text: str) -> list[int]:
    """For each part, as bits, the places of `text` from which it and all that follow fit to the end."""
    solid = sum(1 << place for place, letter in enumerate(text) if not letter.isspace())
    letters: dict[str, int] = {}
    for place, letter in enumerate(text):
        letters[letter] = letters.get(letter, 0) | 1 << place
    after = 1 << len(text)
    fits = [after]
    for part in reversed(parts):
        if part is Open.BLANK:
            after |= letters.get(" ", 0) & after >> 1
        elif part is Open.UNKNOWN:
            within, reached = solid, 0
            for width in range(1, MOST_LETTERS + 1):
                reached |= within & after >> width
                within &= solid >> width
            after = reached
        else:
            for letter in reversed(part):
                after = letters.get(letter, 0) & after >> 1
        fits.append(after)
    return fits[::-1]


def _widths(part: Part, text: str, at: int) -> list[int]:
    """How many characters the part may take at a place, the most first."""
    if part is Open.BLANK:
        return [1, 0] if text[at : at + 1] == " " else [0]
    if part is Open.UNKNOWN:
        ahead = text[at : at + MOST_LETTERS]
        return list(range(next((place for place, letter in enumerate(ahead) if letter.isspace()), len(ahead)), 0, -1))
    return [len(part)]
