"""Unlocking on real stores: who gets plaintext, what the audit has before, and who is refused for what."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import asyncpg
import httpx2 as httpx
import pytest
from aiokafka.admin import NewTopic
from starlette.applications import Starlette

from gateway.unlock.api import UnlockApi
from gateway.unlock.refusal import RefusedError
from gateway.unlock.scope import Scope
from gateway.unlock.session import UnlockSession
from gateway.unlock.tokens import ApiTokens
from infra.audit_reading import check_audit
from infra.kafka import admin, topic_name
from infra.keys import make_kek
from infra.migrate import migrate
from infra.reading import Stretch, read_records
from infra.settings import PostgresqlSettings, Settings, postgresql_dsn
from infra.topic_ids import read_topic_ids
from schemas.canvas import Canvas
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.records import decode_record, decode_segment, encode_segment
from schemas.seal import Epoch
from schemas.tiles import FrameEncoder
from schemas.topics import AUDIT
from schemas.unlock_channel import Released, Viewing, answer
from sinks.archive.index import reindex
from sinks.archive.layout import Layout
from sinks.archive.sink import ArchiveSink
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from tests.live.test_stores import dsn  # noqa: F401  # a fixture
from tests.sinks.envelopes import NOON_MS, agent, as_records

pytestmark = pytest.mark.live

PASSPHRASE = b"correct horse battery"
AGENT = agent(1)


@dataclass
class Site:
    """A server with one officer's KEK, whose archive grows by `record`."""

    settings: Settings
    database: asyncpg.Connection[Any]
    records: list[SinkRecord] = field(default_factory=list)

    async def record(self, kind: StreamKind, segments: list[bytes], kek: str = "officers") -> None:
        """Segments of agent 1, a second apart from noon, end-to-end."""
        recipient = Recipient.from_pem((self.settings.keys.dir / f"{kek}.pub.pem").read_bytes())
        epoch = Epoch.begin(agent_id=AGENT, kind=kind, recipients=[recipient], created_ms=NOON_MS, end_to_end=True)
        sealed = [epoch.seal(plain, capture_ms=NOON_MS + 1000 * number) for number, plain in enumerate(segments)]
        self.records += as_records(sealed, offset=len(self.records))
        sink = ArchiveSink(self.settings.archive.dir)
        await sink.open()
        await sink.write(self.records)
        await sink.flush()
        await sink.close()

    async def index(self) -> None:
        """Make the index in PostgreSQL."""
        await reindex(self.database, Layout(self.settings.archive.dir))

    async def mails(self, *subjects: str) -> None:
        """Record mails, and index them."""
        await self.record(StreamKind.EMAIL, [mail(subject) for subject in subjects])
        await self.index()

    def session(
        self, *, person: str = "ann", since_s: float = 0, keys: tuple[str, ...] = (), **scope: Any
    ) -> UnlockSession:
        """An unlock of agent 1 from so many seconds after noon on, for an hour."""
        kinds = scope.pop("kinds", (StreamKind.EMAIL, StreamKind.SCREEN))
        wanted = Scope(scope.pop("agents", (AGENT,)), kinds, NOON_MS + int(since_s * 1000), NOON_MS + 3_600_000)
        return UnlockSession(self.settings, wanted, person=person, reason="case 4711", keys=keys)

    async def audit(self) -> list[tuple[str, str, str, dict[str, str]]]:
        """Actor, outcome, purpose and detail of the audit entries in Kafka."""
        records = [record async for record in read_records(self.settings, AUDIT.name, Stretch())]
        entries = [decode_record(record.value, "audit_entry") for record in records]
        return [(one["actor"], one["outcome"], one["purpose"], one["detail"]) for one in entries]


@pytest.fixture
async def site(backing: Settings, dsn: str, tmp_path: Path) -> AsyncIterator[Site]:  # noqa: F811
    """An audit topic, a database, an archive and keys of this test's own."""
    settings = backing.model_copy(
        update={
            "kafka": backing.kafka.model_copy(update={"topic_prefix": f"test-{uuid4().hex[:12]}-"}),
            "archive": backing.archive.model_copy(update={"dir": tmp_path / "archive"}),
            "node": backing.node.model_copy(update={"data_dir": tmp_path}),
            "postgresql": PostgresqlSettings(dsn=dsn, password_file=None),
            "keys": backing.keys.model_copy(update={"dir": tmp_path / "keys"}),
            "unlock": backing.unlock.model_copy(update={"tokens_file": tmp_path / "api.tokens"}),
        }
    )
    make_kek(settings.keys.dir, "officers", PASSPHRASE, bits=2048)
    client = admin(settings)
    await client.start()
    await client.create_topics([NewTopic(topic_name(settings, AUDIT.name), 1, 1)])
    database = await asyncpg.connect(dsn)
    await migrate(database)
    await register(database, "officers")
    try:
        yield Site(settings, database)
    finally:
        await database.close()
        await client.delete_topics([topic_name(settings, AUDIT.name)])
        await client.close()


async def register(database: asyncpg.Connection[Any], name: str) -> None:
    """The datasheet's insert."""
    await database.execute(
        f"insert into encryption_kek (pub_datafile, priv_datafile, priv_encrypted) "
        f"values ('{name}.pub.pem','{name}.pem',true)"
    )


def mail(subject: str) -> bytes:
    """A segment with one mail."""
    event = {
        "time_us": NOON_MS * 1000, "message_id": "", "folder": "", "sender": "a", "recipients": [], "subject": subject,
        "sent_ms": None, "text": "text", "attachments": [], "size": 1,
    }  # fmt: skip
    return encode_segment(StreamKind.EMAIL, [event])


async def see(session: UnlockSession, passphrase: bytes = PASSPHRASE) -> list[Released]:
    """What a viewer sees of an unlock, to its end."""
    async with session:
        survey = await session.survey()
        public, channel = answer(survey.public_key, session.id)
        await session.open(public, channel.seal(passphrase))
        viewing = Viewing(channel)
        released = [one async for message in session.release() if (one := viewing.take(message))]
        assert viewing.summary is not None
    return released


def subjects(released: list[Released]) -> list[str]:
    """Subjects of released mails."""
    segments = [decode_segment(StreamKind.EMAIL, bytes(one.plaintext)) for one in released]
    return [event["subject"] for events in segments for event in events]


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


