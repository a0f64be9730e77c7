"""PostgreSQL and Elasticsearch as sinks: the contract, and what only the real store can show."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from elasticsearch import AsyncElasticsearch

from infra.migrate import Migration, load_migrations, migrate
from infra.settings import Settings, postgresql_dsn
from schemas.errors import ConfigError, UnavailableError
from schemas.records import encode_record
from sinks.elasticsearch.client import request
from sinks.elasticsearch.mapping import PROPERTIES, alias_name
from sinks.elasticsearch.search import MARK_END, MARK_START, Question, search
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from tests.own_index import own_index
from tests.sinks.contract import SinkContract, Store, put
from tests.sinks.envelopes import NOON_MS, as_records, begin, seal

pytestmark = pytest.mark.live

AGENT = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
async def dsn(backing: Settings) -> AsyncIterator[str]:
    """An empty database of this test's own."""
    name = f"test_{uuid4().hex[:12]}"
    address = postgresql_dsn(backing)
    admin = await asyncpg.connect(address)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield address.rsplit("/", 1)[0] + f"/{name}"
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def cluster(backing: Settings) -> AsyncIterator[tuple[AsyncElasticsearch, str]]:
    """A client, and an index prefix of this test's own."""
    async with own_index(backing) as (client, settings):
        yield client, settings.index_prefix


def document(number: int, text: str = "the invoice is overdue", **fields: Any) -> SinkRecord:
    record = {
        "document_id": f"doc-{number}",
        "version": 1,
        "agent_id": AGENT,
        "epoch_id": "00",
        "sequence": number,
        "stream": "screen",
        "kind": "screen",
        "user": "Ann",
        "computer": "PC-1",
        "time_ms": NOON_MS,
        "until_ms": NOON_MS + 1000,
        "text": text,
        **fields,
    }
    return SinkRecord("documents", 0, number, NOON_MS, AGENT.encode(), encode_record("document", record))


def fact(offset: int, event: str, *, subject: str = "agent", reporter: str = "n/gateway", **fields: Any) -> SinkRecord:
    record = {
        "time_ms": NOON_MS + offset * 1000,
        "subject": subject,
        "id": AGENT if subject == "agent" else "n/gateway",
        "event": event,
        "reporter": reporter,
        **fields,
    }
    return SinkRecord("lifecycle", 0, offset, NOON_MS, None, encode_record("lifecycle_event", record))


class TestPostgresql(SinkContract):
    @pytest.fixture
    async def store(self, dsn: str) -> Store:
        async def read() -> list[object]:
            connection = await asyncpg.connect(dsn)
            rows = await connection.fetch("SELECT * FROM envelope ORDER BY agent_id, epoch_id, sequence")
            await connection.close()
            return [tuple(row) for row in rows]

        good = as_records([*seal(begin(1), 3), *seal(begin(2), 2)])
        return Store(lambda: PostgresqlSink(dsn), good, good[0]._replace(value=b"not an envelope"), read)


class TestElasticsearch(SinkContract):
    @pytest.fixture
    async def store(self, cluster: tuple[AsyncElasticsearch, str]) -> Store:
        client, prefix = cluster

        async def read() -> list[object]:
            await request(client, "POST", f"/{alias_name(prefix)}-*/_refresh")
            answer = await search(client, prefix, Question("", limit=100))
            return [(hit.document_id, hit.source) for hit in answer.hits]

        good = [document(n, f"text {n}") for n in range(5)]
        bad = document(7, time_ms=-5)
        return Store(lambda: ElasticsearchSink(client, prefix), good, bad, read)


