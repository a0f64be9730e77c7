"""A load generator for TLS ingest: many connections from one process, as agents (wire protocol) or as log lines.

Run as its own process by `bench/gateway.py`: says `ready` when all are connected, begins when it reads a line, and
prints one JSON line. Never seals while it measures: envelopes are made
before, and only their sequence is changed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import random
import ssl
import statistics
import sys
import time
from pathlib import Path
from struct import Struct
from typing import cast
from uuid import UUID

import uvloop

from infra.tls import Profile, client_context
from schemas.envelope import Peek, peek
from schemas.frames import PREFIX_BYTES, Ack, Goodbye, Hello, Nack, Push, Welcome, build_frame
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.seal import Epoch
from schemas.wire import Connection, Role

_FIRST = Struct(">Q")
_BODY_AT = PREFIX_BYTES + 8 + 2 + 4
_SEQUENCE_AT = 4
LINE_BYTES = 1024


class Plan:
    """What is sent, and when it is done. `rate` is bytes a second over all connections; 0 for as fast as it goes."""

    def __init__(self, connections: int, total: int, size: int, rate: float, warm_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.units_each = max(1, total // size // connections)
        self.size = size
        self.interval_s = size * connections / rate if rate else 0.0
        self.unfinished = connections
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.started: asyncio.Future[None] = self.loop.create_future()
        self.latencies: list[float] = []
        self.warm_s = warm_s
        self.counted_from = 0.0
        self.suite = ""

    def start(self) -> None:
        """An agent has been welcomed."""
        if not self.started.done():
            self.started.set_result(None)

    def finish(self) -> None:
        """One connection has sent everything, and heard that it is stored if it is told so."""
        self.unfinished -= 1
        if not self.unfinished and not self.done.done():
            self.done.set_result(None)

    def fail(self, why: str) -> None:
        """The measurement is void."""
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


class Sender(asyncio.Protocol):
    """Flow control common to both kinds of load."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sent = 0
        self.writable = True
        self.begun = False
        self.finished = False
        self.closed = plan.loop.create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what TLS was agreed on."""
        self.transport = cast("asyncio.Transport", transport)
        self.plan.suite = "/".join(map(str, transport.get_extra_info("cipher")[:2]))

    def pause_writing(self) -> None:
        """The other side is slower than we are."""
        self.writable = False

    def resume_writing(self) -> None:
        """Go on."""
        self.writable = True
        self.send_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Before everything was sent, this voids the measurement."""
        self.closed.set_result(None)
        if not self.finished:
            self.plan.fail(f"a connection was lost: {exc}")

    def begin(self) -> None:
        """Send from now on, at once or at its place in the interval."""
        self.begun = True
        if self.plan.interval_s:
            first = self.plan.loop.time() + random.random() * self.plan.interval_s
            self.plan.loop.call_at(first, self._send_paced, first)
        else:
            self.send_more()

    def _send_paced(self, due: float) -> None:
        if self.sent < self.plan.units_each:
            self.send_one()
            due += self.plan.interval_s
            self.plan.loop.call_at(due, self._send_paced, due)

    def send_more(self) -> None:
        """Send for as long as the transport and the other side let us."""
        while (
            self.begun
            and not self.plan.interval_s
            and self.writable
            and self.sent < self.plan.units_each
            and self.may_send()
        ):
            self.send_one()

    def may_send(self) -> bool:
        """Whether one more unit may go."""
        return True

    def send_one(self) -> None:
        """Send one unit."""
        raise NotImplementedError


