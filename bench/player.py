"""Seeking in a recorded desktop, and searching: what the console adds to what the stores take.

Usage: python -m bench.player [--data DIR] [--minutes N] [--seeks N] [--quick]
A desktop is drawn at a frame a second, sealed to a KEK of its own and written into an archive and a
database of its own on the running stack, as sinks would write it. Then, at random moments, the first message of
`/recordings/segments` (a whole picture) and a thumbnail are asked for; each seek's reads of the archive are counted.
Searches go through the API with a durable audit; the peer is Elasticsearch's own time for the same question. Figures to
reach: first frame at most 300 ms (median), at most 2 reads, a search at most 10 ms over Elasticsearch's time (median).
Prints a line for each, and a JSON line for each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import AsyncMock
from uuid import uuid4

import asyncpg
import httpx2 as httpx
from PIL import Image, ImageDraw, ImageFont

from bench.desktop.prose import words
from bench.desktop.widgets import photograph
from gateway.api.access import PERMISSIONS, Principal, Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.kafka import KafkaPublisher
from gateway.metrics import TABLE
from gateway.recordings.asking import Job
from gateway.recordings.places import Wish, find_places
from gateway.recordings.pool import Readers
from infra.datadir import VARIABLE, DataDir
from infra.keys import make_kek
from infra.metrics import Metrics
from infra.migrate import migrate
from infra.settings import Settings, load_settings, postgresql_dsn
from schemas.envelope import peek
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.records import encode_segment
from schemas.seal import Epoch
from schemas.tiles import FrameEncoder, bgra_of
from schemas.topics import ENVELOPE_CONTENT_TYPE, envelope_topic
from sinks.archive.index import index_file
from sinks.archive.layout import Layout
from sinks.archive.sink import ArchiveSink
from sinks.sink import SinkRecord

AGENT = bytes(15) + b"\1"
BEGAN_MS = 1_795_435_200_000
KEY_EVERY_S = 300
EPOCH_S = 900
PASSPHRASE = "the passphrase of a bench"
QUESTIONS = ("invoice", "garden", '"silent garden"', "overdue invoice", "budget", "approved")


def pictures(seconds: int) -> Iterator[bytes]:
    """What is on the desktop in each second, 1920 x 1080: text that is written, another window every minute."""
    chance, font = random.Random(1), ImageFont.load_default(18)
    desktop = Image.new("RGB", (1920, 1080), (46, 90, 136))
    draw, left, top, line = ImageDraw.Draw(desktop), 0, 0, 0
    for second in range(seconds):
        if second % 60 == 0:
            left, top, line = chance.randrange(700), chance.randrange(300), 0
            draw.rectangle((left, top, left + 1100, top + 720), (250, 250, 250), (90, 90, 90))
            draw.rectangle((left, top, left + 1100, top + 30), (220, 224, 230))
            if second % 240 == 0:
                desktop.paste(photograph(second, 500, 300), (left + 560, top + 60))
        if line >= 27:
            inside = (left + 10, top + 65, left + 540, top + 715)
            desktop.paste(desktop.crop(inside), (left + 10, top + 40))
            draw.rectangle((left + 10, top + 690, left + 540, top + 715), (250, 250, 250))
            line = 26
        draw.text((left + 14, top + 40 + 25 * line), words(chance, 7)[:56], (20, 20, 20), font)
        line += 1
        draw.rectangle((1790, 1045, 1910, 1078), (30, 60, 100))
        draw.text((1800, 1050), f"{second // 60 % 24:02}:{second % 60:02}", (255, 255, 255), font)
        yield bgra_of(desktop)


def seal_desktop(seconds: int, recipient: Recipient) -> Iterator[list[SinkRecord]]:
    """A batch for each second, as the sink gets them."""
    encoder, epoch, offset = FrameEncoder(), None, 0
    for second, picture in enumerate(pictures(seconds)):
        if second % EPOCH_S == 0:
            created_ms = BEGAN_MS + second * 1000
            epoch = Epoch.begin(agent_id=AGENT, kind=StreamKind.SCREEN, recipients=[recipient], created_ms=created_ms)
        if second % KEY_EVERY_S == 0:
            encoder.renew()
        time_us = (BEGAN_MS + second * 1000) * 1000
        frame = encoder.encode(picture, 1920, 1080, time_us=time_us)
        if frame is None or epoch is None:
            continue
        value = epoch.seal(encode_segment(StreamKind.SCREEN, [frame]), capture_ms=BEGAN_MS + second * 1000)
        key = peek(value).id.agent.encode()
        topic = envelope_topic(StreamKind.SCREEN)
        yield [SinkRecord(topic, 0, offset, time_us // 1000, key, value, (("content-type", ENVELOPE_CONTENT_TYPE),))]
        offset += 1


@asynccontextmanager
async def recorded(stack: Settings, root: Path, seconds: int) -> AsyncIterator[Settings]:
    """Settings with an archive and a database of their own, filled."""
    name = f"bench_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgresql_dsn(stack))
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        settings = _settings(stack, root, name)
        make_kek(settings.keys.dir, "server", PASSPHRASE.encode())
        recipient = Recipient.from_pem((settings.keys.dir / "server.pub.pem").read_bytes())
        sink = ArchiveSink(settings.archive.dir, fsync=False)
        await sink.open()
        for batch in seal_desktop(seconds, recipient):
            await sink.write(batch)
        await sink.flush()
        await sink.close()
        connection = await asyncpg.connect(postgresql_dsn(settings))
        await migrate(connection)
        layout = Layout(settings.archive.dir)
        for path in layout.all_files():
            await index_file(connection, layout, path)
        await connection.execute("ANALYZE archive_run")
        await connection.close()
        yield settings
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def _settings(stack: Settings, root: Path, database: str) -> Settings:
    for folder in ("keys", "secrets"):
        (root / folder).mkdir()
    (root / "secrets" / "kek.passphrase").write_text(PASSPHRASE + "\n")
    dsn = stack.postgresql.dsn.rsplit("/", 1)[0] + f"/{database}"
    password = json.dumps(str(stack.postgresql.password_file))
    (root / "sealstream.toml").write_text(f"[postgresql]\ndsn = {json.dumps(dsn)}\npassword_file = {password}\n")
    return load_settings(DataDir(root).config)


async def measure_seeks(settings: Settings, seconds: int, seeks: int, chance: random.Random) -> None:
    """Time to the first picture, and to a thumbnail, at random moments."""
    readers = Readers(settings)
    connection = await asyncpg.connect(postgresql_dsn(settings))
    began = time.perf_counter()
    readers.warm()
    first: list[float] = []
    thumbnails: list[float] = []
    used = 0.0
    reads: list[int] = []
    for number in range(seeks + 1):
        at_ms = BEGAN_MS + chance.randrange(seconds * 1000)
        wish = Wish((AGENT,), (StreamKind.SCREEN,), at_ms, at_ms + 10_000)
        start = time.perf_counter()
        ask = await find_places(connection, wish, Job.SEGMENTS, start=True)
        async with readers.stream(ask) as (pieces, answer):
            size, waiting = 0, 4
            async for piece in pieces:
                size += len(piece)
                waiting = 4 + int.from_bytes(piece[:4], "big") if size == len(piece) else waiting
                if size >= waiting and len(first) == number:
                    first.append(time.perf_counter() - start)
        reads.append(answer.result["reads"])
        at_ms = BEGAN_MS + chance.randrange(seconds * 1000)
        start = time.perf_counter()
        shot = wish._replace(since_ms=at_ms, until_ms=at_ms + 1)
        ask = await find_places(connection, shot, Job.FRAME, start=True)
        await readers.collect(ask.with_options(display=0, width=480))
        thumbnails.append(time.perf_counter() - start)
        if not number:
            print(f"reader started and first picture   {(time.perf_counter() - began) * 1000:8.0f} ms", flush=True)
            used = -cpu_of(readers.pids)
    used += cpu_of(readers.pids)
    await readers.close()
    await connection.close()
    told("first_frame", first[1:], reads_most=max(reads), limit_ms=300)
    told("thumbnail", thumbnails[1:], reader_cpu_ms_of_both=used * 1000 / seeks)


async def measure_searches(stack: Settings, count: int, chance: random.Random) -> None:
    """What a search takes beside Elasticsearch's own time, with a durable audit."""
    publisher = KafkaPublisher(
        stack.kafka.bootstrap, topic_prefix=stack.kafka.topic_prefix, queue_bytes=64 << 20, min_insync=1
    )
    services = Services(stack, Facts(publisher, reporter="bench/gateway", incarnation="0"), Metrics(TABLE))
    officer = Principal(uuid4(), "bench", Role.OFFICER, PERMISSIONS[Role.OFFICER], persons=None, address="127.0.0.1")
    services.identify = AsyncMock(return_value=officer)
    over: list[float] = []
    own: list[float] = []
    used = 0.0
    transport = httpx.ASGITransport(app=create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="https://node", timeout=60) as client:
        for number in range(count + 5):
            start, before = time.perf_counter(), time.process_time()
            answer = await client.get(
                "/api/v1/search", params={"q": chance.choice(QUESTIONS), "facets": number % 2 > 0}
            )
            seconds = time.perf_counter() - start
            if number >= 5:
                own.append(answer.json()["took_ms"] / 1000)
                over.append(seconds - own[-1])
                used += time.process_time() - before
    await services.close()
    await publisher.close()
    told("search_by_elasticsearch", own)
    told("search_over_elasticsearch", over, limit_ms=10, cpu_ms=used * 1000 / count)


