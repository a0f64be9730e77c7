"""The parts of a search with unlocked keys that need no store: keys of days, and the texts of what was opened."""

from __future__ import annotations

from schemas.blind_index import Ratchet, Root
from schemas.identity import EnvelopeId, document_id
from schemas.keys import Identity
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener
from schemas.records import Record, encode_segment, encode_text
from schemas.seal import Epoch
from sinks.blind_search import _keys_of, _origin_of, _portions, read_texts

AGENT = bytes(16)
IDENTITY = Identity.generate(2048)


def opened(kind: StreamKind, plaintext: bytes, content: ContentType = ContentType.SEGMENT) -> Opened:
    epoch = Epoch.begin(agent_id=AGENT, kind=kind, recipients=[IDENTITY.recipient], created_ms=1, end_to_end=True)
    return Opener([IDENTITY]).open(epoch.seal(plaintext, capture_ms=1, content_type=content))


def root(day: int, secret: bytes = b"s" * 32) -> Root:
    return Root(StreamKind.EMAIL, bytes(16), day, secret)


def key_of(one: Root, day: int) -> bytes:
    ratchet = Ratchet(one.secret, one.day)
    ratchet.advance(day)
    return ratchet.key


def passage(text: str, sequence: int, ordinal: int) -> Record:
    return {
        "time_us": 1, "until_us": 1, "kind": "terminal", "origin_epoch": b"o" * 32, "origin_sequence": sequence,
        "ordinal": ordinal, "application": "", "title": "bash", "session": "s", "text": text, "lines": [], "went": [],
    }  # fmt: skip


def test_a_day_whose_root_was_lost_follows_from_the_one_before() -> None:
    """Within a week; days before the first root have no key."""
    first = root(100)
    assert list(_keys_of([first], range(98, 103))) == [key_of(first, day) for day in (100, 101, 102)]
    assert list(_keys_of([first], range(108, 110))) == []


def test_a_days_own_root_counts() -> None:
    """What was sealed anew for a day is what its tokens came of."""
    first, other = root(100), root(101, b"t" * 32)
    assert list(_keys_of([other, first], range(100, 102))) == [key_of(first, 100), key_of(other, 101)]


def test_requests_hold_no_more_tokens_than_a_cluster_takes() -> None:
    """Many days and agents become several requests, none of them lost."""
    keys = list(range(5000))
    portions = list(_portions(keys, words=3))  # type: ignore[arg-type]
    assert [key for some in portions for key in some] == keys
    assert max(map(len, portions)) * 3 * 16 <= 65_536


def test_messages_are_found_by_the_ids_of_their_documents() -> None:
    """Each message of a segment has the text, people and files that its document names."""
    events = [
        {
            "time_us": 1, "message_id": "", "folder": "", "sender": "ann@example.org",
            "recipients": ["bob@example.com"], "subject": subject, "sent_ms": None,
            "text": f"about {subject}", "size": 1,
            "attachments": [{"name": "plan.pdf", "content_type": "", "size": 1, "sha256": b""}],
        }
        for subject in ("lunch", "dinner")
    ]  # fmt: skip
    letter = opened(StreamKind.EMAIL, encode_segment(StreamKind.EMAIL, events))
    texts = read_texts(letter)
    text = texts[_origin_of(document_id(letter.id, 1))]
    assert (text.title, text.text) == ("dinner", "about dinner")
    assert text.others == ("ann@example.org", "bob@example.com", "plan.pdf")


def test_of_a_text_that_grew_in_one_segment_the_last_counts() -> None:
    """Passages are known by where they began."""
    sealed = opened(
        StreamKind.KEYSTROKES,
        encode_text([passage("ls", 3, 0), passage("make", 3, 1), passage("ls -l", 3, 0)]),
        ContentType.TEXT,
    )
    texts = read_texts(sealed)
    assert len(texts) == 2
    assert texts[_origin_of(document_id(EnvelopeId(AGENT, b"o" * 32, 3), 0))].text == "ls -l"


def test_what_holds_no_text_yields_none() -> None:
    """Frames of a screen are no text until somebody read them."""
    assert read_texts(opened(StreamKind.SCREEN, encode_segment(StreamKind.SCREEN, []))) == {}