class AgentSender(Sender):
    """An agent: pushes one envelope a frame, within its credit, and counts acks."""

    def __init__(self, plan: Plan, agent_id: str, envelope: bytes) -> None:
        super().__init__(plan)
        self.wire = Connection(Role.AGENT)
        self.agent_id = agent_id
        self.envelope_size = len(envelope)
        self.frame = bytearray(build_frame(Push(0, (envelope,))))
        seen: Peek = peek(envelope)
        self.sequence_at = _BODY_AT + seen.record_at + _SEQUENCE_AT
        self.sent_at: list[float] = []
        self.acked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say Hello."""
        super().connection_made(transport)
        self.transport.write(self.wire.send(Hello(self.agent_id, "load", "bench", [1], "bench", "linux", 0)))

    def data_received(self, data: bytes) -> None:
        """Acks, and whatever else voids the measurement."""
        for frame in self.wire.receive(data):
            match frame:
                case Ack():
                    self._count(frame.next)
                case Welcome():
                    self.plan.start()
                case Goodbye() | Nack():
                    self.plan.fail(str(frame))
        self.send_more()

    def _count(self, upto: int) -> None:
        now = time.perf_counter()
        if self.plan.interval_s:
            sent = self.sent_at[self.acked : upto]
            self.plan.latencies += [now - at for at in sent if at > self.plan.counted_from]
        self.acked = upto
        if upto == self.plan.units_each and not self.finished:
            self.finished = True
            self.plan.finish()

    def may_send(self) -> bool:
        """Within the credit."""
        return self.wire.credit_left >= self.envelope_size

    def send_one(self) -> None:
        """The prepared frame, with its number and sequence put in."""
        _FIRST.pack_into(self.frame, PREFIX_BYTES, self.sent)
        self.frame[self.sequence_at : self.sequence_at + 5] = self.sent.to_bytes(5, "big")
        self.wire.pushed += 1
        self.wire.pushed_bytes += self.envelope_size
        if self.plan.interval_s:
            self.sent_at.append(time.perf_counter())
        self.sent += 1
        self.transport.write(bytes(self.frame))


class LineSender(Sender):
    """A log shipper: writes a block of lines at a time, and is told nothing."""

    def __init__(self, plan: Plan, block: bytes) -> None:
        super().__init__(plan)
        self.block = block

    def send_one(self) -> None:
        """One block."""
        self.sent += 1
        self.transport.write(self.block)
        if self.sent == self.plan.units_each:
            self.finished = True
            self.plan.finish()


def make_envelope(agent_id: str, recipient: Recipient, size: int) -> bytes:
    """An envelope of `size` sealed bytes."""
    epoch = Epoch.begin(agent_id=UUID(agent_id).bytes, kind=StreamKind.SCREEN, recipients=[recipient], created_ms=1)
    return epoch.seal(os.urandom(size), capture_ms=1)


def make_lines(size: int, line: int) -> bytes:
    """A block of `size` bytes in lines of `line` bytes."""
    text = base64.b64encode(os.urandom(line))[: line - 1] + b"\n"
    return text * max(1, size // line)


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Connect all, then start all at once, and wait for the last."""
    plan = Plan(options.connections, options.total, options.size, options.rate, options.warm)
    senders = [await _connect(plan, options, number) for number in range(options.connections)]
    if options.kind == "agents":
        await plan.started
    print("ready", flush=True)
    await plan.loop.run_in_executor(None, sys.stdin.readline)
    gc.collect()
    gc.disable()
    start = time.time()
    plan.counted_from = time.perf_counter() + plan.warm_s
    for sender in senders:
        sender.begin()
    await plan.done
    end = time.time()
    for sender in senders:
        sender.finished = True
        sender.transport.close()
    await asyncio.wait([sender.closed for sender in senders], timeout=120)
    units = plan.units_each * options.connections
    result: dict[str, object] = {"start": start, "end": end, "units": units, "suite": plan.suite}
    if plan.latencies:
        cuts = statistics.quantiles(plan.latencies, n=1000)
        result |= {"ack_median_ms": cuts[499] * 1e3, "ack_p99_ms": cuts[989] * 1e3, "ack_max_ms": cuts[-1] * 1e3}
    return result


async def _connect(plan: Plan, options: argparse.Namespace, number: int) -> Sender:
    sender: Sender
    if options.kind == "agents":
        agent_id = options.agents.read_text().split()[number]
        directory: Path = options.agents.parent
        context = client_context(
            Profile.MODERN, options.ca, directory / f"{agent_id}.pem", directory / f"{agent_id}.key"
        )
        recipient = Recipient.from_pem(options.recipient.read_bytes())
        sender = AgentSender(plan, agent_id, make_envelope(agent_id, recipient, options.size))
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(options.ca)
        sender = LineSender(plan, make_lines(options.size, options.line))
    context.options |= ssl.OP_NO_COMPRESSION
    await plan.loop.create_connection(
        lambda: sender, "127.0.0.1", options.port, ssl=context, server_hostname="127.0.0.1"
    )
    return sender


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["agents", "lines"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--agents", type=Path, help="file with agent ids; certificates lie beside it")
    parser.add_argument("--recipient", type=Path)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--total", type=int, default=1 << 30, help="bytes in all")
    parser.add_argument("--size", type=int, default=65536, help="bytes of one envelope or block")
    parser.add_argument("--line", type=int, default=LINE_BYTES)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second; 0 for as fast as it goes")
    parser.add_argument("--warm", type=float, default=0.0, help="seconds at the start whose latencies do not count")
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
