"""Live viewing across gateways: what the way through Redis adds to a picture's and a sound's, beside the same view at
the agent's own gateway.

Usage: python -m bench.live_across [--quick]; `bench.live --only across` is the same. Needs `redis-server` alone.
Gateways, agent and viewers are in this process, with their TLS; each figure of the way through Redis stands beside the
one at the own gateway, taken in turns; `ratio` is that of the processor time of everything, Redis included. Figures to
reach: all of it is 10 ms later at most (median); `ratio` of 200 kB at most 3.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from infra.pki import issue, make_ca
from schemas.audio_packet import AudioSealer
from schemas.frames import AudioOpen
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.live import Listen, dump_viewer_key
from schemas.seal import Epoch
from tests.gateway.endpoint import Credentials, Endpoint
from tests.gateway.live_fleet import Fleet, open_fleet
from tests.gateway.live_stage import Viewer

FRAME_BYTES = 200_000
"""A whole frame of 1080p with a desktop on it."""

CHANGE_BYTES = 20_000
PACKET_BYTES = 59

Times = tuple[list[float], float]
"""Milliseconds of each message, and seconds of processor time in all."""


def cpu_s(fleet: Fleet) -> float:
    """Processor time of this process and of Redis."""
    return time.process_time() + fleet.redis.cpu_s


async def carry(fleet: Fleet, endpoint: Endpoint, viewer: Viewer, sealed: list[bytes]) -> Times:
    """Push envelopes one by one, and wait for each at the viewer."""
    took = list[float]()
    began = cpu_s(fleet)
    for envelope in sealed:
        pushed = time.perf_counter()
        endpoint.push(envelope)
        await viewer.content()
        took.append((time.perf_counter() - pushed) * 1000)
    return took, cpu_s(fleet) - began


async def say(fleet: Fleet, sealer: AudioSealer, agent: asyncio.DatagramTransport, viewer: Viewer, count: int) -> Times:
    """Send packets of sound one by one, and wait for each."""
    took, began = list[float](), cpu_s(fleet)
    for number in range(count):
        sent = time.perf_counter()
        agent.sendto(sealer.seal(bytes(PACKET_BYTES), number))
        await viewer.content()
        took.append((time.perf_counter() - sent) * 1000)
    return took, cpu_s(fleet) - began


def tell(what: str, size: int, near: Times, far: Times) -> None:
    """One line for a person, one JSON object."""
    (near_ms, near_s), (far_ms, far_s) = near, far
    median, beside = statistics.median(far_ms), statistics.median(near_ms)
    high = sorted(far_ms)[int(len(far_ms) * 0.95)]
    rate = size * len(far_ms) / far_s / 1e6 if far_s else 0.0
    print(
        f"{what:<28}{len(far_ms):>6} times   median {median:6.2f} ms, local {beside:6.2f} ms   "
        f"95th percentile {high:6.2f} ms   {rate:6.0f} MB/s and core"
    )
    told = {"bench": "live", "what": what, "median_ms": round(median, 2), "local_median_ms": round(beside, 2)}
    told |= {"p95_ms": round(high, 2), "added_ms": round(median - beside, 2), "mb_s_core": round(rate, 1)}
    print(json.dumps({**told, "ratio": round(far_s / near_s, 2) if near_s else None}))


async def listen_to(endpoint: Endpoint, asked: asyncio.Queue[Listen]) -> None:
    """The agent's side: take acknowledgements, which give credit, and what it is asked for."""
    while frame := await endpoint.receive():
        if isinstance(frame, AudioOpen):
            asked.put_nowait(Listen.from_detail(frame.detail))


async def compare_pictures(fleet: Fleet, endpoint: Endpoint, agent: Credentials, count: int) -> None:
    """Whole frames, and changes of them."""
    viewer = Identity.generate(2048)
    key = dump_viewer_key(viewer.recipient)
    epoch = Epoch.begin(
        agent_id=agent.agent_id.bytes, kind=StreamKind.SCREEN, recipients=[viewer.recipient], created_ms=1
    )
    for name, size in (("frame of 200 kB", FRAME_BYTES), ("change of 20 kB", CHANGE_BYTES)):
        sealed = [epoch.seal(bytes(size), capture_ms=1) for _ in range(2 * count)]
        near = await fleet["b"].watch(agent, viewer_key=key)
        await near.status("state")
        local = await carry(fleet, endpoint, near, sealed[:count])
        await near.socket.close()
        far = await fleet["a"].watch(agent, viewer_key=key)
        await far.status("behind")
        tell(name, size, local, await carry(fleet, endpoint, far, sealed[count:]))
        await far.socket.close()


async def compare_sound(fleet: Fleet, asked: asyncio.Queue[Listen], agent: Credentials, count: int) -> None:
    """Packets of 20 ms."""
    times: list[Times] = []
    for name in ("b", "a"):
        listener = await fleet[name].watch(agent, what="audio")
        listen = await asked.get()
        sealer = AudioSealer(listen.suite, listen.stream_id, listen.key, listen.salt)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", listen.port)
        )
        times.append(await say(fleet, sealer, transport, listener, count))
        transport.close()
        await listener.socket.close()
    tell("sound of 20 ms", PACKET_BYTES, *times)


async def measure_across(count: int) -> None:
    """All of them, in gateways made for it."""
    with tempfile.TemporaryDirectory() as folder:
        pki, data = Path(folder, "pki"), Path(folder, "data")
        for directory in (pki, data):
            directory.mkdir()
        make_ca(pki)
        issue(pki, "gateway", server=True, hosts=["127.0.0.1", "localhost"])
        agent = Credentials.make(data, pki / "ca.pem")
        async with open_fleet(pki, data) as fleet:
            endpoint = await fleet["b"].greet(agent)
            asked: asyncio.Queue[Listen] = asyncio.Queue()
            listening = asyncio.create_task(listen_to(endpoint, asked))
            await compare_pictures(fleet, endpoint, agent, count)
            await compare_sound(fleet, asked, agent, count * 5)
            listening.cancel()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    uvloop.run(measure_across(50 if parser.parse_args().quick else 500))


if __name__ == "__main__":
    main()
