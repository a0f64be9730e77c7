"""Recorder and streams under a clock that stands still: segments, epochs, parts, padding, gaps, policy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.clock import ManualClock
from agent.gap import Gap, GapReason
from agent.keyring import Keyring
from agent.memory_spool import MemorySpool
from agent.policy import Policy
from agent.recorder import Recorder
from agent.settings import RecorderSettings
from agent.source import CurrentPolicy, Emit
from schemas.envelope import Peek, peek
from schemas.errors import OpenError
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Chain, Opener, PartJoiner
from schemas.records import Record, decode_segment

AGENT_ID = bytes(range(16))
ALL = frozenset({"screen", "keystrokes", "email", "activity"})


@pytest.fixture(scope="module")
def server() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture(scope="module")
def organisation() -> Identity:
    """The organisation's own KEK."""
    return Identity.generate(2048)


class Typing:
    """A source that emits what the test tells it to."""

    kind = StreamKind.KEYSTROKES
    name = "typing"

    def __init__(self, kind: StreamKind = StreamKind.KEYSTROKES) -> None:
        self.kind = kind
        self.renewed = 0

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Nothing by itself."""

    def renew(self) -> None:
        self.renewed += 1


class Stage:
    """A recorder with all that it needs, and the eyes of the server behind its spool."""

    def __init__(self, server: Identity, kek_file: Path, **changes: object) -> None:
        self.clock = ManualClock()
        self.spool = MemorySpool()
        self.server = server
        self.keyring = Keyring([server.recipient], kek_file)
        self.settings = RecorderSettings(**changes)  # type: ignore[arg-type]
        self.recorder = Recorder(
            agent_id=AGENT_ID,
            settings=self.settings,
            spool=self.spool,
            keyring=self.keyring,
            policy=Policy(version=1, streams=ALL),
            clock=self.clock,
        )
        self.source = Typing()
        self.emit = self.recorder.emit_for(self.source)

    def event(self, data: bytes = b"a") -> Record:
        return {
            "time_us": self.clock.now_us(),
            "session": "s",
            "kind": "output",
            "data": data,
            "masked": False,
            "columns": 80,
            "rows": 24,
            "exit_code": None,
            "title": "",
            "alternate": False,
        }

    def envelopes(self) -> list[bytes]:
        taken = [one.envelope for one in self.spool.take(1 << 30)]
        self.spool.rewind()
        return taken

    def peeks(self, kind: StreamKind = StreamKind.KEYSTROKES) -> list[Peek]:
        return [seen for seen in map(peek, self.envelopes()) if seen.record.kind is kind]

    def events(self, *identities: Identity, kind: StreamKind = StreamKind.KEYSTROKES) -> list[list[Record]]:
        """Events of each segment, as whoever has the keys reads them."""
        opener, joiner = Opener(identities or [self.server]), PartJoiner()
        opened = [opener.open(one) for one in self.envelopes() if peek(one).record.kind is kind]
        segments = [decode_segment(kind, whole.plaintext) for part in opened if (whole := joiner.add(part))]
        return [events for events in segments if events]  # what ends an epoch that was idle holds no event


@pytest.fixture
def stage(server: Identity, tmp_path: Path) -> Stage:
    """A recorder of keystrokes."""
    return Stage(server, tmp_path / "kek.pem")


async def test_a_segment_is_closed_a_second_after_its_first_event(stage: Stage) -> None:
    """Events of one second become one envelope, in order, with the time of the first."""
    first_ms = stage.clock.now_us() // 1000
    for data in (b"1", b"2", b"3"):
        await stage.emit(stage.event(data))
        await stage.clock.advance(0.3)
    assert stage.envelopes() == []
    await stage.clock.advance(0.2)
    assert [[e["data"] for e in events] for events in stage.events()] == [[b"1", b"2", b"3"]]
    (seen,) = stage.peeks()
    assert (seen.record.capture_ms, seen.record.sequence, seen.epoch.agent_id) == (first_ms, 0, AGENT_ID)


async def test_a_segment_is_closed_by_its_size(stage: Stage) -> None:
    """256 KiB of events do not wait for the second."""
    for _ in range(5):
        await stage.emit(stage.event(os.urandom(60_000)))
    assert len(stage.envelopes()) == 1


async def test_the_length_of_keystrokes_is_padded(stage: Stage) -> None:
    """What was typed does not show in the length of the envelope."""
    lengths = set()
    for size in (1, 20, 60):
        await stage.emit(stage.event(os.urandom(size)))
        await stage.clock.advance(1)
    lengths = {seen.record.length for seen in stage.peeks()}
    assert all(seen.record.padded for seen in stage.peeks())
    assert all(length % 256 == 0 for length in lengths)
    assert len(stage.events()) == 3


async def test_a_large_segment_becomes_parts_that_join(stage: Stage) -> None:
    """Nothing is dropped or cut for being large; each part keeps to the server's limit."""
    stage.recorder.limit_envelopes(100_000)
    data = os.urandom(350_000)
    await stage.emit(stage.event(data))
    seen = stage.peeks()
    assert [one.record.more_parts for one in seen] == [True] * (len(seen) - 1) + [False]
    assert max(map(len, stage.envelopes())) <= 100_000
    assert [[e["data"] for e in events] for events in stage.events()] == [[data]]