def cpu_of(pids: list[int]) -> float:
    """Seconds of CPU that these processes have used: other work on the machine does not count."""
    rows = (Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split() for pid in pids)
    return sum(int(row[11]) + int(row[12]) for row in rows) / os.sysconf("SC_CLK_TCK")


def told(name: str, seconds: list[float], **more: float) -> None:
    """A line for a person, and a JSON line."""
    ms = sorted(one * 1000 for one in seconds)
    median, high = statistics.median(ms), ms[max(0, round(len(ms) * 0.95) - 1)]
    print(f"{name:26} median {median:8.1f} ms   95th percentile {high:8.1f} ms   {more or ''}", flush=True)
    print(json.dumps({"bench": "player", "what": name, "median_ms": median, "p95_ms": high, "n": len(ms), **more}))


async def measure(arguments: argparse.Namespace) -> None:
    """All of it."""
    stack = load_settings(DataDir(Path(arguments.data)).config)
    chance = random.Random(3)
    seconds = arguments.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        async with recorded(stack, Path(folder), seconds) as settings:
            size = sum(path.stat().st_size for path in Layout(settings.archive.dir).all_files())
            print(f"{arguments.minutes} minutes of 1920 x 1080, {size / 1e6:.1f} MB in the archive")
            await measure_seeks(settings, seconds, arguments.seeks, chance)
    await measure_searches(stack, arguments.seeks, chance)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get(VARIABLE, ""), help="data directory of a running stack")
    parser.add_argument("--minutes", type=int, default=40, help="of the recording")
    parser.add_argument("--seeks", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="a short recording, few seeks")
    arguments = parser.parse_args()
    if not arguments.data:
        print("name the data directory of a running stack: --data DIR", file=sys.stderr)
        return 2
    if arguments.quick:
        arguments.minutes, arguments.seeks = 7, 20
    asyncio.run(measure(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
