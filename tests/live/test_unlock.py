"""Unlocking on real stores: who gets plaintext, what the audit has before, and who is refused for what."""

from __future__ import annotations

import struct
from pathlib import Path

import asyncpg
import pytest

from gateway.unlock.refusal import RefusedError
from gateway.unlock.scope import Scope
from gateway.unlock.session import UnlockSession
from infra.audit_reading import check_audit
from infra.keys import make_kek
from infra.reading import Stretch, read_records
from infra.settings import postgresql_dsn
from infra.topic_ids import read_topic_ids
from schemas.canvas import Canvas
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment
from schemas.tiles import FrameEncoder
from schemas.topics import AUDIT
from schemas.unlock_channel import answer
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from tests.live.test_stores import dsn  # noqa: F401  # a fixture
from tests.live.unlocking import AGENT, PASSPHRASE, Site, mail, make_site, register, see, subjects  # noqa: F401  # a fixture
from tests.sinks.envelopes import NOON_MS, agent

pytestmark = pytest.mark.live


async def test_the_passphrase_opens_what_is_in_scope_for_its_viewer(site: Site) -> None:
    """All of it, in order, and nothing from before the scope; the audit has who, why and how it went."""
    await site.mails("first", "second", "third")
    assert subjects(await see(site.session(since_s=1))) == ["second", "third"]
    told = await site.audit()
    assert [(actor, outcome) for actor, outcome, _, _ in told] == [
        ("ann", "asked"),
        ("ann", "granted"),
        ("ann", "done"),
    ]
    assert {purpose for _, _, purpose, _ in told} == {"case 4711"}
    assert told[1][3]["keys"] == "officers"
    assert told[2][3]["segments"] == "2"


async def test_what_the_index_does_not_know_yet_is_found(site: Site) -> None:
    """Records that came after the index was made are in scope like any other."""
    await site.mails("indexed")
    await site.record(StreamKind.EMAIL, [mail("not indexed")])
    assert sorted(subjects(await see(site.session()))) == ["indexed", "not indexed"]


async def test_the_audit_has_it_before_anything_is_released(site: Site) -> None:
    """When the passphrase was taken and no message was given out, the entry that grants it is in Kafka."""
    await site.mails("first")
    async with site.session() as session:
        survey = await session.survey()
        public, channel = answer(survey.public_key, session.id)
        with pytest.raises(RefusedError, match="nothing was unlocked"):
            await anext(session.release())
        await session.open(public, channel.seal(PASSPHRASE))
        assert [outcome for _, outcome, _, _ in await site.audit()] == ["asked", "granted"]
    assert (await site.audit())[-1][1] == "broken_off"


async def test_the_opener_ends_with_its_unlock(site: Site) -> None:
    """No process is left, whether the viewer waited for the end or not."""
    await site.mails("first")
    async with site.session() as session:
        await session.survey()
        assert runs(session.opener_pid)
    assert not runs(session.opener_pid)


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return pid > 0 and Path(f"/proc/{pid}").exists()


async def refused(session: UnlockSession, passphrase: bytes = PASSPHRASE) -> str:
    """The reason for which an unlock is refused."""
    with pytest.raises(RefusedError) as caught:
        await see(session, passphrase)
    return caught.value.reason


@pytest.mark.slow
async def test_each_way_of_not_opening_has_its_own_reason(site: Site) -> None:
    """Wrong passphrase, KEK not registered, its file gone, retired, revoked, nothing there; each in the audit."""
    await site.mails("first")
    reasons = [
        await refused(site.session(), b"wrong passphrase"),
        await refused(site.session(keys=("unknown",))),
        await refused(site.session(agents=(agent(9),))),
    ]
    private = site.settings.keys.dir / "officers.pem"
    aside = private.rename(private.with_name("aside"))
    reasons.append(await refused(site.session()))
    aside.rename(private)
    for state in ("retired", "revoked"):
        await site.database.execute(
            "UPDATE encryption_kek SET state = $1 WHERE pub_datafile = 'officers.pub.pem'", state
        )
        reasons.append(await refused(site.session()))
    await site.database.execute("DELETE FROM encryption_kek WHERE pub_datafile = 'officers.pub.pem'")
    reasons.append(await refused(site.session()))
    expected = ["wrong_passphrase", "kek_missing", "nothing_found", "kek_missing", "kek_retired", "kek_revoked"]
    assert reasons == [*expected, "kek_missing"]
    told = [detail["why"] for _, outcome, _, detail in await site.audit() if outcome == "refused"]
    assert told == reasons