async def test_an_epoch_ends_within_fifteen_minutes_and_the_next_links_to_it(stage: Stage) -> None:
    """Its last record is final, the next epoch names it, every record follows the one before, and sources renew."""
    for _ in range(4):
        await stage.emit(stage.event())
        await stage.clock.advance(450)
    envelopes = stage.envelopes()
    epochs: dict[bytes, list[bytes]] = {}
    for one in envelopes:
        epochs.setdefault(peek(one).epoch.epoch_id, []).append(one)
    assert len(epochs) >= 2
    link = bytes(32)
    for records in epochs.values():
        chain = Chain()
        for one in records:
            chain.check(peek(one), one)
        assert peek(records[0]).epoch.link == link or link == bytes(32)
        assert peek(records[-1]).record.final
        life_ms = peek(records[-1]).record.capture_ms - peek(records[0]).epoch.created_ms
        assert life_ms < 15 * 60 * 1000
        core = peek(records[-1]).epoch.core
        link = _link(core, records[-1])
    assert stage.source.renewed >= len(epochs) - 1


def _link(core: bytes, last: bytes) -> bytes:
    from schemas.envelope import RECORD_HEADER_BYTES, TAG_BYTES, next_hash, next_link

    seen = peek(last)
    header = last[seen.record_at : seen.record_at + RECORD_HEADER_BYTES]
    return next_link(core, next_hash(seen.record.previous_hash, header, last[-TAG_BYTES:]))


async def test_a_machine_that_slept_does_not_go_on_with_an_old_key(stage: Stage) -> None:
    """The wall clock ends an epoch too: timers stand still while a machine sleeps."""
    await stage.emit(stage.event())
    await stage.clock.advance(1)
    stage.clock._start_us += 3_600_000_000
    await stage.emit(stage.event())
    await stage.clock.advance(1)
    first, second = stage.peeks()
    assert first.epoch.epoch_id != second.epoch.epoch_id
    assert second.epoch.link != bytes(32)


async def test_nothing_outside_the_policy_is_kept(stage: Stage) -> None:
    """Whatever a source emits: not a stream that is not listed, not while paused, not an excluded window."""
    screen = Typing(StreamKind.ACTIVITY)
    emit = stage.recorder.emit_for(screen)
    window = {
        "time_us": stage.clock.now_us(),
        "duration_us": 1,
        "kind": "focus",
        "application": "KeePassXC",
        "title": "x",
        "path": "",
        "pid": None,
    }
    stage.recorder.apply(Policy(version=2, streams=frozenset({"activity"}), exclude_applications=("keepass*",)))
    await emit(window)
    await stage.emit(stage.event())
    stage.recorder.apply(Policy(version=3, streams=ALL, paused=True))
    await stage.emit(stage.event())
    await stage.clock.advance(2)
    await stage.recorder.close()
    assert stage.envelopes() == []
    assert stage.recorder.refused == 3
    assert screen.renewed == 1


async def test_end_to_end_streams_are_sealed_to_the_organisation_alone(
    server: Identity, organisation: Identity, tmp_path: Path
) -> None:
    """The server cannot open them, its own streams it can, and the header says which is which (R6.1)."""
    kek = tmp_path / "kek.pem"
    kek.write_bytes(organisation.recipient.to_pem())
    stage = Stage(server, kek)
    await stage.emit(stage.event(b"before"))
    stage.recorder.apply(Policy(version=2, streams=ALL, end_to_end=frozenset({"keystrokes"})))
    await stage.emit(stage.event(b"secret"))
    await stage.clock.advance(1)
    before, after = [seen.epoch for seen in stage.peeks()]
    assert (before.end_to_end, after.end_to_end) == (False, True)
    assert after.key_ids == (organisation.key_id,)
    with pytest.raises(OpenError):
        stage.events()
    assert [e[0]["data"] for e in stage.events(server, organisation)] == [b"before", b"secret"]