class TestApi:
    """The routes of the HTTPS port."""

    @pytest.fixture
    async def client(self, site: Site) -> AsyncIterator[httpx.AsyncClient]:
        """A person with a token, and the application."""
        await site.mails("first", "second")
        token = ApiTokens(site.settings.unlock.tokens_file).issue("ann", 1)
        api = UnlockApi(site.settings)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=Starlette(routes=api.routes)),
            base_url="https://server",
            headers={"Authorization": f"Bearer {token}"},
        ) as client:
            yield client
        await api.close()

    WISH: ClassVar[dict[str, Any]] = {
        "agents": ["00000000-0000-0000-0000-000000000001"],
        "streams": ["email"],
        "since_ms": NOON_MS,
        "until_ms": NOON_MS + 60_000,
        "reason": "case 4711",
    }

    async def test_a_viewer_unlocks_and_the_carrier_sees_nothing(self, site: Site, client: httpx.AsyncClient) -> None:
        """What passes holds neither passphrase nor plaintext; the viewer opens it; the unlock is over then."""
        begun = (await client.post("/api/v1/unlock", json=self.WISH)).json()
        one = f"/api/v1/unlock/{begun['session']}"
        public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
        body = {
            "public_key": base64.b64encode(public).decode(),
            "sealed": base64.b64encode(channel.seal(PASSPHRASE)).decode(),
        }
        assert (await client.get(f"{one}/segments")).status_code == 409
        assert (await client.post(f"{one}/passphrase", json=body)).json() == {"keys": ["officers"]}
        stream = (await client.get(f"{one}/segments")).content
        assert not any(mail(subject) in stream for subject in ("first", "second"))
        viewing, released, at = Viewing(channel), [], 0
        while at < len(stream):
            length = int.from_bytes(stream[at : at + 4], "big")
            released.append(viewing.take(stream[at + 4 : at + 4 + length]))
            at += 4 + length
        assert subjects([one for one in released if one]) == ["first", "second"]
        assert viewing.summary == {"segments": 2, "email": 2}
        assert (await client.get(f"{one}/segments")).status_code == 404
        assert {actor for actor, _, _, _ in await site.audit()} == {"ann@api"}

    async def test_an_unlock_is_its_persons_alone(self, site: Site, client: httpx.AsyncClient) -> None:
        """Another person's token does not lead to it; nobody gets anywhere without a token."""
        begun = (await client.post("/api/v1/unlock", json=self.WISH)).json()
        one = f"/api/v1/unlock/{begun['session']}"
        other = ApiTokens(site.settings.unlock.tokens_file).issue("bob", 1)
        assert (await client.delete(one, headers={"Authorization": f"Bearer {other}"})).status_code == 404
        for header in ("", "Bearer ", "Bearer x", f"Basic {other}"):
            assert (await client.delete(one, headers={"Authorization": header})).status_code == 401
        assert (await client.delete(one)).status_code == 204

    async def test_a_wrong_passphrase_ends_the_unlock(self, client: httpx.AsyncClient) -> None:
        """And says so; a message that was not sealed for this unlock is no passphrase at all."""
        for sealed, reason in ((PASSPHRASE[::-1], "wrong_passphrase"), (None, "channel")):
            begun = (await client.post("/api/v1/unlock", json=self.WISH)).json()
            public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
            body = {
                "public_key": base64.b64encode(public).decode(),
                "sealed": base64.b64encode(channel.seal(sealed) if sealed else bytes(40)).decode(),
            }
            one = f"/api/v1/unlock/{begun['session']}"
            refusal = await client.post(f"{one}/passphrase", json=body)
            assert (refusal.status_code, refusal.json()["error"]) == (403, reason)
            assert (await client.get(f"{one}/segments")).status_code == 404

    async def test_what_cannot_be_unlocked_is_told(self, client: httpx.AsyncClient) -> None:
        """Each with its status, and a word for scripts."""
        wishes: list[tuple[dict[str, Any], int]] = [
            ({"agents": []}, 400),
            ({"agents": ["x"]}, 400),
            ({"streams": ["index"]}, 400),
            ({"since_ms": "yesterday"}, 400),
            ({"until_ms": 0}, 400),
            ({"reason": ""}, 400),
            ({"reason": 5}, 400),
            ({"keys": ["unknown"]}, 403),
            ({"agents": ["00000000-0000-0000-0000-000000000009"]}, 404),
        ]
        for change, status in wishes:
            answered = await client.post("/api/v1/unlock", json={**self.WISH, **change})
            assert answered.status_code == status, answered.text
            assert answered.json()["error"]

    @pytest.mark.slow
    async def test_only_so_many_at_once(self, site: Site, client: httpx.AsyncClient) -> None:
        """Each unlock is a process: their number is bounded."""
        for _ in range(site.settings.unlock.sessions):
            assert (await client.post("/api/v1/unlock", json=self.WISH)).status_code == 201
        assert (await client.post("/api/v1/unlock", json=self.WISH)).status_code == 429

    async def test_envelopes_come_sealed_for_the_browser(self, site: Site, client: httpx.AsyncClient) -> None:
        """Byte for byte as they came, and the audit knows who took them."""
        query = {"agent": self.WISH["agents"][0], "stream": "email", "since_ms": NOON_MS, "until_ms": NOON_MS + 1}
        assert (await client.get("/api/v1/envelopes", params=query)).status_code == 400
        stream = (await client.get("/api/v1/envelopes", params={**query, "reason": "case"})).content
        assert stream == len(site.records[0].value).to_bytes(4, "big") + site.records[0].value
        assert (await site.audit())[-1][:3] == ("ann@api", "done", "case")


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
