"""Idle agents: what each connection costs the gateway in memory, and how fast they all come back.

Usage: python -m bench.connections [--bootstrap HOST:PORT] [--count 10000]
The connections take the certificates of 50 agents in turn, and none says Hello, since an agent has one connection:
what is measured is a connection after its TLS handshake.
Prints one JSON line. Figures to beat: 10,000 connections, 24 KiB each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from pathlib import Path

import uvloop

from bench.gateway import Bench, cpu_seconds
from infra.settings import load_settings
from infra.tls import Profile, client_context

IN_PROGRESS = 32
SOURCES = 200
"""Addresses of the loopback network that the connections come from: each has ports of its own."""


def resident_kib(pid: int, field: str = "VmRSS") -> int:
    """Resident memory of a process; with `VmHWM` the most that it ever was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


async def hold(count: int, port: int, ids: Path, ca: Path) -> list[asyncio.BaseTransport]:
    """Open `count` connections, some at a time."""
    agents = ids.read_text().split()  # noqa: ASYNC240 - before anything runs beside it
    contexts = [client_context(Profile.MODERN, ca, ids.parent / f"{a}.pem", ids.parent / f"{a}.key") for a in agents]
    places = asyncio.Semaphore(IN_PROGRESS)
    loop = asyncio.get_running_loop()

    async def connect(number: int) -> asyncio.BaseTransport:
        async with places:
            transport, _ = await loop.create_connection(
                asyncio.Protocol,
                "127.0.0.1",
                port,
                ssl=contexts[number % len(contexts)],
                server_hostname="127.0.0.1",
                local_addr=(f"127.0.0.{1 + number % SOURCES}", 0),
            )
            return transport

    return await asyncio.gather(*(connect(number) for number in range(count)))


def measure(bench: Bench, count: int) -> dict[str, object]:
    """The gateway before and after `count` connections."""
    with bench.gateway(handshake_timeout_s="600") as process:
        before, cpu, start = resident_kib(process.pid), cpu_seconds(process.pid), time.time()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            held = runner.run(hold(count, bench.ports["agent"], bench.root / "agents/ids", bench.root / "pki/ca.pem"))
            took = time.time() - start
            after = resident_kib(process.pid)
            used = cpu_seconds(process.pid) - cpu
            for transport in held:
                transport.abort()  # type: ignore[attr-defined]
    return {
        "bench": "connections", "connections": count, "kib_each": round((after - before) / count, 1),
        "rss_mib": round(after / 1024), "connected_in_s": round(took, 1), "handshakes_s": round(count / took),
        "cpu_ms_each": round(used / count * 1000, 2),
    }  # fmt: skip


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bootstrap", default="", help="brokers; those of the data directory's settings when not given"
    )
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Bench(options.bootstrap or load_settings().kafka.bootstrap, 50) as bench:
        print(json.dumps(measure(bench, options.count)))


if __name__ == "__main__":
    main()
