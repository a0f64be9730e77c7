"""The blind index on the agent: what is sealed to whom, and that words are found by those who may read them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.clock import ManualClock
from agent.keyring import Keyring
from agent.memory_spool import MemorySpool
from agent.policy import Policy
from agent.recorder import Recorder
from agent.settings import RecorderSettings
from agent.source import CurrentPolicy, Emit
from schemas.blind_index import Ratchet, Root, parse_root, query_tokens, split_tokens
from schemas.envelope import peek
from schemas.errors import OpenError
from schemas.keys import Identity, Recipient
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener, PartJoiner
from schemas.opening import rewrap as rewrap_header
from schemas.records import Record, decode_segment, decode_text

AGENT_ID = bytes(range(16))
INDEXED = frozenset({"keystrokes", "email"})


@pytest.fixture(scope="module")
def server() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture(scope="module")
def organisation() -> Identity:
    """The organisation's own KEK."""
    return Identity.generate(2048)


class Desk:
    """A source that emits what the test tells it to."""

    def __init__(self, kind: StreamKind) -> None:
        self.kind = kind
        self.name = kind.label

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Nothing by itself."""

    def renew(self) -> None:
        """Nothing to do."""


class Stage:
    """A recorder whose email and keystrokes are sealed end to end, and the eyes of both sides behind its spool."""

    def __init__(self, server: Identity, organisation: Identity, kek_file: Path, **policy: object) -> None:
        self.clock = ManualClock()
        self.spool = MemorySpool()
        self.server, self.organisation = server, organisation
        self.kek_file = kek_file
        kek_file.write_bytes(organisation.recipient.to_pem())
        self.recorder = Recorder(
            agent_id=AGENT_ID,
            settings=RecorderSettings(),
            spool=self.spool,
            keyring=Keyring([server.recipient], kek_file),
            policy=Policy(version=1, streams=INDEXED, end_to_end=INDEXED, **policy),  # type: ignore[arg-type]
            clock=self.clock,
        )
        self.mail = self.recorder.emit_for(Desk(StreamKind.EMAIL))
        self.keys = self.recorder.emit_for(Desk(StreamKind.KEYSTROKES))

    def message(self, subject: str, text: str) -> Record:
        return {
            "time_us": self.clock.now_us(), "message_id": "", "folder": "inbox", "sender": "ann@example.org",
            "recipients": ["bob@example.com"], "subject": subject, "sent_ms": None, "text": text,
            "attachments": [{"name": "plan.pdf", "content_type": "application/pdf", "size": 1, "sha256": b""}],
            "size": 1,
        }  # fmt: skip

    def output(self, data: bytes) -> Record:
        return {
            "time_us": self.clock.now_us(), "session": "s", "kind": "output", "data": data, "masked": False,
            "columns": 80, "rows": 24, "exit_code": None,
        }  # fmt: skip

    def opened(self, identity: Identity, kind: StreamKind, content: ContentType) -> list[Opened]:
        """What `identity` opens of a stream and content type, in order."""
        envelopes = [one.envelope for one in self.spool.take(1 << 30)]
        self.spool.rewind()
        opener, joiner = Opener([identity]), PartJoiner()
        fitting = [
            opener.open(one)
            for one in envelopes
            if (seen := peek(one)).record.kind is kind
            and seen.record.content_type == content
            and opener.can_open(seen.epoch)
        ]
        return [whole for part in fitting if (whole := joiner.add(part))]

    def roots(self, identity: Identity | None = None) -> list[Root]:
        found = self.opened(identity or self.organisation, StreamKind.INDEX, ContentType.INDEX_ROOT)
        return [parse_root(one.plaintext) for one in found]

    def entries(self) -> list[Record]:
        found = self.opened(self.server, StreamKind.INDEX, ContentType.SEGMENT)
        return [entry for one in found for entry in decode_segment(StreamKind.INDEX, one.plaintext)]

    def found(self, word: str) -> list[Record]:
        """Entries that a search for `word` finds with the roots at hand."""
        keys = [(root.stream.label, Ratchet(root.secret, root.day).key) for root in self.roots()]
        wanted = {(stream, token) for stream, key in keys for token in query_tokens(key, word)}
        return [
            entry
            for entry in self.entries()
            if any((entry["stream"], token) in wanted for token in split_tokens(entry["tokens"]))
        ]


@pytest.fixture
def stage(server: Identity, organisation: Identity, tmp_path: Path) -> Stage:
    """An endpoint whose streams are sealed end to end."""
    return Stage(server, organisation, tmp_path / "kek.pem")


async def test_a_message_is_found_by_its_words(stage: Stage) -> None:
    """Subject, body, people and attachments; the entry names the message in its segment, and no other message."""
    await stage.mail(stage.message("Lunch", "at noon, before the audit?"))
    await stage.mail(stage.message("Überweisung", "the invoice is overdue"))
    await stage.recorder.finish_index()
    for word in ("überweisung", "overdue", "ann", "bob", "plan"):
        assert [entry["ordinal"] for entry in stage.found(word)][-1:] == [1], word
    assert stage.found("dinner") == []
    (segment,) = stage.opened(stage.organisation, StreamKind.EMAIL, ContentType.SEGMENT)
    (entry,) = stage.found("overdue")
    place = segment.id.epoch_id, segment.id.sequence
    assert (entry["source_epoch"], entry["source_sequence"]) == place
    assert (entry["origin_epoch"], entry["origin_sequence"], entry["kind"]) == (*place, "email")


async def test_the_server_opens_entries_and_never_a_root(stage: Stage) -> None:
    """What it can open holds no word of the message, and the tokens alone do not say which words they are of."""
    await stage.mail(stage.message("Lunch", "canary"))
    await stage.recorder.finish_index()
    assert len(stage.entries()) == 1
    assert stage.roots(stage.server) == []
    for one in stage.spool.take(1 << 30):
        if peek(one.envelope).epoch.end_to_end:
            with pytest.raises(OpenError):
                Opener([stage.server]).open(one.envelope)


async def test_a_terminal_is_found_by_what_a_person_read(stage: Stage) -> None:
    """Words cut by segments are whole, what was corrected is not there, and the text is sealed beside the stream."""
    await stage.keys(stage.output(b"$ git com"))
    await stage.clock.advance(1)
    await stage.keys(stage.output(b"mitt\b \r\nnothing to do\r\n"))
    await stage.recorder.finish_index()
    (entry,) = stage.found("nothing")
    assert stage.found("commit")
    assert stage.found("com") == stage.found("mitt") == []
    (text,) = stage.opened(stage.organisation, StreamKind.KEYSTROKES, ContentType.TEXT)
    (passage,) = decode_text(text.plaintext)
    assert passage["text"] == "$ git commit\nnothing to do"
    assert (entry["source_epoch"], entry["source_sequence"]) == (text.id.epoch_id, text.id.sequence)
    assert text.record.padded
    assert text.epoch.end_to_end


async def test_a_text_that_grows_keeps_its_name_and_tokens(stage: Stage) -> None:
    """Later entries have the identity of the first, and the tokens of the words that were there."""
    await stage.keys(stage.output(b"alpha\r\n"))
    await stage.recorder.finish_index()
    await stage.keys(stage.output(b"beta\r\n"))
    await stage.recorder.finish_index()
    first, second = stage.entries()
    names = ("origin_epoch", "origin_sequence", "ordinal")
    assert [first[name] for name in names] == [second[name] for name in names]
    assert second["source_sequence"] > first["source_sequence"]
    assert len(set(split_tokens(first["tokens"])) & set(split_tokens(second["tokens"]))) >= 15


async def test_each_day_has_a_key_that_does_not_lead_back(stage: Stage) -> None:
    """The next day's root is sent under the same id, and follows from the day before; not the other way."""
    await stage.mail(stage.message("one", "alpha"))
    await stage.recorder.finish_index()
    await stage.clock.advance(86_400)
    await stage.mail(stage.message("two", "alpha"))
    await stage.recorder.finish_index()
    first, second = stage.roots()
    assert (second.root_id, second.day) == (first.root_id, first.day + 1)
    ratchet = Ratchet(first.secret, first.day)
    ratchet.advance(second.day)
    assert ratchet.secret == second.secret
    assert len(stage.found("alpha")) == 2


