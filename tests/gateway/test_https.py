"""The HTTPS port over real TLS: assignment, enrolment, health, metrics, schemas."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.budget import Budget
from gateway.enrol import make_token
from gateway.facts import Facts
from gateway.health import Health
from gateway.https import HttpsPort
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.policy import PolicyFiles
from infra.metrics import Metrics
from infra.pki import agent_of
from infra.settings import GatewaySettings, NodeSettings, Settings
from infra.tls import Profile, server_context
from schemas.enrolment import EnrolmentToken
from schemas.keys import Identity
from schemas.records import decode_record, schema_ids


@dataclass
class Site:
    """The HTTPS port and what stands behind it."""

    client: httpx.AsyncClient
    settings: Settings
    health: Health
    publisher: MemoryPublisher
    budget: Budget

    def secret(self, uses: int = 1) -> str:
        return EnrolmentToken.parse(make_token(self.settings, uses=uses, expires_s=60)).secret

    async def enrol(self, secret: str, csr: str | None = None) -> httpx.Response:
        body = {"secret": secret, "csr": make_csr() if csr is None else csr, "computer": "desk", "user": "ana"}
        return await self.client.post("/api/v1/enrol", json=body)


def make_csr() -> str:
    """A request of an agent."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
async def site(tmp_path: Path, pki: Path, identity: Identity) -> AsyncIterator[Site]:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "server.pub.pem").write_bytes(identity.recipient.to_pem())
    settings = Settings(
        node=NodeSettings(data_dir=tmp_path, advertise="monitor.example.org"),
        gateway=GatewaySettings(ca_file=pki / "ca.pem"),
    )
    publisher, metrics, budget = MemoryPublisher(), Metrics(TABLE), Budget(1 << 20, 1)
    health = Health(publisher, budget, tmp_path)
    await health.look()
    policy = PolicyFiles(settings.gateway.policy_file, settings.gateway.recipients_dir)
    facts = Facts(publisher, reporter="node-1/gateway", incarnation="1")
    port = HttpsPort(settings, health=health, policy=policy, facts=facts, metrics=metrics)
    listener = port.listen("127.0.0.1", 0)
    context = server_context(Profile.MODERN, pki / "gateway.pem", pki / "gateway.key", listener="https")
    serving = asyncio.create_task(port.serve(listener, context))
    trust = ssl.create_default_context(cafile=pki / "ca.pem")
    base = f"https://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=base, verify=trust) as client:
        yield Site(client, settings, health, publisher, budget)
    port.stop()
    await serving


async def test_assign_names_this_gateway(site: Site) -> None:
    """The advertised address and the agent port (R4.2)."""
    answer = await site.client.get("/api/v1/assign")
    assert answer.json() == {"server": "monitor.example.org:10000", "gateway": "node-1/gateway"}


async def test_nobody_is_sent_where_nothing_can_be_kept(site: Site) -> None:
    """Kafka away: health and assignment say so with 503, and the reason."""
    site.publisher.reason = "kafka does not answer"
    await site.health.look()
    for path in ("/healthz", "/api/v1/assign"):
        answer = await site.client.get(path)
        assert answer.status_code == 503
        assert "kafka does not answer" in answer.text
    site.publisher.reason = ""
    await site.health.look()
    assert (await site.client.get("/healthz")).json()["status"] == "ok"


async def test_a_short_disk_closes_the_budget(site: Site) -> None:
    """And opens it again when there is room."""
    site.health._min_free_bytes = 1 << 60
    await site.health.look()
    assert site.budget.full
    assert "MiB free" in (await site.client.get("/healthz")).text
    site.health._min_free_bytes = 1
    await site.health.look()
    assert not site.budget.full


async def test_enrolment(site: Site) -> None:
    """A token's secret and a CSR become an identity; the audit has it; the token is spent."""
    secret = site.secret()
    answer = await site.enrol(secret)
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 200, body
    certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
    assert agent_of(certificate.public_bytes(serialization.Encoding.DER)) == UUID(body["agent_id"]).bytes
    assert body["ca"] == (await site.client.get("/api/v1/ca")).text
    assert len(body["recipients"]) == 1
    assert body["policy"]["streams"]
    (entry,) = [decode_record(record.value, "audit_entry") for record in site.publisher.records]
    assert (entry["action"], entry["target"], entry["outcome"]) == ("enrol", body["agent_id"], "done")
    assert (await site.enrol(secret)).status_code == 403


async def test_a_bad_request_spends_nothing(site: Site) -> None:
    """A CSR that is none, or a body that is none, is told; the token is still good."""
    secret = site.secret()
    assert (await site.enrol(secret, csr="junk")).status_code == 400
    assert (await site.client.post("/api/v1/enrol", content=b"[]")).status_code == 400
    assert (await site.client.post("/api/v1/enrol", content=b"x" * 70_000)).status_code == 400
    assert (await site.enrol(secret)).status_code == 200


async def test_guessing_is_slowed_down(site: Site) -> None:
    """After ten failures that address has to wait."""
    codes = [(await site.enrol("guess")).status_code for _ in range(11)]
    assert codes == [403] * 10 + [429]


async def test_without_kafka_nobody_is_enrolled(site: Site) -> None:
    """What cannot be audited does not happen."""
    site.publisher.reason = "away"
    await site.health.look()
    assert (await site.enrol(site.secret())).status_code == 503


async def test_schemas_have_confluents_shape(site: Site) -> None:
    """Any client of a schema registry finds the schema of an id."""
    subjects = (await site.client.get("/subjects")).json()
    assert {"documents-value", "lifecycle-value", "document"} <= set(subjects)
    for schema_id in schema_ids():
        assert json.loads((await site.client.get(f"/schemas/ids/{schema_id}")).json()["schema"])["type"] == "record"
    for subject in subjects:
        versions = (await site.client.get(f"/subjects/{subject}/versions")).json()
        newest = (await site.client.get(f"/subjects/{subject}/versions/latest")).json()
        assert newest["version"] == versions[-1]
        assert newest == (await site.client.get(f"/subjects/{subject}/versions/{versions[-1]}")).json()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/subjects/nothing/versions", 40401), ("/subjects/nothing/versions/1", 40401),
        ("/subjects/document/versions/99", 40402), ("/subjects/document/versions/x", 40402),
        ("/schemas/ids/4711", 40403),
    ],
)  # fmt: skip
async def test_what_there_is_not(site: Site, path: str, code: int) -> None:
    """Confluent's error codes."""
    answer = await site.client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, code)


async def test_page_and_metrics(site: Site) -> None:
    """A person sees what this is; Prometheus sees every metric of the table."""
    assert "node-1/gateway" in (await site.client.get("/")).text
    text = (await site.client.get("/metrics")).text
    assert all(metric.name.removesuffix("_total") in text for metric in TABLE)
