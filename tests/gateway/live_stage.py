"""The agent port and the viewers' port in this process, over real TLS, and a viewer who looks at them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from gateway.agents import AgentPort
from gateway.facts import Facts, now_ms
from gateway.live.hub import Hub
from gateway.live.port import PATH, LivePort
from gateway.live.relay import Finder, Relay
from gateway.live.tickets import Ticket, Tickets
from gateway.marks import Marks
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.policy import Told
from infra.metrics import Metrics
from infra.settings import GatewaySettings, LiveSettings, NodeSettings, RedisSettings, Settings
from infra.tls import Profile, server_context
from schemas.frames import Frame, LiveState, Welcome
from schemas.live import LiveMessage
from schemas.records import Record, decode_record
from tests.gateway.endpoint import Credentials, Endpoint

ORIGIN = "https://console.example.org"
POLICY: dict[str, Any] = {"version": 1, "streams": ["screen", "audio"], "live": ["screen", "audio"]}
TIMEOUT_S = 10


class Viewer:
    """One websocket, after its ticket was shown."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.statuses: list[dict[str, Any]] = []

    async def message(self) -> tuple[LiveMessage, bytes]:
        async with asyncio.timeout(TIMEOUT_S):
            data = await self.socket.recv()
        assert isinstance(data, bytes)
        kind, payload = LiveMessage(data[0]), data[1:]
        if kind is LiveMessage.STATUS:
            self.statuses.append(json.loads(payload))
        return kind, payload

    async def content(self) -> bytes:
        """The next message that is no status."""
        while True:
            kind, payload = await self.message()
            if kind is not LiveMessage.STATUS:
                return payload

    async def status(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next status of that kind with those values."""
        while True:
            got, payload = await self.message()
            told = json.loads(payload) if got is LiveMessage.STATUS else {}
            if told.get("kind") == kind and wanted.items() <= told.items():
                return dict(told)


@dataclass
class LiveStage:
    """Both ports and what stands behind them."""

    agents: AgentPort
    hub: Hub
    port: LivePort
    tickets: Tickets
    publisher: MemoryPublisher
    metrics: Metrics
    agent_number: int
    live_number: int
    told: list[Told]
    trust: ssl.SSLContext
    lives: list[bool] = field(default_factory=lambda: [True])
    greeted: list[Endpoint] = field(default_factory=list)

    def ticket(self, credentials: Credentials, **changes: Any) -> Ticket:
        values = {
            "id": str(uuid4()),
            "agent_id": str(credentials.agent_id),
            "what": "screen",
            "gateway": "test/gateway",
            "user": "ana",
            "viewer_key": "",
            "account_id": str(uuid4()),
            "account": "otto",
            "actor": "otto@console",
            "session_id": str(uuid4()),
            "purpose": "a test",
            "origin": ORIGIN,
            "until_ms": now_ms() + 30_000,
        }
        return Ticket(**{**values, **changes})

    async def open(self, first: str | bytes, origin: str | None = ORIGIN) -> Viewer:
        """A websocket whose first message is `first`."""
        url = f"wss://127.0.0.1:{self.live_number}{PATH}"
        socket = await connect(url, ssl=self.trust, origin=origin, compression=None, max_size=None)  # type: ignore[arg-type]
        await socket.send(first)
        return Viewer(socket)

    async def watch(self, credentials: Credentials, **changes: Any) -> Viewer:
        return await self.open(json.dumps({"ticket": self.tickets.issue(self.ticket(credentials, **changes))}))

    async def greet(self, credentials: Credentials, **changes: Any) -> Endpoint:
        """An agent that can be watched and heard."""
        endpoint = await Endpoint.connect(credentials, self.agent_number)
        hello = {"time_ms": now_ms(), "detail": {"live": "screen,audio"}, **changes}
        endpoint.send(credentials.hello(**hello))
        assert isinstance(await endpoint.receive(), Welcome)
        self.greeted.append(endpoint)
        return endpoint

    def audit(self) -> list[Record]:
        values = [record.value for record in self.publisher.records if record.topic == "audit"]
        return [decode_record(value, "audit_entry") for value in values]

    def count(self, event: str) -> float:
        return float(self.metrics.counter("gateway_live_events_total").labels(event)._value.get())


async def receive_frame(endpoint: Endpoint, cls: type[Any]) -> Any:
    """The next frame of that kind that an agent gets."""
    while True:
        frame: Frame | None = await endpoint.receive()
        assert frame is not None
        if isinstance(frame, cls):
            return frame


def state(stream: str = "screen", state: str = "on", reason: str = "") -> LiveState:
    return LiveState({"stream": stream, "state": state, "reason": reason})


@asynccontextmanager
async def open_live_stage(
    pki: Path,
    directory: Path,
    *,
    name: str = "test/gateway",
    redis: str = "",
    finder: Finder | None = None,
    **live: Any,
) -> AsyncIterator[LiveStage]:
    """Both ports of the gateway `name`, while the context lasts; with a `redis` it sees agents of others."""
    settings = Settings(
        node=NodeSettings(data_dir=directory),
        gateway=GatewaySettings(ca_file=pki / "ca.pem"),
        live=LiveSettings(ticket_key_file=directory / "secrets" / "live.key", **live),
        redis=RedisSettings(url=redis or "redis://127.0.0.1:1"),
    )
    publisher, metrics = MemoryPublisher(), Metrics(TABLE)
    told, lives = [Told(POLICY, [])], [True]
    facts = Facts(publisher, reporter=name, incarnation="1")
    hub = Hub(settings.live, "127.0.0.1", lambda: told[-1], metrics)
    marks = Marks(settings.redis if redis else None)
    tickets = Tickets(settings.live.ticket_key_file)
    if redis:
        hub.relay = Relay(settings, name, hub, tickets, metrics)
        hub.relay.finder = finder

    async def still_lives(_: Ticket) -> bool:
        return lives[-1]

    port = LivePort(settings, hub, tickets, facts=facts, metrics=metrics, lives=still_lives, marks=marks)
    agents = AgentPort(publisher, facts, metrics, lambda: told[-1], budget_bytes=64 << 20, live=hub)
    cert, key = pki / "gateway.pem", pki / "gateway.key"
    number = agents.listen("127.0.0.1", 0, server_context(Profile.MODERN, cert, key, pki / "ca.pem", listener="agent"))
    listener = _listen()
    context = server_context(Profile.MODERN, cert, key, listener="https")
    await asyncio.to_thread(tickets.load)
    serving = asyncio.create_task(port.serve(listener, context))
    trust = ssl.create_default_context(cafile=pki / "ca.pem")
    stage = LiveStage(
        agents, hub, port, tickets, publisher, metrics, number, listener.getsockname()[1], told, trust, lives
    )
    try:
        yield stage
    finally:
        await agents.drain()
        port.stop()
        await serving


def _listen() -> Any:
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener
