"""Sinks on real Kafka: stores that go away under load, processes that are killed, consumers that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.kafka import admin, consumer, ensure_topics, producer, topic_name
from infra.lifecycle import wall_clock_ms
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind
from schemas.topics import DEAD_LETTERS, TOPICS
from sinks.archive.index import reindex
from sinks.archive.layout import Layout
from sinks.archive.reading import read_envelopes
from sinks.archive.sink import ArchiveSink
from sinks.archive.verify import verify
from sinks.dead_letters import KafkaDeadLetters
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.search import Question, search
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.loop import Limits, Loop
from sinks.postgresql.sink import PostgresqlSink
from sinks.sink import Sink, SinkRecord
from tests.live.relay import Relay
from tests.live.test_stores import cluster, document, dsn  # noqa: F401  # fixtures
from tests.sinks.envelopes import as_records, begin, seal

pytestmark = [pytest.mark.live, pytest.mark.slow]

DEADLINE_S = 240.0
QUICK = Limits(flush_s=0.05, retry_s=0.05, max_retry_s=0.3)


@pytest.fixture
async def place(backing: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings with a topic prefix, an archive and a data directory of this test's own."""
    prefix = f"test-{uuid4().hex[:12]}-"
    kafka = backing.kafka.model_copy(update={"topic_prefix": prefix, "partitions": 3})
    archive = backing.archive.model_copy(update={"dir": tmp_path / "archive"})
    node = backing.node.model_copy(update={"data_dir": tmp_path})
    settings = backing.model_copy(update={"kafka": kafka, "archive": archive, "node": node})
    await ensure_topics(settings)
    try:
        yield settings
    finally:
        client = admin(settings)
        await client.start()
        await client.delete_topics([prefix + name for name in TOPICS])
        await client.close()


class Running:
    """A loop on real Kafka, as a member of its sink's group."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self._settings, self.sink = settings, sink

    async def __aenter__(self) -> Self:
        self._producer = producer(self._settings)
        await self._producer.start()
        group = f"sink-{self.sink.name}"
        self._consumer = consumer(self._settings, group, session_timeout_ms=10_000, metadata_max_age_ms=1000)
        await self._consumer.start()
        letters = KafkaDeadLetters(self._producer, topic_name(self._settings, DEAD_LETTERS.name), wall_clock_ms)
        self.loop = Loop(
            self._consumer, self.sink, letters, topic_prefix=self._settings.kafka.topic_prefix, limits=QUICK
        )
        self.task = asyncio.create_task(self.loop.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()
        await self._producer.stop()

    async def leave(self) -> None:
        """End the loop and leave the group, as a sink's process does."""
        self.loop.stop()
        await asyncio.wait_for(self.task, DEADLINE_S)
        await self._consumer.stop()


async def publish(settings: Settings, records: list[SinkRecord], *, pause_s: float = 0.0) -> None:
    sending = producer(settings)
    await sending.start()
    try:
        for first in range(0, len(records), 50):
            sent = [
                await sending.send(topic_name(settings, r.topic), r.value, key=r.key, headers=list(r.headers))
                for r in records[first : first + 50]
            ]
            await asyncio.gather(*sent)
            await asyncio.sleep(pause_s)
    finally:
        await sending.stop()


