"""The HTTPS port in this process, over real TLS, with the publisher in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.budget import Budget
from gateway.enrol import make_token
from gateway.facts import Facts
from gateway.health import Health
from gateway.https import HttpsPort, listen
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.policy import PolicyFiles
from infra.approved import Approval
from infra.metrics import Metrics
from infra.settings import GatewaySettings, NodeSettings, Settings
from infra.tls import Profile, server_context
from schemas.enrolment import EnrolmentToken
from schemas.keys import Identity
from tests.gateway.standing import make_assigner


@dataclass
class Site:
    """The HTTPS port and what stands behind it."""

    client: httpx.AsyncClient
    settings: Settings
    health: Health
    publisher: MemoryPublisher
    budget: Budget
    metrics: Metrics
    number: int
    trust: ssl.SSLContext

    def secret(self, uses: int = 1) -> str:
        return EnrolmentToken.parse(make_token(self.settings, uses=uses, expires_s=60)).secret

    async def enrol(self, secret: str, csr: str | None = None) -> httpx.Response:
        body = {"secret": secret, "csr": make_csr() if csr is None else csr, "computer": "desk", "user": "ana"}
        return await self.client.post("/api/v1/enrol", json=body)

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection after its handshake, from an address of the loopback network."""
        return await asyncio.open_connection(
            "127.0.0.1", self.number, ssl=self.trust, server_hostname="127.0.0.1", local_addr=(source, 0)
        )

    def ended(self, reason: str) -> float:
        return float(self.metrics.counter("gateway_https_ended_total").labels(reason)._value.get())


def make_csr() -> str:
    """A request of an agent."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@asynccontextmanager
async def open_site(directory: Path, pki: Path, identity: Identity, **limits: Any) -> AsyncIterator[Site]:
    """An HTTPS port that serves while the context lasts."""
    (directory / "keys").mkdir()
    (directory / "keys" / "server.pub.pem").write_bytes(identity.recipient.to_pem())
    settings = Settings(
        node=NodeSettings(data_dir=directory, advertise="monitor.example.org"),
        gateway=GatewaySettings(ca_file=pki / "ca.pem"),
    )
    publisher, metrics, budget = MemoryPublisher(), Metrics(TABLE), Budget(1 << 20, 1)
    health = Health(publisher, budget, directory)
    await health.look()
    policy = PolicyFiles(settings.gateway.policy_file, settings.gateway.recipients_dir)
    facts = Facts(publisher, reporter="node-1/gateway", incarnation="1")
    port = HttpsPort(
        settings,
        health=health,
        policy=policy,
        facts=facts,
        metrics=metrics,
        approved=Approval.parse(settings.node.approved, "node.approved"),
        assigner=make_assigner(settings, health, metrics),
        **limits,
    )
    listener = listen("127.0.0.1", 0)
    number = listener.getsockname()[1]
    context = server_context(Profile.MODERN, pki / "gateway.pem", pki / "gateway.key", listener="https")
    serving = asyncio.create_task(port.serve(listener, context))
    trust = ssl.create_default_context(cafile=pki / "ca.pem")
    async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{number}", verify=trust) as client:
        yield Site(client, settings, health, publisher, budget, metrics, number, trust)
    port.stop()
    await serving