async def test_no_reason_no_unlock(site: Site) -> None:
    """Who does not say why is refused before anything is looked for."""
    await site.mails("first")
    scope = Scope((AGENT,), (StreamKind.EMAIL,), NOON_MS, NOON_MS + 1000)
    assert await refused(UnlockSession(site.settings, scope, person="ann", reason=" ")) == "no_reason"


@pytest.mark.slow
async def test_guessing_ends_after_a_few_attempts(site: Site) -> None:
    """Not even the right passphrase helps then; the count is in the database, and another person's is another."""
    await site.mails("first")
    for _ in range(site.settings.unlock.attempts):
        assert await refused(site.session(), b"a wrong guess") == "wrong_passphrase"
    assert await refused(site.session()) == "too_many_attempts"
    assert subjects(await see(site.session(person="bob"))) == ["first"]
    await site.database.execute("UPDATE unlock_attempt SET attempted_at = attempted_at - interval '1 hour'")
    assert subjects(await see(site.session())) == ["first"]


async def test_an_attempt_that_was_cut_short_counts(site: Site) -> None:
    """Who ends the process in the middle of an attempt has used it up."""
    await site.mails("first")
    insert = "INSERT INTO unlock_attempt (person, kek) SELECT 'ann', key FROM unnest($1::text[]) AS key"
    recipient = Recipient.from_pem((site.settings.keys.dir / "officers.pub.pem").read_bytes())
    await site.database.execute(insert, [recipient.key_id.hex()] * site.settings.unlock.attempts)
    assert await refused(site.session()) == "too_many_attempts"


async def test_only_what_the_passphrase_opens_is_released(site: Site) -> None:
    """What is sealed to another KEK is counted, not released."""
    make_kek(site.settings.keys.dir, "others", b"another passphrase", bits=2048)
    await register(site.database, "others")
    await site.record(StreamKind.EMAIL, [mail("theirs")], kek="others")
    await site.mails("ours")
    assert subjects(await see(site.session())) == ["ours"]
    assert (await site.audit())[-1][3]["sealed_to_other_keks"] == "1"


async def test_screens_begin_with_a_whole_frame_and_show_nothing_from_before(site: Site) -> None:
    """A scope that begins between two key frames begins with the picture of that moment."""
    encoder, pictures, segments = FrameEncoder(), [], []
    for number in range(4):
        pixels = [0x00FF00 if column < 16 * number else 0x0000FF for _ in range(32) for column in range(64)]
        pictures.append(struct.pack(f"<{64 * 32}I", *pixels))
        frame = encoder.encode(pictures[-1], 64, 32, time_us=(NOON_MS + 1000 * number) * 1000)
        assert frame
        segments.append(encode_segment(StreamKind.SCREEN, [frame]))
    await site.record(StreamKind.SCREEN, segments)
    await site.index()
    released = await see(site.session(since_s=2))
    frames = [frame for one in released for frame in decode_segment(StreamKind.SCREEN, bytes(one.plaintext))]
    assert [frame["key_frame"] for frame in frames] == [True, False]
    assert all(frame["time_us"] >= (NOON_MS + 2000) * 1000 for frame in frames)
    canvas = Canvas()
    for frame, picture in zip(frames, pictures[2:], strict=True):
        canvas.draw(frame)
        red_first = b"".join(
            picture[at + 2 : at + 3] + picture[at + 1 : at + 2] + picture[at : at + 1]
            for at in range(0, len(picture), 4)
        )
        assert canvas.pixels.tobytes() == red_first


async def test_the_database_chains_what_is_written_and_refuses_changes(site: Site) -> None:
    """Entries that a sink writes are chained by themselves, checked whole, and kept from UPDATE and DELETE."""
    await site.mails("first")
    await see(site.session())
    sink = PostgresqlSink(postgresql_dsn(site.settings), lambda: read_topic_ids(site.settings, [AUDIT.name]))
    await sink.open()
    records = [record async for record in read_records(site.settings, AUDIT.name, Stretch())]
    batch = [
        SinkRecord(AUDIT.name, record.partition, record.offset, record.timestamp, record.key, record.value, ())
        for record in records
    ]
    for _ in range(2):  # what comes again changes nothing
        assert await sink.write(batch) == []
    await sink.close()
    report = await check_audit(site.settings)
    assert report.sound, report.damage
    assert report.entries == report.in_kafka == 3
    for statement in ("UPDATE audit_entry SET actor = 'bob'", "DELETE FROM audit_chain", "TRUNCATE audit_entry"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await site.database.execute(statement)
    await site.database.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
    await site.database.execute("UPDATE audit_entry SET actor = 'bob' WHERE kafka_offset = 1")
    assert not (await check_audit(site.settings)).sound
