"""The streams on a real Kafka with real OCR: killed, crowded, poisoned, replayed, they make the same documents."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import pytest
from aiokafka.structs import TopicPartition
from PIL import Image, ImageDraw, ImageFont

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.kafka import admin, consumer, ensure_topics, producer, topic_name
from infra.settings import Settings, load_settings
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.records import Record, decode_record
from schemas.tiles import FrameEncoder, bgra_of
from tests.streams.recording import Recorder, message, span, terminal

# ruff: noqa: ASYNC110  # tests look at other processes from outside; there is no event to wait for

pytestmark = [pytest.mark.live, pytest.mark.slow]

WORDS = ["harbour", "violet", "engine", "market", "silver", "garden", "window", "letter", "castle", "meadow", "planet"]


@pytest.fixture
def settings(backing, tmp_path, monkeypatch) -> Settings:
    """Settings of a deployment of our own on the running stores: own topics, own KEK."""
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    identity = Identity.generate(2048)
    for name, data in {
        "keys/kek.pem": identity.to_pem(b"secret"),
        "keys/kek.pub.pem": identity.recipient.to_pem(),
        "secrets/kek.passphrase": b"secret\n",
        "sealstream.toml": (
            f'[kafka]\nbootstrap = "{backing.kafka.bootstrap}"\ntopic_prefix = "t{uuid4().hex[:8]}."\n'
            '[postgresql]\ndsn = "postgresql://nobody@127.0.0.1:1/none"\n'  # KEKs are those of the folder
        ).encode(),
        "secrets/postgresql.password": b"none\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    return load_settings(tmp_path / "sealstream.toml")


@pytest.fixture
async def topics(settings):
    """The deployment's topics, gone again afterwards."""
    made = await ensure_topics(settings)
    yield made
    client = admin(settings)
    await client.start()
    await client.delete_topics(made)
    await client.close()


def start_worker(settings: Settings, number: int) -> subprocess.Popen[bytes]:
    log = (settings.node.data_dir / f"worker-{number}.log").open("ab")
    environment = {**os.environ, VARIABLE: str(settings.node.data_dir)}
    command = [sys.executable, "-m", "infra.cli", "streams", "run", "--worker", str(number)]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


@contextmanager
def workers(settings: Settings, *numbers: int):
    """Running workers; none is left behind."""
    running = {number: start_worker(settings, number) for number in numbers}
    try:
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(90)


@asynccontextmanager
async def reader(settings: Settings):
    client = consumer(settings, None)
    await client.start()
    yield client
    await client.stop()


async def read_topic(settings: Settings, topic: str, subject: str) -> list[Record]:
    """Every record of a topic there is now."""
    async with reader(settings) as client:
        places = [TopicPartition(topic_name(settings, topic), n) for n in range(6 if topic != "lifecycle" else 1)]
        if topic == "dead-letters":
            places = places[:1]
        client.assign(places)
        ends = await client.end_offsets(places)
        await client.seek_to_beginning(*places)
        found = []
        for place in places:
            while await client.position(place) < ends[place]:
                for records in (await client.getmany(place, timeout_ms=1000)).values():
                    found += [decode_record(record.value, subject) for record in records]
    return found


async def caught_up(settings: Settings, groups: dict[str, list[str]], within_s: float = 300) -> None:
    """Return when the groups have committed all there is in their topics."""
    client = admin(settings)
    await client.start()
    try:
        async with asyncio.timeout(within_s), reader(settings) as ends_of:
            while not await _is_caught_up(settings, client, ends_of, groups):
                await asyncio.sleep(0.3)
    finally:
        await client.close()


async def _is_caught_up(settings, client, ends_of, groups) -> bool:
    for group, names in groups.items():
        committed = await client.list_consumer_group_offsets(topic_name(settings, group))
        places = [TopicPartition(topic_name(settings, name), n) for name in names for n in range(6)]
        ends = await ends_of.end_offsets(places)
        if any(end and getattr(committed.get(at), "offset", 0) < end for at, end in ends.items()):
            return False
    return True


