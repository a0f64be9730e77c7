"""The unlocked miner: what it makes of end-to-end envelopes, for whom, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schemas.blind_index import Ratchet, day_of, parse_root, query_tokens, split_tokens
from schemas.envelope import EpochHeader, peek
from schemas.errors import OpenError
from schemas.keys import Identity, Recipient
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener
from schemas.records import Record, decode_segment, decode_text
from streams.unlocked import Sealed, UnlockedMiner
from tests.streams.recording import START_MS, Recorder, message, server_identity, terminal

HEADERS = {"user": b"ada", "computer": b"desk-7"}


@pytest.fixture(scope="module")
def organisation() -> Identity:
    """The key that the officer has."""
    return Identity.generate(2048)


class Stage:
    """An unlocked miner, and what it published."""

    def __init__(self, identity: Identity, *, from_ms: int = 0) -> None:
        self.identity = identity
        self.published: list[tuple[StreamKind, bytes, Mapping[str, bytes]]] = []

        async def publish(kind: StreamKind, agent_id: bytes, envelope: bytes, headers: Mapping[str, bytes]) -> None:
            assert peek(envelope).epoch.agent_id == agent_id
            self.published.append((kind, envelope, headers))

        def recipients(_: EpochHeader) -> list[Recipient]:
            return [identity.recipient]

        self.miner = UnlockedMiner(
            Opener([identity]), publish, recipients=recipients, server=[server_identity().recipient],
            wanted=lambda at_ms: at_ms >= from_ms,
        )  # fmt: skip

    async def mine(self, envelopes: list[bytes]) -> None:
        for one in envelopes:
            await self.miner.take(Sealed(one, HEADERS))
        await self.miner.flush()

    def opened(self, identity: Identity, content: ContentType) -> list[Opened]:
        opener = Opener([identity])
        found = [
            one for _, one, _ in self.published
            if (seen := peek(one)).record.content_type == content and opener.can_open(seen.epoch)
        ]  # fmt: skip
        return [opener.open(one) for one in found]

    def entries(self) -> list[Record]:
        found = self.opened(server_identity(), ContentType.SEGMENT)
        return [entry for one in found for entry in decode_segment(StreamKind.INDEX, one.plaintext)]


def typed(organisation: Identity, *lines: bytes) -> list[bytes]:
    """Envelopes of a terminal, sealed end to end."""
    recorder = Recorder("a", StreamKind.KEYSTROKES, end_to_end=True, recipient=organisation.recipient)
    events = [terminal("output", line, at_ms=START_MS + n * 1000) for n, line in enumerate(lines)]
    return [one for event in events for one in recorder.record([event])]


async def test_text_is_sealed_to_the_readers_of_the_stream_and_tokens_to_the_server(organisation: Identity) -> None:
    """Whoever may read the stream reads the text and finds it by its words; the server opens tokens alone."""
    stage = Stage(organisation)
    await stage.mine(typed(organisation, b"$ deploy falcon\r\n"))
    (text,) = stage.opened(organisation, ContentType.TEXT)
    (passage,) = decode_text(text.plaintext)
    assert passage["text"] == "$ deploy falcon"
    (sealed_root,) = stage.opened(organisation, ContentType.INDEX_ROOT)
    root = parse_root(sealed_root.plaintext)
    (entry,) = stage.entries()
    assert (entry["source_epoch"], entry["source_sequence"]) == (text.id.epoch_id, 0)
    tokens = set(split_tokens(entry["tokens"]))
    assert tokens & set(query_tokens(Ratchet(root.secret, root.day).key, "falcon"))
    for _, one, _ in stage.published:
        if peek(one).epoch.end_to_end:
            with pytest.raises(OpenError):
                Opener([server_identity()]).open(one)


async def test_what_it_makes_is_dated_as_the_text(organisation: Identity) -> None:
    """Root, text and entries belong to the day of the recording, whenever it is mined."""
    stage = Stage(organisation)
    await stage.mine(typed(organisation, b"falcon\r\n"))
    assert {day_of(peek(one).epoch.created_ms) for _, one, _ in stage.published} == {day_of(START_MS)}
    (root,) = stage.opened(organisation, ContentType.INDEX_ROOT)
    assert parse_root(root.plaintext).day == day_of(START_MS)
    assert all(headers == HEADERS for _, _, headers in stage.published)


async def test_mail_is_indexed_where_it_stands(organisation: Identity) -> None:
    """A message's own segment holds its text: none is sealed beside it."""
    stage = Stage(organisation)
    recorder = Recorder("a", StreamKind.EMAIL, end_to_end=True, recipient=organisation.recipient)
    envelopes = recorder.record([message("Lunch", "at noon"), message("Dinner", "at eight")])
    await stage.mine(envelopes)
    assert stage.opened(organisation, ContentType.TEXT) == []
    assert [entry["ordinal"] for entry in stage.entries()] == [0, 1]
    assert {entry["source_epoch"] for entry in stage.entries()} == {peek(envelopes[0]).epoch.epoch_id}


async def test_what_was_read_before_is_not_made_again(organisation: Identity) -> None:
    """Texts that an endpoint or an earlier run sealed are left as they are, and so is an envelope that comes twice."""
    envelopes = typed(organisation, b"falcon\r\n")
    first = Stage(organisation)
    await first.mine([*envelopes, *envelopes])
    assert len(first.entries()) == 1
    second = Stage(organisation)
    texts = [one for kind, one, _ in first.published if kind is StreamKind.KEYSTROKES]
    second.miner.survey([Sealed(one, HEADERS) for one in texts])
    await second.mine(envelopes)
    assert second.published == []


async def test_what_comes_before_the_scope_is_read_and_not_told(organisation: Identity) -> None:
    """A session is followed from its beginning; only what falls into the time asked for is indexed."""
    stage = Stage(organisation, from_ms=START_MS + 60_000)
    await stage.mine(typed(organisation, b"falcon\r\n"))
    assert stage.published == []
    assert stage.miner.counts["segments"] == 1


async def test_what_is_not_end_to_end_or_not_ours_is_left_alone(organisation: Identity) -> None:
    """What the server mines by itself is no business of an officer, and other keys stay shut."""
    stage = Stage(organisation)
    await stage.mine(Recorder("a", StreamKind.EMAIL).record([message("Lunch", "at noon")]))
    stranger = Identity.generate(2048)
    await stage.mine(typed(stranger, b"falcon\r\n"))
    assert stage.published == []
    assert stage.miner.counts["not_opened"] == 1
