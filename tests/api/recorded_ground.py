"""The API over recordings of Ann, who has screens, a shell, mails and activity, and of Bob, who has an agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from gateway.api.access import Role
from gateway.api.times import from_ms
from infra.keys import make_kek
from infra.settings import Settings
from schemas.envelope import peek
from schemas.identity import document_id
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.records import decode_record, encode_record
from sinks.archive.index import index_file
from sinks.archive.layout import Layout
from sinks.elasticsearch.client import request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.sink import SinkRecord
from tests.api.accounts import as_principal, principal_of
from tests.api.ground import PASSPHRASE, Ground, open_ground
from tests.own_index import own_index
from tests.recordings.recorded import AGENT, NOON_MS, OFFICER, OTHER, Recording
from tests.recordings.test_reader import focus, message, output

LAST_S = 40
SEALED_S = 60


@asynccontextmanager
async def open_recorded(backing: Settings, root: Path) -> AsyncIterator[Ground]:
    """Ann was recorded: screens, a shell, a mail, activity; and a mail end to end. Bob has an agent too."""
    async with open_ground(backing, root, Role.OFFICER) as ground, own_index(backing) as (client, cluster):
        make_kek(ground.settings.keys.dir, "server", PASSPHRASE.encode(), 2048)
        await record(ground)
        ground.services.settings = ground.settings.model_copy(update={"elasticsearch": cluster})
        await index(ElasticsearchSink(client, cluster.index_prefix))
        await request(client, "POST", f"/{alias_name(cluster.index_prefix)}-*/_refresh")
        yield ground


async def record(ground: Ground) -> None:
    """Fill archive, index and tables."""
    root, keys = ground.settings.archive.dir, ground.settings.keys.dir
    recording = Recording(root, [Recipient.from_pem((keys / "server.pub.pem").read_bytes())])
    recording.screens(range(LAST_S))
    recording.add(recording.epoch(StreamKind.KEYSTROKES), 3, [output(3, b"$ transfer the garden\r\n")])
    recording.add(recording.epoch(StreamKind.EMAIL), 5, [message(5, "the invoice is overdue")])
    recording.add(recording.epoch(StreamKind.ACTIVITY), 1, [focus(1, "Editor"), focus(2, "Mail")])
    recording.add(recording.epoch(StreamKind.EMAIL, SEALED_S, to=[OFFICER.recipient]), SEALED_S, [message(60, "hush")])
    sealed = peek(recording.batches[-1][0])
    await recording.store()
    connection = await asyncpg.connect(ground.dsn)
    for path in Layout(root).all_files():
        await index_file(connection, Layout(root), path)
    noon = from_ms(NOON_MS)
    for agent, name, computer in ((AGENT, "ann", "desk-1"), (OTHER, "bob", "desk-2")):
        await connection.execute(
            "INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at, connected) "
            "VALUES ($1, $2, $3, $4, $4, false)",
            *(UUID(bytes=agent), name, computer, noon),
        )
    await connection.execute(
        "INSERT INTO envelope VALUES ($1, $2, 0, 'email', $3, $3, 100, true, 0, 0)",
        *(UUID(bytes=AGENT), sealed.epoch.epoch_id, noon + timedelta(seconds=SEALED_S)),
    )
    await connection.execute(
        "INSERT INTO gap (agent_id, gap_id, noticed_at, stream, reason, detail) VALUES ($1, 'g', $2, 'screen', $3, $4)",
        *(UUID(bytes=AGENT), noon + timedelta(minutes=3), "spool_full"),
        json.dumps({"from_us": str((NOON_MS + 50_000) * 1000), "until_us": str((NOON_MS + 55_000) * 1000)}),
    )
    await connection.execute(
        "INSERT INTO session (agent_id, connected_at, gateway, computer) VALUES ($1, $2, 'g', 'desk-1')",
        *(UUID(bytes=AGENT), noon),
    )
    await connection.execute("INSERT INTO team (name) VALUES ('sales')")
    await connection.execute("INSERT INTO team_member VALUES ('sales', 'ann')")
    await connection.close()


async def index(sink: ElasticsearchSink) -> None:
    """Documents as they are mined: a screen with lines, a mail, one of Bob's, one end to end."""
    lines = [
        {"text": "the silent garden", "x": 10, "y": 20, "width": 90, "height": 12, "appeared_ms": NOON_MS + 7000},
        {"text": "and nothing", "x": 10, "y": 40, "width": 90, "height": 12, "appeared_ms": NOON_MS + 7000},
    ]
    rows = [
        mined(0, "screen", "screen", "the silent garden\nand nothing", lines=lines, application="Editor"),
        mined(1, "email", "email", "the invoice of the garden is overdue", title="Overdue"),
        mined(2, "email", "email", "the garden of Bob", agent=OTHER, user="bob", computer="desk-2"),
        mined(3, "email", "email", "", end_to_end=True, tokens=["AAAAAAAAAAA"]),
    ]
    await sink.open()
    assert await sink.write([SinkRecord("documents", 0, n, NOON_MS, b"k", row) for n, row in enumerate(rows)]) == []


def mined(number: int, stream: str, kind: str, text: str, *, agent: bytes = AGENT, **fields: Any) -> bytes:
    from schemas.identity import EnvelopeId, agent_text

    source = EnvelopeId(agent, bytes([number + 1]) * 32, number)
    record = {
        "document_id": document_id(source, 0),
        "version": number,
        "agent_id": agent_text(agent),
        "epoch_id": source.epoch_id.hex(),
        "sequence": number,
        "stream": stream,
        "kind": kind,
        "user": "ann",
        "computer": "desk-1",
        "time_ms": NOON_MS + 7000,
        "until_ms": NOON_MS + 7000,
        "text": text,
        **fields,
    }
    return encode_record("document", record)


def as_officer(ground: Ground, *persons: str) -> None:
    """Whoever asks from now on is an officer who may see these people; all of them when none is named."""
    as_principal(ground.services, principal_of(Role.OFFICER, persons=persons or None))


def begin(ground: Ground) -> None:
    """A test begins as an officer who may see everybody."""
    as_officer(ground)
    ground.publisher.records.clear()


def audited(ground: Ground, action: str) -> list[dict[str, Any]]:
    entries = [decode_record(one.value, "audit_entry") for one in ground.publisher.records if one.topic == "audit"]
    return [entry for entry in entries if entry["action"] == action]