async def test_streams_have_roots_of_their_own(stage: Stage) -> None:
    """A word typed and mailed has nothing in common in the index."""
    await stage.mail(stage.message("one", "alpha"))
    await stage.keys(stage.output(b"alpha\r\n"))
    await stage.recorder.finish_index()
    assert {root.stream for root in stage.roots()} == {StreamKind.EMAIL, StreamKind.KEYSTROKES}
    assert {entry["stream"] for entry in stage.found("alpha")} == {"email", "keystrokes"}


async def test_new_recipients_get_a_new_root(stage: Stage, tmp_path: Path) -> None:
    """Who held the key before cannot follow the index, and who has it now cannot look back."""
    await stage.mail(stage.message("one", "alpha"))
    await stage.recorder.finish_index()
    successor = Identity.generate(2048)
    stage.kek_file.write_bytes(successor.recipient.to_pem())
    stage.recorder.end_epochs()
    await stage.mail(stage.message("two", "alpha"))
    await stage.recorder.finish_index()
    (old,), (new,) = stage.roots(), stage.roots(successor)
    assert old.root_id != new.root_id


async def test_a_root_is_wrapped_again_like_any_epoch(stage: Stage) -> None:
    """Re-wrapping the header of its epoch for another KEK opens the root with that."""
    await stage.mail(stage.message("one", "alpha"))
    await stage.recorder.finish_index()
    (sealed,) = [
        one.envelope
        for one in stage.spool.take(1 << 30)
        if peek(one.envelope).record.content_type == ContentType.INDEX_ROOT
    ]
    stage.spool.rewind()
    other = Identity.generate(2048)
    seen = peek(sealed)
    header = rewrap_header(seen.epoch.header_bytes, stage.organisation, [Recipient(other.private_key.public_key())])
    again = Opener([other]).open(header + sealed[seen.record_at :])
    assert parse_root(again.plaintext) == stage.roots()[0]


