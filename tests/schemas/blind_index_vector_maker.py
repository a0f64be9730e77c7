"""Makes `schemas/vectors/blind_index.json`: the same bytes at every run.

    python -m tests.schemas.blind_index_vector_maker > schemas/vectors/blind_index.json

Holds no secret of anybody: roots and salts are hashes of labels.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from schemas.blind_index import (
    FILES,
    PEOPLE,
    STOP_WORDS,
    TEXT,
    TITLE,
    Ratchet,
    Root,
    build_root,
    document_tokens,
    query_tokens,
    token_text,
    words_of,
)
from schemas.kinds import StreamKind

TEXTS = {
    "plain words": "The invoice of 2026-11-23 is overdue: EUR 1,250.00",
    "stop words alone": "it is not for us",
    "case and accents": "Überweisung an die GRÖSSTE Straße, naïve café",
    "decomposed accents": "cafe\u0301 na\u0131\u0308ve A\u030angstro\u0308m",
    "compatibility forms": "\ufb01nance \uff26\uff55\uff4c\uff4c\uff37\uff49\uff44\uff54\uff48 x\u00b2 \u2167 \u2460",
    "final sigma": "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03cc\u03c2 \u039f\u0394\u039f\u03a3\u0391",
    "dotted capital i": "\u0130stanbul ISPARTA",
    "capital sharp s": "STRA\u1e9eE",
    "marks within words": "\u0939\u093f\u0928\u094d\u0926\u0940 \u0641\u064e\u062a\u064e\u062d",
    "no spaces": "\u4f1a\u8b70\u5ba4 \u30c6\u30b9\u30c8",
    "other digits": "\u0661\u0662\u0663 \u0967\u0968",
    "beyond the first plane": "\U0001d54f\U0001d550 \U00010400\U00010401 \U00020000\U00020001 \U0001f600ok",
    "separators": "foo_bar a-b ann.smith@example.org don't C:\\temp\\x1.txt",
    "too short, too long": f"a b c {'x' * 64} {'y' * 65} z9",
    "joiners and controls": "zero\u200bwidth soft\u00adhyphen tab\tnew\nline nul\0l",
    "nothing": "",
}
DOCUMENTS: dict[str, list[tuple[str, str]]] = {
    "an email": [
        (TITLE, "Overdue invoice 4711"),
        (TEXT, "Dear Ann, the invoice 4711 is overdue. Please pay at once."),
        (PEOPLE, "billing@example.org"),
        (PEOPLE, "ann@example.com"),
        (FILES, "invoice-4711.pdf"),
    ],
    "no words at all": [(TEXT, "")],
    "seventeen words": [(TEXT, " ".join(f"word{number}" for number in range(17)))],
}


def known(label: str, size: int = 32) -> bytes:
    """Bytes that a reader of this file can know."""
    return hashlib.shake_256(label.encode()).digest(size)


def make_vectors() -> dict[str, Any]:
    """The whole file."""
    return {
        "stop_words": sorted(STOP_WORDS),
        "words": [{"name": name, "text": text, "words": list(words_of(text))} for name, text in TEXTS.items()],
        "ratchet": _ratchet(),
        "root": _root(),
        "queries": [
            {"key": known("key").hex(), "word": word, "field": field, "tokens": _texts(known("key"), word, field)}
            for word, field in (("invoice", TEXT), ("invoice", TITLE), ("überweisung", TEXT), ("会議室", FILES))
        ],
        "documents": [
            {
                "name": name,
                "key": known("key").hex(),
                "salt": known(f"salt/{name}").hex(),
                "texts": [list(pair) for pair in texts],
                "tokens": [token_text(one) for one in document_tokens(known("key"), known(f"salt/{name}"), texts)],
            }
            for name, texts in DOCUMENTS.items()
        ],
    }


def _texts(key: bytes, word: str, field: str) -> list[str]:
    return [token_text(one) for one in query_tokens(key, word, [field])]


def _ratchet() -> dict[str, Any]:
    ratchet = Ratchet(known("root"), 20_780)
    days = []
    for day in (20_780, 20_781, 20_785):
        ratchet.advance(day)
        days.append({"day": day, "secret": ratchet.secret.hex(), "key": ratchet.key.hex()})
    return {"secret": known("root").hex(), "day": 20_780, "days": days}


def _root() -> dict[str, Any]:
    root = Root(StreamKind.EMAIL, known("root id", 16), 20_780, known("root"))
    return {
        "stream": root.stream.label,
        "root_id": root.root_id.hex(),
        "day": root.day,
        "secret": root.secret.hex(),
        "bytes": build_root(root).hex(),
    }


if __name__ == "__main__":
    json.dump(make_vectors(), sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")
