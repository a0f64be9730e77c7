"""An agent's sealed texts with their blind index, as the product's Python makes them, for the browser's search.

Never the same twice: keys, roots and salts are random.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Any

from schemas.blind_index import (
    FILES,
    PEOPLE,
    TEXT,
    TITLE,
    Ratchet,
    Root,
    build_root,
    day_of,
    document_tokens,
    token_text,
)
from schemas.identity import EnvelopeId, agent_text, document_id
from schemas.keys import Identity
from schemas.kinds import ContentType, StreamKind
from schemas.records import encode_segment, encode_text
from schemas.seal import Epoch, split_segment
from tests.console.sealed import NOW_MS

DAY_MS = 86_400_000


def make_blind(identity: Identity) -> dict[str, Any]:
    """Roots, documents with tokens, and segments; mails of two days under one root, a screen, and another's root."""
    maker = _Maker(identity)
    mails = [_mail("Overdue walrus", "Dear Bob, the wire transfer of walrus is late."), _mail("Lunch", "No walrus.")]
    maker.mails(mails[:1], NOW_MS)
    maker.mails(mails[1:], NOW_MS + DAY_MS)
    maker.screen("the penguin shipment\nleaves at noon", NOW_MS)
    maker.root(StreamKind.EMAIL, Identity.generate(2048))
    return maker.made


class _Maker:
    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._agent = os.urandom(16)
        self._secrets: dict[StreamKind, bytes] = {}
        self.made: dict[str, Any] = {"roots": [], "documents": [], "segments": [], "spans": []}
        for kind in (StreamKind.EMAIL, StreamKind.SCREEN):
            self.root(kind, identity)

    def root(self, kind: StreamKind, identity: Identity) -> None:
        secret = os.urandom(32)
        self._secrets.setdefault(kind, secret)
        plain = build_root(Root(kind, os.urandom(16), day_of(NOW_MS), secret))
        sealed = self._epoch(StreamKind.INDEX, identity).seal(
            plain, capture_ms=NOW_MS, content_type=ContentType.INDEX_ROOT
        )
        self.made["roots"].append({"agent_id": agent_text(self._agent), "envelopes": [_base64(sealed)]})

    def mails(self, events: Sequence[dict[str, Any]], time_ms: int) -> None:
        place = self._segment(StreamKind.EMAIL, encode_segment(StreamKind.EMAIL, list(events)), ContentType.SEGMENT)
        for ordinal, event in enumerate(events):
            people = " ".join([event["sender"], *event["recipients"]])
            files = " ".join(one["name"] for one in event["attachments"])
            fields = [(TITLE, event["subject"]), (TEXT, event["text"]), (PEOPLE, people), (FILES, files)]
            self._document(StreamKind.EMAIL, "email", place, ordinal, time_ms, fields)

    def screen(self, text: str, time_ms: int) -> None:
        origin = EnvelopeId(self._agent, os.urandom(32), 3)
        lines = [
            {"text": line, "x": 10, "y": 20 * at, "width": 200, "height": 16, "appeared_ms": time_ms, "display": 1}
            for at, line in enumerate(text.splitlines())
        ]
        passage = {
            "time_us": time_ms * 1000, "until_us": time_ms * 1000, "kind": "screen", "origin_epoch": origin.epoch_id,
            "origin_sequence": origin.sequence, "ordinal": 1, "application": "editor", "title": "note", "session": "",
            "text": text, "lines": [{**line, "went_ms": None} for line in lines], "went": [],
        }  # fmt: skip
        place = self._segment(StreamKind.SCREEN, encode_text([passage]), ContentType.TEXT)
        self._document(StreamKind.SCREEN, "screen", place, 1, time_ms, [(TITLE, "note"), (TEXT, text)], origin)

    def _document(
        self,
        kind: StreamKind,
        name: str,
        place: EnvelopeId,
        ordinal: int,
        time_ms: int,
        fields: list[tuple[str, str]],
        origin: EnvelopeId | None = None,
    ) -> None:
        ratchet = Ratchet(self._secrets[kind], day_of(NOW_MS))
        ratchet.advance(day_of(time_ms))
        tokens = document_tokens(ratchet.key, os.urandom(32), fields)
        candidate = {
            "id": document_id(origin or place, ordinal), "index": "documents", "time_ms": time_ms,
            "until_ms": time_ms, "agent_id": agent_text(self._agent), "epoch": place.epoch_id.hex(),
            "sequence": place.sequence, "person": "ann", "computer": "desk-1", "stream": kind.label, "kind": name,
        }  # fmt: skip
        self.made["documents"].append({"candidate": candidate, "tokens": [token_text(one) for one in tokens]})
        span = {"agent_id": candidate["agent_id"], "stream": kind.label, "from_ms": time_ms, "until_ms": time_ms}
        self.made["spans"].append(span)

    def _segment(self, kind: StreamKind, plain: bytes, content_type: ContentType) -> EnvelopeId:
        epoch = self._epoch(kind, self._identity)
        parts = split_segment(plain, max(1, len(plain) // 2))
        sealed = [
            epoch.seal(part, capture_ms=NOW_MS, content_type=content_type, more_parts=number < len(parts))
            for number, part in enumerate(parts, 1)
        ]
        place = EnvelopeId(self._agent, epoch.epoch_id, 0)
        told = {"agent_id": agent_text(self._agent), "epoch": place.epoch_id.hex(), "sequence": 0}
        self.made["segments"].append({**told, "envelopes": [_base64(one) for one in sealed]})
        return place

    def _epoch(self, kind: StreamKind, identity: Identity) -> Epoch:
        options: dict[str, Any] = {"created_ms": NOW_MS, "end_to_end": True}
        return Epoch.begin(agent_id=self._agent, kind=kind, recipients=[identity.recipient], **options)


def _mail(subject: str, text: str) -> dict[str, Any]:
    attachment = {"name": "offer.pdf", "content_type": "application/pdf", "size": 1, "sha256": bytes(32)}
    return {
        "time_us": NOW_MS * 1000, "message_id": "", "folder": "", "sender": "ann@example.org",
        "recipients": ["bob@example.com"], "subject": subject, "sent_ms": None, "text": text,
        "attachments": [attachment], "size": 1,
    }  # fmt: skip


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
