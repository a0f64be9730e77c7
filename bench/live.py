"""Live viewing: how late a picture is, beside how late Kafka has it; how much sound a core relays beside a bare socket.

Usage: python -m bench.live [--quick] [--data DIR] [--user NAME --password-file FILE] [--only picture|sound|across]
The picture needs a running stack, Xvfb, xterm and an officer's account; it starts a gateway and an agent of its own.
Its peer is a Kafka consumer of the same agent while nobody watches: the soonest that any player could show it.
The relay's peer receives the same datagrams and does nothing with them. Figures to reach: a picture's median at most
500 ms; `ratio` of the relay at least 0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx2 as httpx
import uvloop
from confluent_kafka import Consumer

from bench.live_across import measure_across
from gateway.live.sound import SoundPort, open_port
from infra.datadir import VARIABLE
from infra.settings import Settings, load_settings
from schemas.audio_packet import KEY_BYTES, SALT_BYTES, AudioOpener, AudioSealer, Suite
from schemas.canvas import Canvas
from schemas.envelope import peek
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.live import LiveMessage, dump_viewer_key
from schemas.opening import Opener, PartJoiner
from schemas.records import decode_segment
from schemas.topics import envelope_topic
from tests.live.live_site import Desk, Site, Watcher, messages, open_desk, open_site

BODY_BYTES = 59
"""An Opus packet of 20 ms at 24 kbit/s."""

BURST = 32


def tell(name: str, late: list[float]) -> dict[str, float]:
    """Print and give the figures of some latencies, ms."""
    late = sorted(late)
    median, high = statistics.median(late), late[int(len(late) * 0.95)]
    print(f"{name:<28}{len(late):>6} frames   median {median:7.0f} ms   95th percentile {high:7.0f} ms")
    return {"frames": len(late), "median_ms": round(median, 1), "p95_ms": round(high, 1)}


async def watch(site: Site, desk: Desk, cookie: httpx.Cookies, seconds: float) -> list[float]:
    """Milliseconds from capture until a frame is opened, decoded and drawn by a viewer."""
    viewer, late, canvases = Identity.generate(2048), list[float](), dict[int, Canvas]()
    opener, joiner = Opener([viewer]), PartJoiner()
    async with (
        httpx.AsyncClient(base_url=site.base, verify=False, timeout=60, cookies=cookie) as client,
        Watcher(client).open(desk, "screen", dump_viewer_key(viewer.recipient)) as (websocket, _),
    ):
        async for kind, payload, _ in messages(websocket, seconds):
            if kind is not LiveMessage.ENVELOPE:
                continue
            whole = joiner.add(opener.open(payload))
            for frame in decode_segment(StreamKind.SCREEN, whole.plaintext) if whole else []:
                if late or frame["key_frame"]:  # one that was under way when we came is passed over
                    canvases.setdefault(frame["display"], Canvas()).draw(frame)
                    late.append(time.time() * 1000 - frame["time_us"] / 1000)
    return late


def consume(settings: Settings, desk: Desk, seconds: float) -> list[float]:
    """Milliseconds from the capture of a segment's first frame until a consumer has it."""
    group = f"bench-live-{os.getpid()}"
    asked = {"bootstrap.servers": settings.kafka.bootstrap, "group.id": group, "auto.offset.reset": "latest"}
    consumer = Consumer({**asked, "enable.auto.commit": False, "fetch.wait.max.ms": 5})
    consumer.subscribe([settings.kafka.topic_prefix + envelope_topic(StreamKind.SCREEN)])
    agent, late, until = UUID(desk.agent_id).bytes, list[float](), time.monotonic() + seconds + 5
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        value = message.value() if message and not message.error() else None
        if value and (seen := peek(value)).epoch.agent_id == agent:
            late.append(time.time() * 1000 - seen.record.capture_ms)
    consumer.close()
    return late


