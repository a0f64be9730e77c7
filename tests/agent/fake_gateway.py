"""A gateway for tests: real TLS and HTTP, the wire of `schemas.wire`, and faults on order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

from infra.pki import agent_of, ca_fingerprint, issue, issue_agent, make_ca
from infra.tls import Profile, server_context
from schemas.enrolment import EnrolmentToken
from schemas.frames import (
    Ack,
    Backlog,
    Drain,
    Frame,
    Goodbye,
    Hello,
    LiveState,
    Nack,
    NackCode,
    Ping,
    Policy,
    Pong,
    Push,
    Welcome,
)
from schemas.keys import Identity
from schemas.wire import Connection, Role, State

POLICY: dict[str, Any] = {"version": 5, "streams": ["screen", "keystrokes", "email", "activity"]}


@dataclass
class Faults:
    """When the gateway misbehaves. Chances are for each push."""

    chance: random.Random = field(default_factory=lambda: random.Random(1))
    drop_before_store: float = 0.0
    drop_before_ack: float = 0.0
    drop_after_ack: float = 0.0
    refuse: Callable[[bytes], bool] = lambda _: False
    acks: bool = True
    silent: bool = False


class FakeGateway:
    """Listens on two free ports of this machine."""

    def __init__(self, directory: Path, identity: Identity, *, credit: int = 4_000_000) -> None:
        self.directory = directory
        self.identity = identity
        self.faults = Faults()
        self.policy: dict[str, Any] = dict(POLICY)
        self.window = credit
        self.received: list[bytes] = []
        self.hellos: list[Hello] = []
        self.goodbyes: list[Goodbye] = []
        self.live: list[LiveState] = []
        self.backlogs: list[Backlog] = []
        self.asks: list[str] = []
        self.connections: list[_Connection] = []
        self.secrets = {"one-time secret"}
        self.assigned: str | None = None
        self.alternatives: list[str] = []
        self.asked = 0
        self.last_csr = b""
        self.grant: dict[str, object] = {}
        self.enrol_status = 200

    @property
    def address(self) -> str:
        return f"127.0.0.1:{_port(self._https)}"

    @property
    def agent_address(self) -> str:
        return f"127.0.0.1:{_port(self._agents)}"

    @property
    def recipients(self) -> list[str]:
        return [self.identity.recipient.to_pem().decode()]

    async def __aenter__(self) -> Self:
        make_ca(self.directory)
        issued = issue(self.directory, "gateway", server=True, hosts=["127.0.0.1", "localhost"])
        ca = self.directory / "ca.pem"
        agents = server_context(Profile.MODERN, issued.cert, issued.key, ca, listener="agent")
        https = server_context(Profile.MODERN, issued.cert, issued.key, listener="https")
        self._agents = await asyncio.start_server(self._serve_agent, "127.0.0.1", 0, ssl=agents)
        self._tls = agents
        self._number = _port(self._agents)
        self._https = await asyncio.start_server(self._serve_https, "127.0.0.1", 0, ssl=https)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.abort()
        self._agents.close()
        self._https.close()

    async def listen_again(self) -> None:
        """Open the agent port again, which was closed."""
        self._agents = await asyncio.start_server(self._serve_agent, "127.0.0.1", self._number, ssl=self._tls)

    def token(self, secret: str = "one-time secret") -> EnrolmentToken:
        return EnrolmentToken(self.address, ca_fingerprint((self.directory / "ca.pem").read_bytes()), secret)

    async def _serve_agent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        self.connections.append(connection)
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65_536):
                connection.take(data)
        writer.close()

    async def _serve_https(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")]
            length = int(lengths[0]) if lengths else 0
            status, body = self._answer(head.split()[0], head.split()[1], await reader.readexactly(length))
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        if (method, path) == ("GET", "/api/v1/ca"):
            return 200, (self.directory / "ca.pem").read_bytes()
        if (method, path) == ("GET", "/api/v1/assign"):
            assert query.startswith("agent=")
            self.asked += 1
            server = self.agent_address if self.assigned is None else self.assigned
            answer = {"server": server, "gateway": "fake", "alternatives": self.alternatives}
            return (200, json.dumps(answer).encode()) if server else (503, b"{}")
        if (method, path) == ("POST", "/api/v1/enrol"):
            return self._enrol(json.loads(body))
        return 404, b"{}"

    def _enrol(self, request: dict[str, Any]) -> tuple[int, bytes]:
        if self.enrol_status != 200:
            return self.enrol_status, b'{"error": "by order"}'
        if request["secret"] not in self.secrets:
            return 403, b'{"error": "refused"}'
        self.secrets.remove(request["secret"])
        self.last_csr = request["csr"].encode()
        agent: UUID = uuid4()
        certificate = issue_agent(self.directory, agent.bytes, self.last_csr)
        answer = {
            "agent_id": str(agent),
            "certificate": certificate.decode(),
            "ca": (self.directory / "ca.pem").read_text(),
            "recipients": self.recipients,
            "policy": self.policy,
        }
        return 200, json.dumps(answer | self.grant).encode()


class _Connection:
    """The gateway's side of one connection."""

    def __init__(self, gateway: FakeGateway, writer: asyncio.StreamWriter) -> None:
        self.gateway = gateway
        self.wire = Connection(Role.GATEWAY)
        self.stored: list[bytes] = []
        self._writer = writer
        self._settled_bytes = 0

    def abort(self) -> None:
        self._writer.transport.abort()

    def send(self, frame: Frame) -> None:
        self._writer.write(self.wire.send(frame))

    def drain(self, server: str = "", within_ms: int = 5000) -> None:
        self.send(Drain(server, "stopping", within_ms))

    def ack(self) -> None:
        self.send(Ack(self.wire.pushed, self.wire.pushed_bytes + self.gateway.window))

    def take(self, data: bytes) -> None:
        for frame in self.wire.receive(data):
            match frame:
                case Hello():
                    self._welcome(frame)
                case Push():
                    self._store(frame)
                case Ping(token=token):
                    if not self.gateway.faults.silent:
                        self.send(Pong(token))
                case Backlog():
                    self.gateway.backlogs.append(frame)
                case LiveState():
                    self.gateway.live.append(frame)
                case Goodbye():
                    self.gateway.goodbyes.append(frame)
                    self._writer.close()

    def _welcome(self, hello: Hello) -> None:
        der = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert str(UUID(bytes=agent_of(der))) == hello.agent_id
        self.gateway.hellos.append(hello)
        if not self.gateway.faults.silent:
            gateway = self.gateway
            granted = gateway.window, 1_048_576, gateway.policy, gateway.recipients, hello.time_ms
            self.send(Welcome(1, "fake", *granted, asks=gateway.asks))

    def _store(self, push: Push) -> None:
        faults = self.gateway.faults
        if faults.chance.random() < faults.drop_before_store:
            self.abort()
            return
        for index, envelope in enumerate(push.envelopes, push.first):
            if faults.refuse(envelope):
                self.send(Nack(index, NackCode.MALFORMED, "refused by order"))
            else:
                self.stored.append(envelope)
                self.gateway.received.append(envelope)
        if faults.chance.random() < faults.drop_before_ack:
            self.abort()
            return
        if faults.acks and self.wire.state in {State.OPEN, State.DRAINING}:
            self.ack()
        if faults.chance.random() < faults.drop_after_ack:
            self.abort()

    def tell_policy(self, policy: dict[str, Any]) -> None:
        self.send(Policy(policy, self.gateway.recipients))


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])
