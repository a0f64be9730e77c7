"""The HTTPS port over real TLS: assignment, enrolment, health, metrics, schemas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.metrics import TABLE
from infra.pki import agent_of
from schemas.keys import Identity
from schemas.records import decode_record, schema_ids
from tests.gateway.site import Site, open_site


@pytest.fixture
async def site(tmp_path: Path, pki: Path, identity: Identity) -> AsyncIterator[Site]:
    """An HTTPS port with ordinary limits."""
    async with open_site(tmp_path, pki, identity) as opened:
        yield opened


async def test_assign_names_this_gateway(site: Site) -> None:
    """The advertised address and the agent port (R4.2)."""
    answer = await site.client.get("/api/v1/assign")
    wanted = {"server": "monitor.example.org:10000", "gateway": "node-1/gateway", "trust": 1, "alternatives": []}
    assert answer.json() == wanted


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


async def test_metrics(site: Site) -> None:
    """Prometheus sees every metric of the table."""
    text = (await site.client.get("/metrics")).text
    assert all(metric.name.removesuffix("_total") in text for metric in TABLE)


async def test_metrics_are_for_approved_addresses(site: Site) -> None:
    """Another address gets 403 and no figure, and cannot talk its way in by a header; it is served all else."""
    transport = httpx.AsyncHTTPTransport(verify=site.trust, local_address="127.0.0.2")
    async with httpx.AsyncClient(base_url=site.client.base_url, transport=transport) as stranger:
        forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1"}
        answer = await stranger.get("/metrics", headers=forged)
        assert (answer.status_code, "gateway_connections" in answer.text) == (403, False)
        assert "127.0.0.2" in answer.text
        assert (await stranger.get("/healthz")).status_code == 200
    assert site.metrics.counter("gateway_metrics_refused_total")._value.get() == 1
