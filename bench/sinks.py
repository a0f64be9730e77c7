"""Records a second into each store, against the store's own bulk path on the same records in the same run.

Usage: python -m bench.sinks [--quick] [--only archive,postgresql,elasticsearch] [--data DIR]
Peers: writev and fdatasync of the same bytes; COPY of prepared text; prepared bulk bodies, two in flight. PostgreSQL
and Elasticsearch are those of the running stack (`sealstream up`); both get names of their own, removed afterwards.
Targets: archive 0.65, PostgreSQL and Elasticsearch 0.8. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import uvloop
from elasticsearch import AsyncElasticsearch

from infra.datadir import VARIABLE
from infra.settings import Settings, load_settings, postgresql_dsn
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.records import decode_record, encode_record
from schemas.seal import Epoch
from schemas.topics import ENVELOPE_CONTENT_TYPE, envelope_topic
from sinks.archive.sink import ArchiveSink
from sinks.elasticsearch.bulk import build_item, next_chunk
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name, index_name, to_source
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.postgresql.sink import PostgresqlSink
from sinks.process import calm_collector
from sinks.sink import Sink, SinkRecord

TARGETS = {"archive": 0.65, "postgresql": 0.8, "elasticsearch": 0.8}
NOW_MS = time.time_ns() // 1_000_000
WORDS = ("invoice", "overdue", "meeting", "report", "quarter", "budget", "review", "draft", "final", "contract")


def envelopes(agents: int, count: int, size: int) -> list[SinkRecord]:
    """`count` envelopes of `size` bytes of plaintext, of so many agents."""
    recipient = Identity.generate(2048).recipient
    epochs = [
        Epoch.begin(
            agent_id=UUID(int=random.getrandbits(128)).bytes,
            kind=StreamKind.SCREEN,
            recipients=[recipient],
            created_ms=NOW_MS,
        )
        for _ in range(agents)
    ]
    plain = os.urandom(size)
    records = []
    for number in range(count):
        epoch = epochs[number % agents]
        value = epoch.seal(plain, capture_ms=NOW_MS + number)
        headers = (
            ("content-type", ENVELOPE_CONTENT_TYPE),
            ("user", b"somebody"),
            ("computer", b"pc-17"),
            ("received-ms", str(NOW_MS).encode()),
        )
        key = str(UUID(bytes=value[40:56])).encode()
        records.append(SinkRecord(envelope_topic(StreamKind.SCREEN), 0, number, NOW_MS, key, value, headers))
    return records


def documents(count: int) -> list[SinkRecord]:
    """Documents of about 400 bytes."""
    random.seed(7)
    records = []
    for number in range(count):
        document = {
            "document_id": f"{uuid4()}-{number:010d}-0",
            "version": number,
            "agent_id": str(UUID(int=number % 50)),
            "epoch_id": "ab" * 32,
            "sequence": number,
            "stream": "screen",
            "kind": "screen",
            "user": "somebody",
            "computer": "pc-17",
            "time_ms": NOW_MS,
            "until_ms": NOW_MS + 1000,
            "application": "editor",
            "title": "Report of the quarter",
            "text": " ".join(random.choices(WORDS, k=30)) + f" {number}",
        }
        records.append(SinkRecord("documents", 0, number, NOW_MS, b"k", encode_record("document", document)))
    return records


def batches(records: list[SinkRecord], limit: int = 8 * 1024 * 1024) -> Iterator[list[SinkRecord]]:
    """Batches as the loop makes them of a backlog."""
    batch: list[SinkRecord] = []
    size = 0
    for record in records:
        batch.append(record)
        size += record.size
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def fill(sink: Sink, records: list[SinkRecord]) -> float:
    """Seconds until the sink has all of them, durably."""
    await sink.open()
    started = time.perf_counter()
    for batch in batches(records):
        rejects = await sink.write(batch)
        assert not rejects, rejects[0]
        await sink.flush()
    seconds = time.perf_counter() - started
    await sink.close()
    return seconds


async def compare(
    repeats: int, ours: Callable[[], Awaitable[float]], peer: Callable[[], Awaitable[float]]
) -> list[tuple[float, float]]:
    """Seconds of both, in turns; a first turn warms up and is not counted."""
    calm_collector()  # as a sink's process does
    pairs = [(await ours(), await peer()) for _ in range(repeats + 1)]
    return pairs[1:]


async def bench_archive(root: Path, *, quick: bool) -> dict[str, float]:
    """64 KiB envelopes, flushed every 8 MiB."""
    records = envelopes(50, 2_000 if quick else 6_000, 64 * 1024)
    total = sum(len(record.value) for record in records)
    number = iter(range(1000))

    async def ours() -> float:
        return await fill(ArchiveSink(root / f"archive-{next(number)}"), records)

    def write_plain() -> float:
        path = root / f"plain-{next(number)}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        started = time.perf_counter()
        for batch in batches(records):
            os.writev(fd, [record.value for record in batch])
            os.fdatasync(fd)
        seconds = time.perf_counter() - started
        os.close(fd)
        path.unlink()
        return seconds

    async def peer() -> float:
        return await asyncio.to_thread(write_plain)

    pairs = await compare(3 if quick else 7, ours, peer)
    return {**_result(pairs, len(records)), "mb_s": total / 1e6 / statistics.median(p[0] for p in pairs)}


@contextmanager
def _timed() -> Iterator[list[float]]:
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - started)


async def bench_postgresql(settings: Settings, *, quick: bool) -> dict[str, float]:
    """Rows of the table `envelope`; the peer copies the same rows, prepared as text, into one with the same indexes."""
    address = postgresql_dsn(settings)
    name = f"bench_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(address)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = address.rsplit("/", 1)[0] + f"/{name}"
    records = envelopes(50, 20_000 if quick else 60_000, 300)
    try:
        sink = PostgresqlSink(dsn)
        await sink.open()
        await sink.close()
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE peer (LIKE envelope INCLUDING ALL)")
        bodies = await _prepare(PostgresqlSink(dsn), connection, records)

        async def ours() -> float:
            await connection.execute("TRUNCATE envelope, agent, peer")
            return await fill(PostgresqlSink(dsn), records)

        async def peer() -> float:
            with _timed() as seconds:
                for body in bodies:
                    await connection.copy_to_table("peer", source=io.BytesIO(body))
            return seconds[0]

        pairs = await compare(3 if quick else 7, ours, peer)
        await connection.close()
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
    return _result(pairs, len(records))


async def _prepare(sink: Sink, connection: asyncpg.Connection, records: list[SinkRecord]) -> list[bytes]:
    """The rows that the sink makes of each batch, as text for COPY."""
    await fill(sink, records)
    bodies = []
    for batch in batches(records):
        body = io.BytesIO()
        span = (batch[0].offset, batch[-1].offset)
        query = "SELECT * FROM envelope WHERE kafka_offset BETWEEN $1 AND $2 ORDER BY kafka_offset"
        await connection.copy_from_query(query, *span, output=body)
        bodies.append(body.getvalue())
    return bodies


async def bench_elasticsearch(settings: Settings, *, quick: bool) -> dict[str, float]:
    """Documents of 400 bytes; the peer posts the same bodies, made before."""
    prefix = f"{settings.elasticsearch.index_prefix}-bench-{uuid4().hex[:12]}"  # the stack's user may write no others
    client = connect(settings.elasticsearch)
    records = documents(10_000 if quick else 40_000)
    sink = ElasticsearchSink(client, prefix)
    decoded = [decode_record(record.value, "document") for record in records]
    index = index_name(prefix, NOW_MS)
    names = [(document["document_id"], document["version"]) for document in decoded]
    items = [build_item(n, index, *names[n], to_source(document)) for n, document in enumerate(decoded)]
    rest = iter(items)
    bodies = []
    while chunk := await next_chunk(rest):
        bodies.append(b"".join(item.lines for item in chunk))
    try:

        async def ours() -> float:
            await _delete(client, index)
            await _start(sink, client, index)
            return await fill(sink, records)

        async def peer() -> float:
            await _delete(client, index)
            await _start(sink, client, index)
            return await _post(client, bodies)

        pairs = await compare(3 if quick else 7, ours, peer)
    finally:
        await _delete(client, index)
        await client.options(ignore_status=404).perform_request(
            "DELETE", f"/_index_template/{alias_name(prefix)}", headers={"accept": "application/json"}
        )
        await client.close()
    return _result(pairs, len(records))


async def _start(sink: ElasticsearchSink, client: AsyncElasticsearch, index: str) -> None:
    """An empty index, so that neither side pays for making it."""
    await sink.open()
    await request(client, "PUT", f"/{index}")


async def _delete(client: AsyncElasticsearch, index: str) -> None:
    await client.options(ignore_status=404).perform_request(
        "DELETE", f"/{index}", headers={"accept": "application/json"}
    )


async def _post(client: AsyncElasticsearch, bodies: list[bytes]) -> float:
    rest = iter(bodies)

    async def work() -> None:
        for body in rest:
            answer = await request(
                client, "POST", "/_bulk?filter_path=errors", body=body, content_type="application/x-ndjson"
            )
            assert not answer["errors"]

    with _timed() as seconds:
        await asyncio.gather(work(), work())
    return seconds[0]


def _result(pairs: list[tuple[float, float]], records: int) -> dict[str, float]:
    return {
        "records_s": records / statistics.median(ours for ours, _ in pairs),
        "peer_records_s": records / statistics.median(peer for _, peer in pairs),
        "ratio": statistics.median(peer / ours for ours, peer in pairs),
    }


async def main() -> None:
    """Run what was asked for, print a line for each, then one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer records, fewer turns")
    parser.add_argument("--only", default=",".join(TARGETS), help="archive,postgresql,elasticsearch")
    parser.add_argument("--data", help="data directory of the running stack")
    options = parser.parse_args()
    if options.data:
        os.environ[VARIABLE] = options.data
    settings = load_settings()
    results: dict[str, dict[str, float]] = {}
    for name in options.only.split(","):
        if name == "archive":
            with tempfile.TemporaryDirectory(dir=os.environ.get("SEALSTREAM_BENCH_DIR", ".")) as root:
                results[name] = await bench_archive(Path(root), quick=options.quick)
        elif name == "postgresql":
            results[name] = await bench_postgresql(settings, quick=options.quick)
        else:
            results[name] = await bench_elasticsearch(settings, quick=options.quick)
        one = results[name]
        print(
            f"{name:14} {one['records_s']:>10,.0f} records/s   peer {one['peer_records_s']:>10,.0f}"
            f"   ratio {one['ratio']:.2f} (target {TARGETS[name]})"
        )
    rounded = {name: {key: round(value, 3) for key, value in one.items()} for name, one in results.items()}
    print(json.dumps({"bench": "sinks", "results": rounded, "targets": TARGETS}))


if __name__ == "__main__":
    uvloop.run(main())
