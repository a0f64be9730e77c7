"""A thousand agents on one gateway process: steady work, and all of them coming back at once.

Usage: python -m bench.fleet [--bootstrap HOST:PORT] [--count 1000] [--seconds 60] [--mb-per-hour 10]
Every agent has a certificate of its own, says Hello, and pushes a segment a second. They are simulated on the wire
alone: recording and sealing would take more of the same cores than the gateway does.
Prints one JSON line. Figures to beat: 1,000 agents at 10 MB an hour within 256 MiB; ack 99th percentile at most 1 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import ssl
import statistics
import subprocess
import time
from dataclasses import dataclass, field

import uvloop

from bench.agents_load import AgentSender, Plan, make_envelope
from bench.connections import SOURCES, resident_kib
from bench.gateway import MB, Bench, cpu_seconds
from infra.settings import load_settings
from infra.tls import Profile, client_context
from schemas.keys import Recipient
from schemas.wire import State

IN_PROGRESS = 32
ENVELOPE_OVERHEAD = 720
RETRY_S = 1.0


@dataclass
class Member:
    """One agent: its certificate, its envelope, and where it comes from."""

    agent_id: str
    context: ssl.SSLContext
    envelope: bytes
    source: str
    welcomed: asyncio.Event = field(default_factory=asyncio.Event)


class FleetSender(AgentSender):
    """An agent that tells when it has been welcomed."""

    def __init__(self, plan: Plan, member: Member) -> None:
        super().__init__(plan, member.agent_id, member.envelope)
        self.member = member

    def data_received(self, data: bytes) -> None:
        """The first frame that comes is the Welcome, or the end."""
        super().data_received(data)
        if self.wire.state is State.OPEN:
            self.member.welcomed.set()


def make_members(bench: Bench, size: int) -> list[Member]:
    """The fleet."""
    recipient = Recipient.from_pem((bench.root / "keys/server.pub.pem").read_bytes())
    ca, agents = bench.root / "pki/ca.pem", bench.root / "agents"
    return [
        Member(
            agent_id,
            client_context(Profile.MODERN, ca, agents / f"{agent_id}.pem", agents / f"{agent_id}.key"),
            make_envelope(agent_id, recipient, max(1, size - ENVELOPE_OVERHEAD)),
            f"127.0.0.{1 + number % SOURCES}",
        )
        for number, agent_id in enumerate(bench.ids)
    ]


async def connect(plan: Plan, member: Member, port: int) -> tuple[FleetSender, int]:
    """Connect until welcomed; the sender, and how often it had to try again."""
    for retries in range(100):
        member.welcomed.clear()
        sender = FleetSender(plan, member)
        try:
            await plan.loop.create_connection(
                lambda made=sender: made,  # type: ignore[misc]
                "127.0.0.1",
                port,
                ssl=member.context,
                server_hostname="127.0.0.1",
                local_addr=(member.source, 0),
                ssl_handshake_timeout=60,
            )
            async with asyncio.timeout(60):
                await member.welcomed.wait()
        except (OSError, TimeoutError):
            sender.finished = True
            await asyncio.sleep(random.random() * RETRY_S)
        else:
            return sender, retries
    raise RuntimeError(f"agent {member.agent_id} was never welcomed")


async def connect_all(plan: Plan, members: list[Member], port: int, at_once: int) -> tuple[list[FleetSender], int]:
    """The whole fleet, `at_once` at a time."""
    places = asyncio.Semaphore(at_once)

    async def enter(member: Member) -> tuple[FleetSender, int]:
        async with places:
            return await connect(plan, member, port)

    entered = await asyncio.gather(*(enter(member) for member in members))
    return [sender for sender, _ in entered], sum(retries for _, retries in entered)


async def work(bench: Bench, process: subprocess.Popen[bytes], seconds: int, each: int) -> dict[str, object]:
    """Connect, push for some seconds, drop everything, and come back at once."""
    members, port, count = make_members(bench, each), bench.ports["agent"], len(bench.ids)
    plan = Plan(count, seconds * each * count, each, each * count, 0.0)
    before = resident_kib(process.pid)
    senders, _ = await connect_all(plan, members, port, IN_PROGRESS)
    connected, cpu = resident_kib(process.pid), cpu_seconds(process.pid)
    for sender in senders:
        sender.begin()
    await plan.done
    cuts = statistics.quantiles(plan.latencies, n=100)
    steady = {
        "connected_kib_each": round((connected - before) / count, 1),
        "steady_s": seconds,
        "mb_s": round(sum(len(member.envelope) for member in members) / MB, 2),
        "ack_median_ms": round(cuts[49] * 1e3, 2),
        "ack_p99_ms": round(cuts[98] * 1e3, 2),
        "cpu_percent": round((cpu_seconds(process.pid) - cpu) / seconds * 100, 1),
        "steady_rss_mib": round(resident_kib(process.pid) / 1024),
    }
    for sender in senders:
        sender.finished = True
        sender.transport.abort()
    await asyncio.wait([sender.closed for sender in senders], timeout=60)
    return steady | await storm(members, port, process, each)


async def storm(members: list[Member], port: int, process: subprocess.Popen[bytes], each: int) -> dict[str, object]:
    """All at once; each pushes what it has, and the last acknowledgement ends it."""
    count = len(members)
    plan = Plan(count, each * count, each, 0.0, 0.0)
    cpu, start = cpu_seconds(process.pid), time.monotonic()
    senders, retries = await connect_all(plan, members, port, count)
    welcomed_s = time.monotonic() - start
    for sender in senders:
        sender.begin()
    await plan.done
    for sender in senders:
        sender.finished = True
        sender.transport.abort()
    return {
        "storm_welcomed_s": round(welcomed_s, 1),
        "storm_acked_s": round(time.monotonic() - start, 1),
        "storm_retries": retries,
        "storm_cpu_ms_each": round((cpu_seconds(process.pid) - cpu) / count * 1000, 2),
        "peak_rss_mib": round(resident_kib(process.pid, "VmHWM") / 1024),
    }


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bootstrap", default="", help="brokers; those of the data directory's settings when not given"
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--mb-per-hour", type=float, default=10.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    each = int(options.mb_per_hour * MB / 3600)
    with (
        Bench(options.bootstrap or load_settings().kafka.bootstrap, options.count) as bench,
        bench.gateway() as process,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        measured = runner.run(work(bench, process, options.seconds, each))
    print(json.dumps({"bench": "fleet", "agents": options.count, "mb_per_hour": options.mb_per_hour} | measured))


if __name__ == "__main__":
    main()