async def until(fact: Callable[[], Any]) -> None:
    """Poll a fact about another process or store, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        found = fact()
        if await found if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(0.1)
    pytest.fail("it did not come to that in time")


async def cut_now_and_then(relay: Relay, times: int = 4) -> None:
    for _ in range(times):
        await asyncio.sleep(0.4)
        relay.cut()
        await asyncio.sleep(0.8)
        await relay.mend()


async def test_postgresql_goes_away_under_load(place: Settings, dsn: str) -> None:  # noqa: F811
    """However often its connections are cut, every envelope is there once, and everything is committed."""
    address = urlsplit(dsn)
    async with Relay(address.hostname or "", address.port or 0) as relay:
        away = address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{relay.port}").geturl()
        epochs = [begin(number) for number in range(1, 7)]
        records = [record for _ in range(60) for epoch in epochs for record in as_records(seal(epoch, 5))]
        async with Running(place, PostgresqlSink(away)):
            await asyncio.gather(publish(place, records, pause_s=0.1), cut_now_and_then(relay))
            connection = await asyncpg.connect(dsn)

            async def complete() -> bool:
                return bool(await connection.fetchval("SELECT count(*) FROM envelope") == len(records))

            await until(complete)
            await connection.close()
    assert await committed(place, "sink-postgresql") == await ends(place, PostgresqlSink.topics)


async def test_elasticsearch_goes_away_under_load(
    place: Settings,
    cluster: tuple[Any, str],  # noqa: F811
) -> None:
    """Every document is there once with its last version; what cannot be read is a dead letter."""
    client, prefix = cluster
    address = urlsplit(place.elasticsearch.url)
    records = [document(n, f"text {n}", version=v) for v in (1, 2) for n in range(1000)]
    records.insert(700, records[0]._replace(value=b"poison"))
    async with Relay(address.hostname or "", address.port or 0) as relay:
        away = place.elasticsearch.model_copy(update={"url": f"https://127.0.0.1:{relay.port}"})
        async with Running(place, ElasticsearchSink(connect(away, timeout_s=5.0), prefix)):
            await asyncio.gather(publish(place, records, pause_s=0.1), cut_now_and_then(relay))

            async def complete() -> bool:
                await request(client, "POST", f"/{alias_name(prefix)}-*/_refresh")
                answer = await search(client, prefix, Question("", limit=2000))
                return [hit.source["version"] for hit in answer.hits] == [2] * 1000

            await until(complete)
    assert await committed(place, "sink-elasticsearch") == await ends(place, ElasticsearchSink.topics)
    assert sum((await ends(place, (DEAD_LETTERS.name,))).values()) == 1


async def test_consumers_come_and_go(place: Settings, dsn: str) -> None:  # noqa: F811
    """While members join and leave the group, nothing is lost."""
    records = [r for number in range(1, 10) for r in as_records(seal(begin(number), 60))]
    async with Running(place, PostgresqlSink(dsn)):
        publishing = asyncio.create_task(publish(place, records, pause_s=0.3))
        for _ in range(2):
            async with Running(place, PostgresqlSink(dsn)):
                await asyncio.sleep(1.0)
        await publishing
        connection = await asyncpg.connect(dsn)

        async def complete() -> bool:
            return bool(await connection.fetchval("SELECT count(*) FROM envelope") == len(records))

        await until(complete)
        await connection.close()


def start_disk_sink(settings: Settings, dsn: str) -> subprocess.Popen[bytes]:  # noqa: F811
    """`sealstream sinks run disk`, as its own process with these settings."""
    data = settings.node.data_dir
    address = urlsplit(dsn)
    (data / "postgresql.password").write_text(address.password or "")
    public = address._replace(netloc=f"{address.username}@{address.hostname}:{address.port}").geturl()
    (data / "sealstream.toml").write_text(
        f'[kafka]\nbootstrap = "{settings.kafka.bootstrap}"\ntopic_prefix = "{settings.kafka.topic_prefix}"\n'
        f'[postgresql]\ndsn = "{public}"\n'
        f'password_file = "postgresql.password"\n[archive]\nfile_bytes = {1 << 20}\n'
    )
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    log = (data / "sink.log").open("ab")
    command = [sys.executable, "-m", "infra.cli", "sinks", "run", "disk"]
    return subprocess.Popen(command, env={**environment, VARIABLE: str(data)}, stderr=log)


async def test_disk_sink_is_killed_again_and_again(place: Settings, dsn: str) -> None:  # noqa: F811
    """Killed at any instant under load, with senders that repeat themselves: the archive has every envelope once."""
    epochs = [begin(number, kind) for number in range(1, 4) for kind in (StreamKind.SCREEN, StreamKind.EMAIL)]
    records = [record for _ in range(40) for epoch in epochs for record in as_records(seal(epoch, 5, size=3000))]
    repeated = [record for n in range(0, len(records), 100) for record in (*records[n : n + 100], *records[n : n + 20])]
    publishing = asyncio.create_task(publish(place, repeated, pause_s=0.2))
    process = start_disk_sink(place, dsn)
    try:
        for _ in range(4):
            grown = archived(place) + 50
            await until(lambda grown=grown: archived(place) >= grown or publishing.done())  # type: ignore[misc]
            process.kill()
            process.wait()
            process = start_disk_sink(place, dsn)
        await publishing
        await until(lambda: archived(place) >= len(records))
        await until(lambda: indexed(dsn, len(records)))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    values = sorted(envelope.value for envelope in read_envelopes(place.archive.dir))
    assert values == sorted(record.value for record in records)
    *_, (_, report) = verify(place.archive.dir)
    assert report.sound
    assert report.gaps == []
    connection = await asyncpg.connect(dsn)
    query = "SELECT * FROM archive_run ORDER BY file, byte_offset"
    before = [tuple(row) for row in await connection.fetch(query)]
    await reindex(connection, Layout(place.archive.dir))
    assert [tuple(row) for row in await connection.fetch(query)] == before
    await connection.close()


def archived(settings: Settings) -> int:
    try:
        return sum(1 for _ in read_envelopes(settings.archive.dir))
    except (OSError, UnavailableError):
        return 0


async def indexed(address: str, count: int) -> bool:
    connection = await asyncpg.connect(address)
    try:
        found = await connection.fetchval("SELECT sum(last_sequence - first_sequence + 1) FROM archive_run")
    except asyncpg.UndefinedTableError:
        found = 0
    await connection.close()
    return found == count


async def test_second_writer_of_an_archive_waits_its_turn(place: Settings) -> None:
    """Only one of two sinks on one archive joins the group; when it leaves, the other goes on."""
    records = as_records(seal(begin(), 40))
    first = ArchiveSink(place.archive.dir)
    async with Running(place, ArchiveSink(place.archive.dir)) as later:
        await until(later.loop.opened.is_set)
        async with Running(place, first) as waits:
            await until(lambda: waits.loop.stands_by)
            assert not waits.loop.opened.is_set()
            await publish(place, records)
            await until(lambda: archived(place) == len(records))
            await later.leave()
            await until(waits.loop.opened.is_set)
            await publish(place, as_records(seal(begin(), 7)))
            await until(lambda: archived(place) == len(records) + 7)


async def committed(settings: Settings, group: str) -> dict[tuple[str, int], int]:
    """Next offsets of a group, by topic and partition; those of empty partitions are left out."""
    client = admin(settings)
    await client.start()
    offsets = await client.list_consumer_group_offsets(settings.kafka.topic_prefix + group)
    await client.close()
    return {(at.topic, at.partition): meta.offset for at, meta in offsets.items() if meta.offset > 0}


async def ends(settings: Settings, topics: tuple[str, ...]) -> dict[tuple[str, int], int]:
    """The ends of all partitions that have something."""
    reader = consumer(settings, None, *topics)
    await reader.start()
    for _ in range(50):
        if reader.assignment():
            break
        await asyncio.sleep(0.1)
    found = await reader.end_offsets(list(reader.assignment()))
    await reader.stop()
    return {(at.topic, at.partition): end for at, end in found.items() if end > 0}
