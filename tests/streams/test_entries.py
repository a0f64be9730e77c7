"""Entries of blind indexes on their way through the miner: documents with tokens, and nothing that could be read."""

from __future__ import annotations

import pytest

from schemas.blind_index import TEXT, document_tokens, query_tokens, token_text
from schemas.identity import EnvelopeId, document_id
from schemas.kinds import ContentType, StreamKind
from schemas.records import Record
from tests.streams.recording import START_MS, Recorder, stranger
from tests.streams.rig import dead_letters, documents, mined

KEY = bytes(32)


def entry(text: str, **fields: object) -> Record:
    return {
        "time_us": START_MS * 1000, "until_us": START_MS * 1000 + 5_000_000, "stream": "keystrokes", "kind": "terminal",
        "origin_epoch": b"o" * 32, "origin_sequence": 7, "ordinal": 2, "source_epoch": b"s" * 32, "source_sequence": 9,
        "tokens": b"".join(document_tokens(KEY, bytes(32), [(TEXT, text)])),
        **fields,
    }  # fmt: skip


async def test_an_entry_becomes_a_document_without_text(broker, worker):
    """Its id is that of where the text began, its place that of the envelope which holds the text."""
    recorder = Recorder("a", StreamKind.INDEX)
    recorder.push(broker, [entry("alpha beta")])
    await worker.start()
    await mined(broker)
    (document,) = documents(broker).values()
    assert document["document_id"] == document_id(EnvelopeId(recorder.agent.bytes, b"o" * 32, 7), 2)
    assert (document["epoch_id"], document["sequence"]) == ((b"s" * 32).hex(), 9)
    assert (document["stream"], document["kind"], document["end_to_end"]) == ("keystrokes", "terminal", True)
    assert (document["text"], document["title"], document["user"]) == ("", "", "ada")
    assert {token_text(one) for one in query_tokens(KEY, "beta", [TEXT])} & set(document["tokens"])


async def test_a_text_that_grew_replaces_what_it_was(broker, worker):
    """The same origin is the same document, and the later version wins."""
    recorder = Recorder("a", StreamKind.INDEX)
    recorder.push(broker, [entry("alpha")])
    recorder.push(broker, [entry("alpha beta", until_us=START_MS * 1000 + 9_000_000, source_sequence=11)])
    await worker.start()
    await mined(broker)
    (document,) = documents(broker).values()
    assert document["sequence"] == 11


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": b"x"},
        {"stream": "activity"},
        {"stream": "email"},
        {"kind": "window"},
        {"source_epoch": b"short"},
        {"origin_sequence": -1},
    ],
)
async def test_what_is_no_entry_becomes_a_dead_letter(broker, worker, change):
    """Tokens that are none, streams that are not indexed, kinds of another stream, epochs and numbers that are none."""
    Recorder("a", StreamKind.INDEX).push(broker, [entry("alpha", **change)])
    await worker.start()
    await mined(broker)
    assert not documents(broker)
    (letter,) = dead_letters(broker)
    assert letter["stage"] == "mine"


async def test_roots_are_passed_by(broker, worker):
    """A root is sealed to others: the miner leaves it alone, and goes on."""
    sealed = Recorder("a", StreamKind.INDEX, end_to_end=True, recipient=stranger())
    root = sealed.epoch.seal(bytes(53), capture_ms=START_MS, content_type=ContentType.INDEX_ROOT, final=True)
    sealed.append(broker, root)
    Recorder("a", StreamKind.INDEX).push(broker, [entry("alpha")])
    await worker.start()
    await mined(broker)
    assert len(documents(broker)) == 1
    assert not dead_letters(broker)


async def test_a_root_sealed_to_the_server_is_refused(broker, worker):
    """An agent that tells the server its keys makes a mistake that shows."""
    recorder = Recorder("a", StreamKind.INDEX)
    recorder.append(broker, recorder.epoch.seal(bytes(53), capture_ms=START_MS, content_type=ContentType.INDEX_ROOT))
    await worker.start()
    await mined(broker)
    (letter,) = dead_letters(broker)
    assert letter["reason"] == "wrong_content"
