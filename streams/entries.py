"""Entries of blind indexes to documents without text: tokens that the server keeps and cannot read.

Never believes an entry about another agent than the one whose envelope it came in.
"""

from __future__ import annotations

from schemas.blind_index import split_tokens, token_text
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from schemas.records import Record
from streams.segment import Segment

KINDS = {"screen": "screen", "keystrokes": "terminal", "email": "email"}
"""The kind of document that each stream's text is."""

_EPOCH_BYTES = 32


def index_documents(segment: Segment) -> list[Record]:
    """One document for each entry of an index segment; raises `MalformedError` for what is not one."""
    return [_document(segment, entry) for entry in segment.events]


def _document(segment: Segment, entry: Record) -> Record:
    _check(entry)
    origin = EnvelopeId(segment.id.agent_id, entry["origin_epoch"], entry["origin_sequence"])
    tokens = [token_text(token) for token in split_tokens(entry["tokens"])]
    document = segment.document(
        entry["kind"],
        source=origin,
        ordinal=entry["ordinal"],
        time_ms=entry["time_us"] // 1000,
        until_ms=entry["until_us"] // 1000,
        text="",
        tokens=tokens,
        end_to_end=True,
    )
    stands = {"epoch_id": entry["source_epoch"].hex(), "sequence": entry["source_sequence"]}
    return {**document, **stands, "stream": entry["stream"], "version": entry["until_us"]}


def _check(entry: Record) -> None:
    if KINDS.get(entry["stream"]) != entry["kind"]:
        raise MalformedError("an entry of a stream that is not indexed, or not of its kind", "bad_entry")
    if {len(entry["origin_epoch"]), len(entry["source_epoch"])} != {_EPOCH_BYTES}:
        raise MalformedError("an entry's epoch is not one", "bad_entry")
    if min(entry["origin_sequence"], entry["source_sequence"], entry["ordinal"], entry["until_us"]) < 0:
        raise MalformedError("an entry's number is negative", "bad_entry")