async def test_an_event_that_cannot_be_sealed_does_not_keep_the_servers_key_in_use(
    server: Identity, organisation: Identity, tmp_path: Path
) -> None:
    """When a stream becomes end-to-end, nothing after that is sealed in the epoch before, whatever ended it."""
    kek = tmp_path / "kek.pem"
    kek.write_bytes(organisation.recipient.to_pem())
    stage = Stage(server, kek)
    await stage.emit(stage.event(b"before"))
    await stage.clock.advance(2)
    await stage.emit(stage.event() | {"data": 5})
    stage.recorder.apply(Policy(version=2, streams=ALL, end_to_end=frozenset({"keystrokes"})))
    await stage.emit(stage.event(b"secret"))
    await stage.clock.advance(1)
    assert [seen.epoch.end_to_end for seen in stage.peeks(StreamKind.KEYSTROKES)] == [False, True]


async def test_without_the_organisations_key_nothing_is_sealed_to_the_server_instead(
    server: Identity, tmp_path: Path
) -> None:
    """What cannot be sealed as the policy says is a gap, never readable by somebody else."""
    stage = Stage(server, tmp_path / "missing.pem")
    stage.recorder.apply(Policy(version=2, streams=ALL, end_to_end=frozenset({"keystrokes"})))
    for _ in range(3):
        await stage.emit(stage.event(b"secret"))
        await stage.clock.advance(2)
    assert stage.envelopes() == []
    await stage.recorder.close()
    ((gap,),) = stage.events(kind=StreamKind.GAP)
    assert (gap["stream"], gap["reason"]) == ("keystrokes", "capture_failed")
    assert "missing.pem" in gap["detail"]
    assert "keystrokes" in stage.recorder.unsealable()


async def test_new_keys_of_the_server_are_used_at_once(stage: Stage, organisation: Identity) -> None:
    """What was captured before is sealed to the old KEK, what comes after to the new one."""
    await stage.emit(stage.event(b"old"))
    stage.recorder.apply(stage.recorder.policy, [organisation.recipient.to_pem().decode()])
    await stage.emit(stage.event(b"new"))
    await stage.clock.advance(1)
    assert [seen.epoch.key_ids for seen in stage.peeks()] == [(stage.server.key_id,), (organisation.key_id,)]


async def test_an_owed_gap_is_sealed_and_then_settled(stage: Stage) -> None:
    """It stands in the gap stream with all that was known of it, and is told once."""
    gap = Gap("screen", GapReason.SPOOL_FULL, b"e" * 32, 3, 9, 1, 2, 77, "the spool was full")
    stage.spool.owe(gap)
    await stage.recorder.tell_owed()
    await stage.recorder.tell_owed()
    ((told,),) = stage.events(kind=StreamKind.GAP)
    assert told == gap.to_event(told["time_us"])
    assert stage.spool.owed() == []


async def test_an_event_that_is_not_of_its_schema_costs_itself_alone(stage: Stage) -> None:
    """A fault of a source becomes a gap; the events beside it are kept."""
    await stage.emit(stage.event(b"1"))
    await stage.emit({"time_us": stage.clock.now_us(), "kind": "nonsense"})
    await stage.emit(stage.event(b"3"))
    await stage.clock.advance(1)
    assert [[e["data"] for e in events] for events in stage.events()] == [[b"1", b"3"]]
    await stage.recorder.close()
    ((gap,),) = stage.events(kind=StreamKind.GAP)
    assert (gap["stream"], gap["reason"]) == ("keystrokes", "capture_failed")


async def test_closing_seals_what_is_open_and_ends_every_epoch(stage: Stage) -> None:
    """After an orderly end nothing is in memory alone, and no stream looks cut."""
    await stage.emit(stage.event(b"last"))
    await stage.recorder.close()
    assert stage.events() == [[stage.event(b"last")]]
    assert stage.peeks()[-1].record.final


async def test_a_reconnect_makes_sources_renew(stage: Stage) -> None:
    """Whoever looks from here on has something to start with."""
    stage.recorder.renew()
    assert stage.source.renewed == 1
