"""Replay against a plain consumer that reads the same range and does nothing with it, in turns.

Usage: python -m bench.replay [--data DIR] [--stream email|keystrokes|all] [--megabytes N] [--repeat N] [--quick]
The range is made for it, in topics with a prefix of their own on the running stack, which are deleted afterwards. A
replay opens every envelope, mines it and waits until its documents are in Kafka; the peer (aiokafka, `getmany`) only
reads. The ratio says which part of plain reading a replay reaches; `cpu_ms_per_envelope`, which other load does not
change, counts the command whole, its start included. Prints a line for each run, and JSON lines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.datadir import VARIABLE, DataDir
from infra.kafka import ensure_topics
from infra.keys import load_recipients
from infra.settings import Settings, load_settings
from schemas.errors import SealstreamError
from schemas.kinds import StreamKind
from schemas.records import Record, encode_segment
from schemas.seal import Epoch
from schemas.topics import ENVELOPE_CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_RECORD_BYTES, envelope_topic

MB = 1_000_000
AGENTS = 20
PREFIX = "SEALSTREAM_KAFKA__TOPIC_PREFIX"
WORDS = (Path(__file__).parent / "desktop" / "prose.py").read_text().split()

READER = """
import asyncio, json, sys, time
import uvloop
from aiokafka import AIOKafkaConsumer
async def read(bootstrap, topic, count):
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest",
                                enable_auto_commit=False, max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    began = time.monotonic(); records = size = 0
    while records < count:
        for batch in (await consumer.getmany(timeout_ms=1000)).values():
            records += len(batch); size += sum(len(one.value) for one in batch)
    print(json.dumps({"seconds": time.monotonic() - began, "records": records, "bytes": size}))
    await consumer.stop()