MINED = {
    "mine": [f"envelopes.{kind}" for kind in ("screen", "keystrokes", "email", "activity")],
    "streams": ["envelopes.activity", "envelopes.gap"],
}


class Desk:
    """One agent at work: a screen that fills with words, a terminal, mail, windows."""

    def __init__(self, settings: Settings, name: str) -> None:
        recipient = Identity.from_pem((settings.keys.dir / "kek.pem").read_bytes(), b"secret").recipient
        self.streams = {kind: Recorder(name, kind, recipient=recipient) for kind in StreamKind}
        for stream in self.streams.values():
            stream.time_ms = time.time_ns() // 1_000_000
            stream.renew()
        self.agent = str(self.streams[StreamKind.SCREEN].agent)
        self._encoder = FrameEncoder()
        self._image = Image.new("RGB", (640, 480), "white")
        self._count = 0

    def work(self) -> list[tuple[Recorder, bytes]]:
        """A second of work: one segment of each stream."""
        number, self._count = self._count, self._count + 1
        word = WORDS[number % len(WORDS)]
        draw = ImageDraw.Draw(self._image)
        draw.text((20, 10 + 36 * (number % 13)), f"{word} number", fill="black", font=ImageFont.load_default(20))
        at_ms = self.streams[StreamKind.SCREEN].time_ms
        frame = self._encoder.encode(bgra_of(self._image), 640, 480, time_us=at_ms * 1000)
        events = {
            StreamKind.SCREEN: frame,
            StreamKind.KEYSTROKES: terminal("output", f"$ echo {word}-{number}\r\n".encode(), at_ms=at_ms),
            StreamKind.EMAIL: message(f"subject {number}", f"text {number} {word}"),
            StreamKind.ACTIVITY: span("xterm", f"title {number}", at_us=at_ms * 1000, for_us=1_000_000),
        }
        return [
            (self.streams[kind], envelope)
            for kind, event in events.items()
            if event is not None
            for envelope in self.streams[kind].record([event])
        ]


async def push(settings: Settings, work: list[tuple[Recorder, bytes]]) -> None:
    """Publish as the gateway does, returning when all is in Kafka."""
    client = producer(settings)
    await client.start()
    headers = [("user", b"ada"), ("computer", b"desk")]
    sent = [
        await client.send(topic_name(settings, stream.topic), envelope, key=stream.key, headers=headers)
        for stream, envelope in work
    ]
    await asyncio.gather(*sent)
    await client.stop()


def latest(documents: list[Record]) -> dict[str, Record]:
    """Documents as a store keeps them."""
    kept: dict[str, Record] = {}
    for document in documents:
        known = kept.get(document["document_id"])
        if known is None or document["version"] >= known["version"]:
            kept[document["document_id"]] = document
    return kept


def comparable(documents: list[Record]) -> dict[str, tuple]:
    return {
        name: (d["kind"], d["version"], d["text"], d["time_ms"], d["until_ms"]) for name, d in latest(documents).items()
    }


async def test_killed_workers_lose_nothing_and_replay_makes_the_same(settings, topics):
    """Two workers under load, one killed with -9 in the middle, one joining: every segment's documents are there.

    Replayed, all documents come out the same, under the same ids; the killed worker is told as lost, once.
    """
    desks = [Desk(settings, f"desk-{number}") for number in range(6)]
    seconds = 13
    work = [item for _ in range(seconds) for desk in desks for item in desk.work()]
    with workers(settings, 1, 2) as running:
        half = len(work) // 2
        await push(settings, work[:half])
        async with asyncio.timeout(180):
            while len(await read_topic(settings, "documents", "document")) < 10:
                await asyncio.sleep(0.2)
        os.killpg(running[1].pid, signal.SIGKILL)
        running[3] = start_worker(settings, 3)
        await push(settings, work[half:])
        await caught_up(settings, MINED)
        await _lost(settings, "node-1/streams-1")
    documents = await read_topic(settings, "documents", "document")
    kinds = Counter(document["kind"] for document in latest(documents).values())
    assert kinds["email"] == kinds["window"] == seconds * len(desks)
    assert not await read_topic(settings, "dead-letters", "dead_letter")
    for desk in desks:
        mine = [document for document in latest(documents).values() if document["agent_id"] == desk.agent]
        typed = "\n".join(document["text"] for document in mine if document["kind"] == "terminal").splitlines()
        assert sorted(typed) == sorted(f"$ echo {WORDS[n % len(WORDS)]}-{n}" for n in range(seconds))
        seen = " ".join(document["text"] for document in mine if document["kind"] == "screen").split()
        assert set(WORDS) <= set(seen)
    spans = await read_topic(settings, "activity", "activity_span")
    assert len({(s["agent_id"], s["epoch_id"], s["sequence"], s["ordinal"]) for s in spans}) == seconds * len(desks)
    before = comparable(documents)
    for stream in ("screen", "keystrokes"):
        done = run_replay(settings, f"envelopes.{stream}", "--since", "1h")
        assert done.returncode == 0, done.stderr
    assert comparable(await read_topic(settings, "documents", "document")) == before


