"""A server of a test's own, on real stores, with an officer's KEK, an archive, and a viewer.

Never shares a topic, database, archive or key with another test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import NewTopic

from gateway.unlock.scope import Scope
from gateway.unlock.session import UnlockSession
from infra.kafka import admin, topic_name
from infra.keys import make_kek
from infra.migrate import migrate
from infra.reading import Stretch, read_records
from infra.settings import PostgresqlSettings, Settings
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.records import decode_record, decode_segment, encode_segment
from schemas.seal import Epoch
from schemas.topics import AUDIT
from schemas.unlock_channel import Released, Viewing, answer
from sinks.archive.index import reindex
from sinks.archive.layout import Layout
from sinks.archive.sink import ArchiveSink
from sinks.sink import SinkRecord
from tests.live.test_stores import dsn  # noqa: F401  # a fixture
from tests.sinks.envelopes import NOON_MS, agent, as_records

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


@pytest.fixture(name="site")
async def make_site(backing: Settings, dsn: str, tmp_path: Path) -> AsyncIterator[Site]:  # noqa: F811
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
