"""A gateway's agent port in this process, over real TLS, with the publisher in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from gateway.agents import AgentLimits, AgentPort
from gateway.facts import Facts
from gateway.gate import Refusal
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.policy import Told
from infra.metrics import Metrics
from infra.pki import Issued, issue, make_ca
from infra.tls import Profile, server_context
from schemas.keys import Identity
from schemas.records import Record, decode_record
from tests.gateway.endpoint import Credentials, Endpoint


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop, so its tests do."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA and a server certificate."""
    directory = tmp_path_factory.mktemp("pki")
    make_ca(directory)
    issue(directory, "gateway", server=True, hosts=["127.0.0.1", "localhost"])
    return directory


@pytest.fixture(scope="session")
def identity() -> Identity:
    """A KEK of the server; 2048 bits, since it is made for each session."""
    return Identity.generate(2048)


@pytest.fixture(scope="session")
def enrol(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Credentials]:
    """Makes agents that are enrolled."""
    directory = tmp_path_factory.mktemp("agents")
    return lambda: Credentials.make(directory, pki / "ca.pem")


@pytest.fixture
def ana(enrol: Callable[[], Credentials]) -> Credentials:
    """An agent."""
    return enrol()


@dataclass
class Stage:
    """The agent port and what stands behind it."""

    port: AgentPort
    publisher: MemoryPublisher
    metrics: Metrics
    number: int
    told: list[Told]

    async def greet(self, credentials: Credentials) -> Endpoint:
        return await Endpoint.greet(credentials, self.number)

    async def connect(self, credentials: Credentials) -> Endpoint:
        return await Endpoint.connect(credentials, self.number)

    def stored(self, topic: str) -> list[bytes]:
        return [record.value for record in self.publisher.records if record.topic == topic]

    def lifecycle(self) -> list[Record]:
        return [decode_record(value, "lifecycle_event") for value in self.stored("lifecycle")]

    def audit(self) -> list[Record]:
        return [decode_record(value, "audit_entry") for value in self.stored("audit")]

    def count(self, name: str, *labels: str) -> float:
        counter = self.metrics.counter(name)
        child = counter.labels(*labels) if labels else counter
        return float(child._value.get())


@asynccontextmanager
async def open_stage(
    pki: Path,
    *,
    limits: AgentLimits | None = None,
    budget: int = 64 << 20,
    revoked: frozenset[str] = frozenset(),
    profile: Profile = Profile.MODERN,
) -> AsyncIterator[Stage]:
    """An agent port that listens while the context lasts."""
    publisher, metrics = MemoryPublisher(), Metrics(TABLE)
    told = [Told({"version": 1, "streams": ["screen"]}, [])]
    port = AgentPort(
        publisher,
        Facts(publisher, reporter="test/gateway", incarnation="1"),
        metrics,
        lambda: told[-1],
        budget_bytes=budget,
        limits=limits,
        refuses=lambda peer: Refusal("revoked") if peer.agent_id in revoked else None,
    )
    server = Issued(pki / "gateway.pem", pki / "gateway.key")
    context = server_context(profile, server.cert, server.key, pki / "ca.pem", listener="agent")
    number = port.listen("127.0.0.1", 0, context)
    try:
        yield Stage(port, publisher, metrics, number, told)
    finally:
        publisher.holding = False
        publisher.release()
        await port.drain()


@pytest.fixture
async def stage(pki: Path) -> AsyncIterator[Stage]:
    """An agent port with ordinary limits."""
    async with open_stage(pki) as opened:
        yield opened