async def _lost(settings: Settings, node: str) -> None:
    """Return when the node was told as lost; exactly once, and no other."""
    async with asyncio.timeout(180):
        while not (
            lost := [
                e["id"] for e in await read_topic(settings, "lifecycle", "lifecycle_event") if e["event"] == "lost"
            ]
        ):
            await asyncio.sleep(0.5)
    assert lost == [node]


def run_replay(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli", "replay", *arguments],
        env={**os.environ, VARIABLE: str(settings.node.data_dir)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


async def test_a_poison_record_and_a_ranged_replay(settings, topics):
    """Junk in the middle becomes a dead letter; a replay of one agent's range touches that agent alone."""
    desks = [Desk(settings, "left"), Desk(settings, "right")]
    work = [item for _ in range(4) for desk in desks for item in desk.work()]
    work.insert(len(work) // 2, (desks[0].streams[StreamKind.EMAIL], b"SEAL but not an envelope"))
    with workers(settings, 1):
        await push(settings, work)
        await caught_up(settings, MINED)
    [letter] = await read_topic(settings, "dead-letters", "dead_letter")
    assert (letter["stage"], letter["topic"]) == ("mine", "envelopes.email")
    before = await read_topic(settings, "documents", "document")
    done = run_replay(settings, "envelopes.email", "--since", "1h", "--agent", desks[1].agent, "--json")
    assert done.returncode == 0, done.stderr
    after = await read_topic(settings, "documents", "document")
    assert comparable(after) == comparable(before)
    added = Counter((d["agent_id"], d["kind"]) for d in after) - Counter((d["agent_id"], d["kind"]) for d in before)
    assert added == {(desks[1].agent, "email"): 4}


async def test_a_log_that_lost_its_end_is_read_from_its_beginning(settings, topics):
    """Offsets that were committed beyond the end, as after a power cut: all there is is processed."""
    desk = Desk(settings, "ada")
    windows = [item for _ in range(4) for item in desk.work() if item[0].kind is StreamKind.ACTIVITY]
    await push(settings, windows[:2])
    for group in ("mine", "streams"):
        await commit_everywhere(settings, group, "envelopes.activity", 50)
    with workers(settings, 1):
        await until_activity(settings, 2)
        await push(settings, windows[2:])
        await until_activity(settings, 4)
        await caught_up(settings, {"mine": ["envelopes.activity"]})
    titles = [document["text"] for document in await read_topic(settings, "documents", "document")]
    assert sorted(titles) == [f"title {number}" for number in range(4)]


async def commit_everywhere(settings: Settings, group: str, topic: str, offset: int) -> None:
    """Commit an offset for all partitions of a topic, whatever the log has."""
    client = consumer(settings, group)
    await client.start()
    places = [TopicPartition(topic_name(settings, topic), number) for number in range(6)]
    client.assign(places)
    await client.commit(dict.fromkeys(places, offset))
    await client.stop()


async def until_activity(settings: Settings, count: int) -> None:
    """Return when so many spans of activity are in Kafka."""
    async with asyncio.timeout(240):
        while len(await read_topic(settings, "activity", "activity_span")) < count:
            await asyncio.sleep(0.3)