uvloop.run(read(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def prose(length: int) -> str:
    """Words, about that many characters."""
    return " ".join(random.choice(WORDS) for _ in range(length // 6))


def mails(time_ms: int) -> list[Record]:
    """A segment of messages."""
    return [
        {
            "time_us": time_ms * 1000, "message_id": f"<{uuid4()}@example.com>", "folder": "INBOX",
            "sender": "helen@example.com", "recipients": ["ann@example.com"], "subject": prose(40), "sent_ms": time_ms,
            "text": prose(4000), "attachments": [], "size": 4500,
        }
        for _ in range(16)
    ]  # fmt: skip


def keys(time_ms: int) -> list[Record]:
    """A segment of a busy terminal: lines of output."""
    return [
        {
            "time_us": time_ms * 1000 + number, "session": "bench", "kind": "output",
            "data": f"{prose(70)}\r\n".encode(), "masked": False, "columns": 80, "rows": 24, "exit_code": None,
        }
        for number in range(30)
    ]  # fmt: skip


MAKERS = {StreamKind.EMAIL: mails, StreamKind.KEYSTROKES: keys}


def envelopes(settings: Settings, kind: StreamKind, total: int) -> Iterator[tuple[str, bytes]]:
    """Agent and envelope, until there are so many bytes; agents take turns."""
    now_ms = time.time_ns() // MB
    recipients = load_recipients(settings.keys.dir)
    epochs = {
        agent: Epoch.begin(agent_id=agent.bytes, kind=kind, recipients=recipients, created_ms=now_ms)
        for agent in (uuid4() for _ in range(AGENTS))
    }
    segments = [encode_segment(kind, MAKERS[kind](now_ms)) for _ in range(50)]
    made = 0
    while made < total:
        for agent, epoch in epochs.items():
            envelope = epoch.seal(random.choice(segments), capture_ms=now_ms)
            made += len(envelope)
            yield str(UUID(bytes=agent.bytes)), envelope


def publish(settings: Settings, kind: StreamKind, total: int) -> int:
    """Fill the topic; how many records."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap, "acks": "all", "linger.ms": 5,
            "message.max.bytes": MAX_RECORD_BYTES, "partitioner": "murmur2_random",
        }
    )  # fmt: skip
    count = 0
    headers = [(HEADER_CONTENT_TYPE, ENVELOPE_CONTENT_TYPE), ("user", b"ann"), ("computer", b"desk-7")]
    for agent, envelope in envelopes(settings, kind, total):
        producer.produce(settings.kafka.topic_prefix + envelope_topic(kind), envelope, agent, headers=list(headers))
        producer.poll(0)
        count += 1
        if len(producer) > 5000:
            producer.flush()
    producer.flush()
    return count


def read_plainly(settings: Settings, kind: StreamKind, count: int) -> dict[str, float]:
    """The peer, in a process of its own."""
    topic = settings.kafka.topic_prefix + envelope_topic(kind)
    command = [sys.executable, "-c", READER, settings.kafka.bootstrap, topic, str(count)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    return {"mb_s": told["bytes"] / MB / told["seconds"], "records_s": told["records"] / told["seconds"]}


def children_cpu_s() -> float:
    """CPU seconds of the processes that we started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def replay(settings: Settings, kind: StreamKind, count: int) -> dict[str, float]:
    """The command as an operator gives it; its own start is not counted, reading the range's ends is."""
    command = [sys.executable, "-m", "infra.cli", "replay", envelope_topic(kind), "--json"]
    environment = {**os.environ, VARIABLE: str(settings.data.root), PREFIX: settings.kafka.topic_prefix}
    before = children_cpu_s()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    cpu_ms = (children_cpu_s() - before) * 1000
    if done.returncode:
        raise SystemExit(f"the replay failed: {done.stderr}")
    run = json.loads(done.stdout)
    (settings.data.store("replay") / f"{run['id']}.json").unlink(missing_ok=True)
    if run["done"] != count or run["dead"]:
        raise SystemExit(f"the replay did {run['done']} of {count} envelopes, {run['dead']} of them dead letters")
    seconds = (run["changed_ms"] - run["started_ms"]) / 1000
    return {
        "mb_s": run["done_bytes"] / MB / seconds, "records_s": run["done"] / seconds, "results": run["results"],
        "cpu_ms_per_envelope": cpu_ms / count,
    }  # fmt: skip


def compare(settings: Settings, kind: StreamKind, total: int, repeat: int) -> dict[str, object]:
    """Interleaved repetitions; medians and their ratios."""
    count = publish(settings, kind, total)
    ours, peer = [], []
    for _ in range(repeat):
        peer.append(read_plainly(settings, kind, count))
        ours.append(replay(settings, kind, count))
        for name, run in (("replay", ours[-1]), ("plain reading", peer[-1])):
            print(f"{kind.label:10} {name:13} {run['mb_s']:8.2f} MB/s {run['records_s']:7.0f} envelopes/s")
    middle = {name: statistics.median(run[name] for run in ours) for name in ours[0]}
    plain = {name: statistics.median(run[name] for run in peer) for name in peer[0]}
    return {
        "bench": "replay", "stream": kind.label, "envelopes": count, "repetitions": repeat,
        "mb_s": round(middle["mb_s"], 2), "envelopes_s": round(middle["records_s"]),
        "results": int(middle["results"]), "cpu_ms_per_envelope": round(middle["cpu_ms_per_envelope"], 2),
        "peer": "aiokafka getmany, reading only", "peer_mb_s": round(plain["mb_s"], 1),
        "peer_envelopes_s": round(plain["records_s"]),
        "ratio": round(middle["mb_s"] / plain["mb_s"], 3),
    }  # fmt: skip


def main() -> None:
    """Read the arguments, measure, print, and delete the topics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="data directory of the running stack")
    parser.add_argument("--stream", choices=[*(kind.label for kind in MAKERS), "all"], default="all")
    parser.add_argument("--megabytes", type=float, default=20.0, help="size of the range")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="4 MB, once")
    options = parser.parse_args()
    total, repeat = (4 * MB, 1) if options.quick else (int(options.megabytes * MB), options.repeat)
    os.environ[PREFIX] = f"bench-{uuid4().hex[:6]}-"
    settings = load_settings(DataDir.find(options.data).config)
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    try:
        asyncio.run(ensure_topics(settings))
        for kind in MAKERS:
            if options.stream in (kind.label, "all"):
                print(json.dumps(compare(settings, kind, total, repeat)), flush=True)
    finally:
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(settings.kafka.topic_prefix)]
        for future in admin.delete_topics(names).values() if names else ():
            future.result(30)


if __name__ == "__main__":
    try:
        main()
    except SealstreamError as error:
        raise SystemExit(f"{error} (this bench needs a running stack: `sealstream up`)") from None
