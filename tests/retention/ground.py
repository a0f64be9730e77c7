"""Stores of a test's own on the servers of a running stack, filled with what two agents recorded over a month.

Never touches the database, the indices, the topics or the archive of the stack that lends them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from infra.settings import RetentionSettings, Settings, postgresql_dsn
from schemas.kinds import StreamKind
from schemas.records import encode_record
from sinks.archive.index import reindex
from sinks.archive.layout import Layout
from sinks.archive.reading import read_envelopes
from sinks.archive.sink import ArchiveSink
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from tests.sinks.contract import put
from tests.sinks.envelopes import as_records, begin

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
AGES = (40, 10, 1)
"""Days before `NOW` of which there is something."""
PEOPLE = {0xA1: "ann", 0xB2: "bob"}
KINDS = (StreamKind.SCREEN, StreamKind.EMAIL)

_ROWS = (
    "INSERT INTO session (agent_id, connected_at, disconnected_at, user_name, gateway) VALUES ($1, $2, $2, $3, $4)",
    "INSERT INTO gap (agent_id, noticed_at, stream, reason, gap_id) VALUES ($1, $2, 'screen', $3, $4)",
    "INSERT INTO activity_span VALUES ($1, convert_to($4, 'UTF8'), 0, 0, $3, 'pc', 'editor', $2, 1000, 0, 1, '{}')",
    """INSERT INTO alert (kafka_partition, kafka_offset, rule, agent_id, raised_at, person, alert_id)
    VALUES (0, 0, 'r', $1, $2, $3, $4)""",
)


def moment(days_ago: int) -> datetime:
    """Noon of that day."""
    return NOW - timedelta(days=days_ago)


def envelopes(number: int, kind: StreamKind, days_ago: int) -> list[SinkRecord]:
    """Two records of one epoch of that day."""
    ms = int(moment(days_ago).timestamp() * 1000)
    epoch = begin(number, kind, ms)
    records = as_records([epoch.seal(b"x" * 50, capture_ms=ms + 1000 * count) for count in range(2)])
    return [record._replace(timestamp_ms=ms, headers=(("user", PEOPLE[number].encode()),)) for record in records]


def document(number: int, kind: StreamKind, days_ago: int) -> SinkRecord:
    """A text of that day."""
    ms = int(moment(days_ago).timestamp() * 1000)
    record = {
        "document_id": f"{number}-{kind.label}-{days_ago}",
        "version": 1,
        "agent_id": str(UUID(int=number)),
        "epoch_id": "00",
        "sequence": 0,
        "stream": kind.label,
        "kind": kind.label,
        "user": PEOPLE[number],
        "computer": "pc",
        "time_ms": ms,
        "until_ms": ms + 1000,
        "text": "a word",
    }
    return SinkRecord("documents", 0, 0, ms, None, encode_record("document", record))


@dataclass
class Ground:
    """The stores, and what is in them."""

    settings: Settings

    def keeping(self, **days: object) -> Settings:
        """Settings with these days."""
        return self.settings.model_copy(update={"retention": RetentionSettings.model_validate(days)})

    async def fill(self) -> None:
        """Both people record both streams on every day of `AGES`."""
        every = [(number, kind, age) for number in PEOPLE for kind in KINDS for age in AGES]
        self.envelopes = [record for one in every for record in envelopes(*one)]
        self.documents = [document(*one) for one in every]
        await self.write(self.envelopes, self.documents)
        connection = await asyncpg.connect(postgresql_dsn(self.settings))
        for number, name in PEOPLE.items():
            for age in AGES:
                for statement in _ROWS:
                    await connection.execute(statement, UUID(int=number), moment(age), name, f"{number}-{age}")
        await reindex(connection, Layout(self.settings.archive.dir))
        await connection.close()

    async def write(self, envelopes: list[SinkRecord], documents: list[SinkRecord]) -> None:
        """As the sinks do."""
        archive = ArchiveSink(self.settings.archive.dir)
        relational = PostgresqlSink(postgresql_dsn(self.settings))
        search = ElasticsearchSink(connect(self.settings.elasticsearch), self.settings.elasticsearch.index_prefix)
        for sink, records in ((archive, envelopes), (relational, envelopes), (search, documents)):
            await sink.open()
            assert await put(sink, records) == []
            await sink.close()

    async def recorded(self) -> Counter[tuple[str, str, int]]:
        """Person, stream and age of what the archive can give."""
        return Counter(
            (PEOPLE[UUID(envelope.id.agent).int], envelope.kind.label, _age(envelope.capture_ms))
            for envelope in read_envelopes(self.settings.archive.dir)
        )

    async def rows(self, table: str, time: str) -> Counter[tuple[str, int]]:
        """Person and age of a table's rows."""
        connection = await asyncpg.connect(postgresql_dsn(self.settings))
        try:
            found = await connection.fetch(f"SELECT agent_id, {time} AS at FROM {table}")
        finally:
            await connection.close()
        return Counter((PEOPLE[row["agent_id"].int], (NOW.date() - row["at"].date()).days) for row in found)

    async def value(self, query: str) -> object:
        """One value of the database."""
        connection = await asyncpg.connect(postgresql_dsn(self.settings))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def texts(self) -> set[tuple[str, str, int]]:
        """Person, stream and age of what search can find."""
        client, alias = connect(self.settings.elasticsearch), alias_name(self.settings.elasticsearch.index_prefix)
        try:
            await request(client, "POST", f"/{alias}/_refresh")
            hits = (await request(client, "POST", f"/{alias}/_search", body={"size": 1000}))["hits"]["hits"]
        finally:
            await client.close()
        told = ((hit["_source"]["user"], *hit["_id"].split("-")[1:]) for hit in hits)
        return {(user, stream, int(age)) for user, stream, age in told}


def _age(ms: int) -> int:
    return (NOW.date() - datetime.fromtimestamp(ms / 1000, UTC).date()).days