async def test_lifecycle_facts_become_agents_sessions_and_nodes(dsn: str) -> None:
    """Who is connected where since when, and sessions that ended; facts that come again change nothing."""
    sink = PostgresqlSink(dsn)
    await sink.open()
    told = {"user": "ann", "computer": "pc-1", "platform": "Linux", "software": "0.1"}
    facts = [
        fact(0, "joined", subject="node", role="gateway", incarnation="i1"),
        fact(1, "ready", subject="node", role="gateway", incarnation="i1"),
        fact(2, "connected", detail=told),
        fact(3, "gap", detail={"stream": "screen", "reason": "spool_full"}),
        fact(4, "disconnected"),
        fact(5, "connected", detail=told),
        fact(6, "lost", subject="node", role="gateway", incarnation="i1"),
    ]
    for batch in (facts[:3], facts[:5], facts[:6], facts, facts[2:4]):
        assert await put(sink, batch) == []
    connection = await asyncpg.connect(dsn)
    agent = await connection.fetchrow("SELECT * FROM agent")
    sessions = await connection.fetch("SELECT * FROM session ORDER BY connected_at")
    assert agent is not None
    assert (agent["user_name"], agent["connected"], agent["gaps"]) == ("ann", False, 1)
    assert agent["since"].timestamp() * 1000 == NOON_MS + 6000
    lengths = [(row["disconnected_at"] - row["connected_at"]).total_seconds() for row in sessions]
    assert lengths == [2, 1]  # the second ended when its gateway was lost
    assert await connection.fetchval("SELECT state FROM node_state") == "lost"
    assert await connection.fetchval("SELECT platform FROM endpoint WHERE computer = 'pc-1'") == "Linux"
    assert await connection.fetchval("SELECT reason FROM gap") == "spool_full"
    await connection.close()
    await sink.close()


async def test_gap_that_is_told_again_is_one_gap(dsn: str) -> None:
    """A worker that was killed before its commit told it, the next one again: one row, counted once."""
    sink = PostgresqlSink(dsn)
    await sink.open()
    first, other = ({"stream": "screen", "id": f"{'ab' * 32}-{n}-0"} for n in (0, 1))
    told = [fact(0, "gap", detail=first), fact(1, "gap", detail=first), fact(2, "gap", detail=other)]
    again = [fact(3, "gap", detail=first), fact(4, "gap", detail=first), fact(5, "gap", reporter="n/2", detail=other)]
    for batch in (told, again):
        assert await put(sink, batch) == []
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT gaps FROM agent") == 2
    assert await connection.fetchval("SELECT count(*) FROM gap") == 2
    await connection.close()
    await sink.close()


async def test_topic_that_was_made_anew_holds_new_records(dsn: str) -> None:
    """Offsets begin again beside an old database: its entries stay, the new ones are stored, and none of them twice."""
    ids = {"audit": uuid4(), "lifecycle": uuid4()}

    async def read_topic_ids() -> dict[str, UUID]:
        return ids

    def entry(offset: int, action: str) -> SinkRecord:
        value = {"time_ms": NOON_MS, "actor": "ann", "action": action, "target": "t", "outcome": "done"}
        return SinkRecord("audit", 0, offset, NOON_MS, None, encode_record("audit_entry", value))

    unaware = PostgresqlSink(dsn)  # as before logs were told apart
    await unaware.open()
    old = [entry(0, "one"), entry(1, "two"), fact(0, "connected"), fact(7, "gap")]
    assert await put(unaware, old) == []
    await unaware.close()
    sink = PostgresqlSink(dsn, read_topic_ids)
    await sink.open()
    assert await put(sink, old[2:]) == []
    ids = {"audit": uuid4(), "lifecycle": uuid4()}
    new = [entry(0, "three"), entry(1, "four"), fact(0, "disconnected"), fact(1, "gap")]
    for batch in (new[:1], new, new):
        assert await put(sink, batch) == []
    connection = await asyncpg.connect(dsn)
    actions = [row["action"] for row in await connection.fetch("SELECT action FROM audit_entry ORDER BY action")]
    assert actions == ["four", "one", "three", "two"]
    agent = await connection.fetchrow("SELECT * FROM agent")
    assert agent is not None
    assert (agent["connected"], agent["gaps"]) == (False, 2)
    await connection.close()
    await sink.close()


