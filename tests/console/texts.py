"""Texts in every script, with the words that Python's index finds in them.

Never holds a character that Python's Unicode does not know: newer versions may.
"""

from __future__ import annotations

import random
import unicodedata
from typing import Any

from schemas.blind_index import words_of

_TEXTS = 400
_LONGEST = 60
_MARKS = ("\u0301\u0323", "\u0323\uff9e", "\u0903", "\u0345\u0301")
_PLANES = (range(0x20, 0xD800), range(0xE000, 0x20000), range(0x20000, 0x20100), range(0xE0100, 0xE01F0))


def make_texts() -> list[dict[str, Any]]:
    """Random texts: of one script's neighbourhood, or of all of Unicode."""
    chance = random.Random(8)
    known = [code for plane in _PLANES for code in plane if unicodedata.category(chr(code)) not in ("Cn", "Co")]
    runs = [_told(f"ab{marks * count}cd ef") for marks in _MARKS for count in (1, 15, 30, 31, 32, 63, 64, 65, 500)]
    return [_make_text(chance, known) for _ in range(_TEXTS)] + runs


def _make_text(chance: random.Random, known: list[int]) -> dict[str, Any]:
    at, reach = chance.randrange(len(known)), chance.choice((30, 300, len(known)))
    near = known[max(0, at - reach) : at + reach]
    codes = [chance.choice(near) if chance.random() < 0.85 else 0x20 for _ in range(chance.randrange(_LONGEST))]
    return _told("".join(map(chr, codes)))


def _told(text: str) -> dict[str, Any]:
    return {"text": text, "words": list(words_of(text))}