async def test_the_policy_switches_the_index_off(server: Identity, organisation: Identity, tmp_path: Path) -> None:
    """A stream that is not listed yields no entry, no root and no text."""
    stage = Stage(server, organisation, tmp_path / "kek.pem", blind_index=frozenset({"email"}))
    await stage.keys(stage.output(b"alpha\r\n"))
    await stage.recorder.finish_index()
    assert stage.entries() == stage.roots() == []
    assert stage.opened(organisation, StreamKind.KEYSTROKES, ContentType.TEXT) == []
    await stage.mail(stage.message("one", "alpha"))
    await stage.recorder.finish_index()
    assert len(stage.entries()) == 1


async def test_what_the_server_mines_is_not_indexed(stage: Stage) -> None:
    """When a stream is no longer end to end, its words go into no entry."""
    stage.recorder.apply(Policy(version=2, streams=INDEXED))
    await stage.mail(stage.message("one", "alpha"))
    await stage.recorder.finish_index()
    assert stage.entries() == stage.roots() == []


async def test_what_was_not_indexed_in_between_is_not_read_into_what_follows(stage: Stage) -> None:
    """A stream that the policy takes out of the index for a while is read afresh afterwards."""
    await stage.keys(stage.output(b"alpha"))
    await stage.recorder.finish_index()
    stage.recorder.apply(Policy(version=2, streams=INDEXED, end_to_end=INDEXED, blind_index=frozenset()))
    await stage.keys(stage.output(b"beta"))
    await stage.recorder.finish_index()
    stage.recorder.apply(Policy(version=3, streams=INDEXED, end_to_end=INDEXED))
    await stage.keys(stage.output(b"gamma\r\n"))
    await stage.recorder.finish_index()
    assert len(stage.found("alpha")) == 1
    assert len(stage.found("gamma")) == 1
    assert stage.found("beta") == stage.found("betagamma") == []


async def test_an_agent_that_ends_has_told_all_it_read(stage: Stage) -> None:
    """Closing reads and tells what was recorded last."""
    await stage.keys(stage.output(b"last words\r\n"))
    await stage.recorder.close()
    assert len(stage.found("last")) == 1


async def test_what_cannot_be_read_is_a_gap_of_the_index(stage: Stage) -> None:
    """A segment that the reader fails on is recorded all the same, and its hole shows."""
    from agent.index import indexer

    patience = indexer.QUEUED_BYTES
    try:
        indexer.QUEUED_BYTES = 100
        for text in ("first " * 50, "second " * 50):
            await stage.keys(stage.output(text.encode()))
            stage.recorder._close_segments()
        await stage.recorder.finish_index()
    finally:
        indexer.QUEUED_BYTES = patience
    (owed,) = stage.spool.owed()
    assert (owed.gap.stream, owed.gap.detail) == ("index", "keystrokes: it came faster than it could be read")
    assert stage.found("first") == []
    assert len(stage.found("second")) == 1


async def test_a_reader_that_always_fails_costs_the_index_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording goes on, the agent ends in order, and one gap a minute tells what the index lacks."""
    from infra.text.terminal import TerminalReader

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TerminalReader, "read", fail)
    for number in range(5):
        await stage.keys(stage.output(b"line %d\r\n" % number))
        await stage.recorder.finish_index()
    assert [owed.gap.detail for owed in stage.spool.owed()] == ["keystrokes: it could not be read (ZeroDivisionError)"]
    assert len(stage.opened(stage.organisation, StreamKind.KEYSTROKES, ContentType.SEGMENT)) == 5
    await stage.recorder.close()
    assert stage.entries() == []
    told = stage.opened(stage.server, StreamKind.GAP, ContentType.SEGMENT)
    gaps = [gap for one in told for gap in decode_segment(StreamKind.GAP, one.plaintext)]
    assert len(gaps) == 2, "the rest is told when the agent ends"