def measure_picture(data: Path, user: str, password: str, seconds: float) -> None:
    """One line for the viewer, one for the peer."""
    os.environ[VARIABLE] = str(data)
    settings = load_settings(data / "sealstream.toml")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_site(settings, Path(folder, "site")) as site,
        open_desk(site, Path(folder, "desk")) as desk,
    ):
        signed = httpx.post(f"{site.base}/api/v1/session", json={"name": user, "password": password}, verify=False)
        signed.raise_for_status()
        peer = tell("Kafka, nobody watches", consume(settings, desk, seconds))
        ours = tell("live, drawn by a viewer", asyncio.run(watch(site, desk, signed.cookies, seconds)))
    ratio = round(ours["median_ms"] / peer["median_ms"], 3)
    print(json.dumps({"bench": "live", "what": "picture", "ours": ours, "peer": peer, "ratio": ratio}))


def packets_of(suite: Suite, count: int) -> tuple[AudioOpener, list[bytes]]:
    """Sealed packets, and what opens them."""
    key, salt = bytes(KEY_BYTES), bytes(SALT_BYTES)
    sealer = AudioSealer(suite, 1, key, salt)
    return AudioOpener(suite, 1, key, salt), [sealer.seal(bytes(BODY_BYTES), n) for n in range(count)]


async def relay(
    packets: list[bytes], take: Callable[[socket.socket, Callable[[bytes], None]], Callable[[], None]]
) -> float:
    """Packets a second of CPU that a receiver takes from the network. `take` begins to receive, and says how to end."""
    got, sender, port = 0, socket.socket(socket.AF_INET, socket.SOCK_DGRAM), open_port("127.0.0.1", 20_000, 30_000)

    def count(_: bytes) -> None:
        nonlocal got
        got += 1

    sender.connect(port.getsockname())
    stop = take(port, count)
    spent = 0.0
    for at in range(0, len(packets), BURST):
        for packet in packets[at : at + BURST]:
            sender.send(packet)
        began, wanted = time.process_time(), min(at + BURST, len(packets))
        while got < wanted:  # noqa: ASYNC110 - the loop must turn, and nothing else
            await asyncio.sleep(0)
        spent += time.process_time() - began
    stop()
    sender.close()
    return len(packets) / spent


def bare(port: socket.socket, count: Callable[[bytes], None]) -> Callable[[], None]:
    """The peer: receives, and no more."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        for _ in range(64):
            try:
                count(port.recv(2048))
            except BlockingIOError:
                return

    loop.add_reader(port.fileno(), read)

    def stop() -> None:
        loop.remove_reader(port.fileno())
        port.close()

    return stop


def measure_sound(count: int) -> None:
    """A line for each suite."""
    for suite in Suite:
        opener, packets = packets_of(suite, count)

        def ours(
            port: socket.socket, hand_on: Callable[[bytes], None], opener: AudioOpener = opener
        ) -> Callable[[], None]:
            return SoundPort(port, "127.0.0.1", opener, hand_on, lambda _what, _amount: None).close

        peer = uvloop.run(relay(packets, bare))
        rate = uvloop.run(relay(packets, ours))
        print(f"{suite.name.lower():<28}{rate:>9.0f} packets/s and core, {rate / 50:6.0f} agents; bare {peer:9.0f}")
        told = {"bench": "live", "what": "sound", "suite": suite.name.lower(), "packets_s": round(rate)}
        print(json.dumps({**told, "streams": round(rate / 50), "ratio": round(rate / peer, 3)}))


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get(VARIABLE, "")))
    parser.add_argument("--user", default="")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--only", choices=["picture", "sound", "across"])
    asked = parser.parse_args()
    if asked.only in (None, "sound"):
        measure_sound(20_000 if asked.quick else 200_000)
    if asked.only in (None, "across"):
        uvloop.run(measure_across(50 if asked.quick else 500))
    if asked.only in (None, "picture"):
        if not asked.user or asked.password_file is None:
            print("the picture needs --user and --password-file of an officer: `sealstream accounts make` makes one")
            return
        measure_picture(asked.data, asked.user, asked.password_file.read_text().strip(), 10 if asked.quick else 60)


if __name__ == "__main__":
    main()
