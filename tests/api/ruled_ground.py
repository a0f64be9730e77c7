"""What tests of rules judge: documents and activity of two people, in stores of a test's own.

Never touches the index or the database of the stack that lends the servers.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from elasticsearch import AsyncElasticsearch

from infra.rules.book import RuleBook
from infra.rules.store import fetch_rules, fetch_world
from infra.settings import ElasticsearchSettings, Settings, postgresql_dsn
from schemas.records import encode_record
from sinks.elasticsearch.client import request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import SinkRecord
from streams.alerts import AlertProcessor
from streams.incoming import Incoming
from streams.past import NoPast
from tests.api.stores import own_database
from tests.own_index import own_index
from tests.sinks.contract import put

DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)
AGENT = "00000000-0000-0000-0000-0000000000aa"


def document(number: int, person: str, text: str, days_ago: float = 0.0, **fields: Any) -> SinkRecord:
    time_ms = int(NOW_MS - 60_000 - days_ago * DAY_MS + number)
    record = {
        "document_id": f"{AGENT}-{'0' * 32}-{number:010d}-0",
        "version": 1,
        "agent_id": AGENT,
        "epoch_id": "00",
        "sequence": number,
        "stream": "screen",
        "kind": "screen",
        "user": person,
        "computer": "PC-1",
        "time_ms": time_ms,
        "until_ms": time_ms,
        "text": text,
        **fields,
    }
    return SinkRecord("documents", 0, number, time_ms, AGENT.encode(), encode_record("document", record))


def span(number: int, person: str, application: str, minutes: int, days_ago: int = 0) -> SinkRecord:
    hour_ms = NOW_MS // DAY_MS * DAY_MS - days_ago * DAY_MS
    run = {"from_ms": hour_ms, "until_ms": hour_ms + minutes * 60_000}
    record = {
        "agent_id": AGENT,
        "epoch_id": "ab",
        "sequence": number,
        "ordinal": 0,
        "user": person,
        "computer": "PC-1",
        "application": application,
        "hour_ms": hour_ms,
        "active_ms": minutes * 60_000,
        "idle_ms": 0,
        "switches": 1,
        "active": [run],
    }
    return SinkRecord("activity", 0, number, hour_ms, AGENT.encode(), encode_record("activity_span", record))


DOCUMENTS = [
    document(0, "ann", "The final invoice of May", title="Invoice - Mail", application="Mail"),
    document(1, "ann", "invoices of the year 2026", 2),
    document(2, "Bob", "a final\nINVOICE, at last", 3, application="Editor"),
    document(3, "Bob", "lunch", 3),
    document(4, "ann", "invoice", 30),
    document(5, "ann", "", 1, end_to_end=True, tokens=["AAAA"]),
    document(6, "ann", "über order_2024 no. 17", 1, computer="Büro 7"),
    document(7, "ann", "invoic", 6.5, application="Mail [new]*"),
]
SPANS = [
    span(0, "ann", "Games", 20),
    span(1, "ann", "Games", 25),
    span(2, "Bob", "Games", 45, 2),
    span(3, "Bob", "Editor", 5),
]


@asynccontextmanager
async def ruled_stores(backing: Settings) -> AsyncIterator[Settings]:
    """Settings with an index and a database of their own, filled; the index is taken away at the end."""
    async with own_index(backing) as (client, elasticsearch), own_database(backing) as own:
        await _fill(own, elasticsearch, client)
        yield own.model_copy(update={"elasticsearch": elasticsearch})


async def _fill(settings: Settings, elasticsearch: ElasticsearchSettings, client: AsyncElasticsearch) -> None:
    sink = ElasticsearchSink(client, elasticsearch.index_prefix)
    await sink.open()
    assert await put(sink, DOCUMENTS) == []
    await request(client, "POST", f"/{alias_name(elasticsearch.index_prefix)}-*/_refresh")
    relational = PostgresqlSink(postgresql_dsn(settings))
    await relational.open()
    assert await put(relational, SPANS) == []
    await relational.close()


async def alerts_of(settings: Settings, records: list[SinkRecord]) -> list[dict[str, Any]]:
    """What the processor raises of these, stored as the sink stores it."""
    connection = await asyncpg.connect(postgresql_dsn(settings))

    async def read() -> Any:
        return await fetch_rules(connection), await fetch_world(connection)

    book = RuleBook(read)
    await book.renew()
    processor = AlertProcessor(book, NoPast())
    made = []
    for one in records:
        incoming = Incoming(one.topic, one.partition, one.offset, one.key or b"", one.value or b"", one.timestamp_ms)
        made += [result.value for result in await processor.process(incoming)]
    sink = PostgresqlSink(postgresql_dsn(settings))
    await sink.open()
    again = [SinkRecord("alerts", 0, n, 0, None, value) for n, value in enumerate([*made, *made])]
    assert await put(sink, again) == []
    await sink.close()
    rows = await connection.fetch("SELECT * FROM alert ORDER BY raised_at")
    await connection.close()
    assert len(rows) == len(set(made))
    return [dict(row) for row in rows]