async def test_activity_is_summed_once(dsn: str) -> None:
    """Contributions that are written again do not raise a person's totals."""
    span = {
        "agent_id": AGENT,
        "epoch_id": "ab",
        "sequence": 1,
        "ordinal": 0,
        "user": "ann",
        "computer": "pc-1",
        "application": "edit\0or",
        "hour_ms": NOON_MS,
        "active_ms": 1000,
        "idle_ms": 500,
        "switches": 1,
    }
    records = [
        SinkRecord("activity", 0, n, 0, None, encode_record("activity_span", {**span, "sequence": n})) for n in range(3)
    ]
    sink = PostgresqlSink(dsn)
    await sink.open()
    await put(sink, records[:2])
    await put(sink, records)
    connection = await asyncpg.connect(dsn)
    row = await connection.fetchrow("SELECT * FROM person_day")
    assert row is not None
    assert (row["active_ms"], row["idle_ms"], row["applications"], row["user_name"]) == (3000, 1500, 1, "ann")
    await connection.close()
    await sink.close()


async def test_row_that_the_database_refuses_is_found_among_many(dsn: str) -> None:
    """A constraint that only the database knows rejects one record, not its batch."""
    sink = PostgresqlSink(dsn)
    await sink.open()
    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER TABLE envelope ADD CHECK (sequence <> 5)")
    records = as_records(seal(begin(), 9))
    rejects = await sink.write(records)
    assert [(reject.reason, reject.record.offset) for reject in rejects] == [("rejected", 5)]
    assert await connection.fetchval("SELECT count(*) FROM envelope") == 8
    await connection.close()
    await sink.close()


async def test_connection_that_is_cut_is_away_and_then_back(dsn: str) -> None:
    """Whoever ends our connection makes us wait at most, not crash; the next attempt connects anew."""
    sink = PostgresqlSink(dsn)
    await sink.open()
    records = as_records(seal(begin(), 3))
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with contextlib.suppress(UnavailableError):  # unless the end of the connection was noticed before
        await sink.write(records)
    assert await put(sink, records) == []
    assert await connection.fetchval("SELECT count(*) FROM envelope") == 3
    await connection.close()
    await sink.close()


async def test_datasheets_kek_registration_works(dsn: str) -> None:
    """The table and the three columns of R6.5 take a row as it is."""
    connection = await asyncpg.connect(dsn)
    await migrate(connection)
    await connection.execute(
        "insert into encryption_kek (pub_datafile, priv_datafile, priv_encrypted) values ('a.pub', 'a.pem', true)"
    )
    assert await connection.fetchval("select priv_encrypted from encryption_kek") is True
    await connection.close()


async def test_migrations_apply_once_and_only_as_they_were(dsn: str) -> None:
    """A second run does nothing; a changed file, and a database of a later release, are refused."""
    connection = await asyncpg.connect(dsn)
    wanted = load_migrations()
    assert await migrate(connection) == [migration.name for migration in wanted]
    assert await migrate(connection) == []
    with pytest.raises(ConfigError, match="is not the one"):
        await migrate(connection, [replace(wanted[0], sql="SELECT 1"), *wanted[1:]])
    with pytest.raises(ConfigError, match="later release"):
        await migrate(connection, [])
    broken = Migration(wanted[-1].number + 1, "broken", "CREATE TABLE half (a int); SELECT 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(connection, [*wanted, broken])
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    other = await asyncpg.connect(dsn)
    await other.execute("SELECT pg_advisory_lock($1)", 0x5EA1_0001)
    with pytest.raises(UnavailableError, match="migrating"):
        await migrate(connection, timeout_s=0.3)
    await other.close()
    await connection.close()


async def test_later_version_stays_whatever_comes_after(cluster: tuple[AsyncElasticsearch, str]) -> None:
    """A replay of older versions does not bring old text back, and is no reject."""
    client, prefix = cluster
    sink = ElasticsearchSink(client, prefix)
    await sink.open()
    for version in (1, 3, 2):
        assert await put(sink, [document(1, f"version {version}", version=version)]) == []
    await request(client, "POST", f"/{alias_name(prefix)}/_refresh")
    answer = await search(client, prefix, Question("version"))
    assert [hit.source["text"] for hit in answer.hits] == ["version 3"]


async def test_mapping_refusal_rejects_one_document(cluster: tuple[AsyncElasticsearch, str]) -> None:
    """What the cluster will never take is rejected alone, without its text in the reason."""
    client, prefix = cluster
    sink = ElasticsearchSink(client, prefix)
    await sink.open()
    await put(sink, [document(0)])
    index = f"{alias_name(prefix)}-2026.12"  # where `session` happens to be a number
    mappings = {"properties": {"session": {"type": "long"}}}
    await request(client, "PUT", f"/{index}", body={"mappings": mappings, "settings": {"number_of_shards": 1}})
    december_ms = NOON_MS + 15 * 86_400_000
    odd = document(1, session="secret words", time_ms=december_ms, until_ms=december_ms)
    rejects = await sink.write([document(2), odd, document(3)])
    assert [reject.record.offset for reject in rejects] == [1]
    assert not any("secret" in reject.detail for reject in rejects)


async def test_search_finds_words_phrases_and_parts(cluster: tuple[AsyncElasticsearch, str]) -> None:
    """All words must be there; quotes make a phrase; parts of file names and addresses are words too."""
    client, prefix = cluster
    sink = ElasticsearchSink(client, prefix)
    await sink.open()
    texts = ["the invoice is overdue", "is the report.pdf overdue?", "mail to ann@example.org", "Invoce overdue"]
    await put(sink, [document(n, text) for n, text in enumerate(texts)])
    await request(client, "POST", f"/{alias_name(prefix)}/_refresh")

    async def found(text: str, **rest: Any) -> list[str]:
        answer = await search(client, prefix, Question(text, **rest))
        return sorted(hit.document_id for hit in answer.hits)

    assert await found("overdue invoice") == ["doc-0"]
    assert await found('"is overdue"') == ["doc-0"]
    assert await found("report") == ["doc-1"]
    assert await found("ann@example.org") == ["doc-2"]
    assert await found("invoice overdue", fuzzy=True) == ["doc-0", "doc-3"]
    assert await found("rep*") == ["doc-1"]
    assert await found("overdue", users=["ann"], agents=[AGENT[:8]], streams=["screen"]) == ["doc-0", "doc-1", "doc-3"]
    assert await found("overdue", agents=["pc-1"], until_ms=NOON_MS) == []
    assert await found("overdue", since_ms=NOON_MS + 1001) == []
    [hit] = (await search(client, prefix, Question("invoice"))).hits
    assert hit.fragments == (f"the {MARK_START}invoice{MARK_END} is overdue",)


def test_every_field_of_a_document_has_a_mapping() -> None:
    """The mapping is strict: a field of the record that it does not name would be refused."""
    import json

    from schemas.records import latest_id, schema_source

    names = {field["name"] for field in json.loads(schema_source(latest_id("document")))["fields"]}
    assert names - {"document_id", "time_ms", "until_ms"} == set(PROPERTIES) - {"@timestamp", "until"}


async def test_agents_are_known_by_their_envelopes(dsn: str) -> None:
    """An agent whose lifecycle events nobody has is there all the same, with user and computer."""
    sink = PostgresqlSink(dsn)
    await sink.open()
    await put(sink, as_records(seal(begin(1), 2)))
    connection = await asyncpg.connect(dsn)
    row = await connection.fetchrow("SELECT * FROM agent")
    assert row is not None
    assert (row["agent_id"], row["user_name"], row["computer"]) == (UUID(int=1), "ann é", "pc-1")
    await connection.close()
    await sink.close()
