"""Foreign programs on the stack's ports: what the README promises to people who have none of our software."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.records import schema_source
from schemas.topics import TOPICS
from tests.live.operator import EnrolledAgent, mirror_lines, psql, sealstream, until

pytestmark = pytest.mark.live


def run(command: Sequence[str], *, stdin: str = "", timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """A foreign program's exit code and output."""
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, errors="replace"
    )


@pytest.fixture(scope="module")
def agent(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> EnrolledAgent:
    """An agent that is enrolled and has recorded one session."""
    enrolled = EnrolledAgent.enrol(stack, tmp_path_factory.mktemp("foreign") / "agent")
    record = ("agent", "record", "--dir", str(enrolled.directory), "--", "echo", "a foreign heron")
    sealstream(stack, *record)
    return enrolled


def curl(settings: Settings, path: str) -> tuple[int, str]:
    """Status and body of a request that trusts the product's CA alone."""
    gateway = settings.gateway
    url = f"https://{gateway.host}:{gateway.https_port}{path}"
    done = run(["curl", "-sS", "--cacert", str(gateway.ca_file), "-w", "\n%{http_code}", url])
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_kcat_lists_the_topics(stack: Settings) -> None:
    """Every topic of the table is there, under its own name."""
    done = run(["kcat", "-b", stack.kafka.bootstrap, "-L", "-J"])
    assert done.returncode == 0, done.stderr
    names = {topic["topic"] for topic in json.loads(done.stdout)["topics"]}
    assert {stack.kafka.topic_prefix + name for name in TOPICS} <= names


def test_kcat_reads_envelopes_by_agent(stack: Settings, agent: EnrolledAgent) -> None:
    """A record's key is the agent's id, its value an envelope, its headers say whose it is; no word is readable."""
    topic = f"{stack.kafka.topic_prefix}envelopes.keystrokes"
    command = ["kcat", "-b", stack.kafka.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f"]
    until("the recorded session", lambda: agent.agent_id in run([*command, "%k\n"]).stdout)
    lines = [line for line in run([*command, "%k %S %h\n"]).stdout.splitlines() if line.startswith(agent.agent_id)]
    assert lines
    assert all("content-type=application/vnd.sealstream.envelope.v1" in line for line in lines)
    assert all("user=" in line and "computer=" in line and "received-ms=" in line for line in lines)
    values = subprocess.run([*command, "%s"], capture_output=True, check=True, timeout=30).stdout
    assert values.startswith(b"SEAL")
    assert b"foreign heron" not in values


def test_curl_gets_health_and_metrics(stack: Settings) -> None:
    """`/healthz` says ok, and `/metrics` is in Prometheus's format."""
    status, body = curl(stack, "/healthz")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    status, body = curl(stack, "/metrics")
    assert status == 200
    assert "# TYPE gateway_envelopes_total counter" in body


def test_curl_is_told_which_server_to_use(stack: Settings) -> None:
    """`/api/v1/assign` names the agent port (R4.2)."""
    status, body = curl(stack, "/api/v1/assign")
    assert status == 200
    assert json.loads(body)["server"] == f"{stack.node.advertise}:{stack.gateway.agent_port}"


def test_curl_refuses_what_the_ca_did_not_sign(stack: Settings) -> None:
    """Without the product's CA nobody believes the gateway."""
    done = run(["curl", "-sS", f"https://{stack.gateway.host}:{stack.gateway.https_port}/healthz"])
    assert done.returncode == 60, done.stderr


def test_curl_reads_schemas(stack: Settings) -> None:
    """The registry's routes answer as Confluent's do, so that its clients can decode our topics."""
    subjects = json.loads(curl(stack, "/subjects")[1])
    assert {"document", "documents-value", "lifecycle-value", "screen_segment"} <= set(subjects)
    for subject in subjects:
        latest = json.loads(curl(stack, f"/subjects/{subject}/versions/latest")[1])
        assert latest["subject"] == subject
        by_id = json.loads(curl(stack, f"/schemas/ids/{latest['id']}")[1])
        assert json.loads(by_id["schema"]) == json.loads(latest["schema"]) == json.loads(schema_source(latest["id"]))
    assert curl(stack, "/subjects/nothing/versions/latest")[0] == 404


def s_client(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    """A handshake with the agent port by OpenSSL's own client."""
    gateway = settings.gateway
    where = f"{gateway.host}:{gateway.agent_port}"
    return run(["openssl", "s_client", "-connect", where, "-CAfile", str(gateway.ca_file), "-brief", *options])


def test_openssl_gets_the_profile_and_nothing_else(stack: Settings, agent: EnrolledAgent) -> None:
    """TLS 1.3 and forward-secret 1.2 with the agent's certificate; no older version, no other suite (R3.5)."""
    files = ["-cert", str(agent.directory / "cert.pem"), "-key", str(agent.directory / "key.pem")]
    accepted = {
        ("-tls1_3",): "TLSv1.3",
        ("-tls1_2",): "TLSv1.2",
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"): "TLSv1.2",
        ("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"): "TLSv1.2",
    }
    for options, version in accepted.items():
        told = s_client(stack, *files, *options)
        assert f"Protocol version: {version}" in told.stderr, (options, told.stderr)
        assert "Verification: OK" in told.stderr
    refused: tuple[tuple[str, ...], ...] = (
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES256-GCM-SHA384"),
        ("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384"),
        ("-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"),
    )
    for options in refused:
        told = s_client(stack, *files, *options)
        assert "Protocol version" not in told.stderr, options
        assert told.returncode != 0, options


def test_openssl_without_a_certificate_is_sent_away(stack: Settings) -> None:
    """Who is not enrolled gets no connection."""
    for version in ("-tls1_2", "-tls1_3"):
        told = s_client(stack, version, "-ign_eof")
        assert told.returncode != 0, told.stderr


def test_psql_reads_what_is_known(stack: Settings, agent: EnrolledAgent) -> None:
    """Tables and views in PostgreSQL hold agents, envelopes and nodes, for whoever may ask in SQL."""
    known = f"select count(*) from envelope where agent_id = '{agent.agent_id}'"
    until("the session's envelopes in PostgreSQL", lambda: int(psql(stack, known)[0][0]))
    assert psql(stack, f"select agent_id from agent where agent_id = '{agent.agent_id}'") == [[agent.agent_id]]
    roles = {row[0] for row in psql(stack, "select role from node_state where state = 'ready'")}
    assert {"gateway", "sink-disk", "sink-postgresql", "sink-elasticsearch"} <= roles


def test_nc_reads_the_mirror_from_an_approved_address_alone(stack: Settings) -> None:
    """Port 42001 tells its state and then events to approved nodes; to another address not one byte (R5.1)."""
    lines = mirror_lines(stack, "")
    assert lines[0]["line"] == "mirror"
    roles = {line["role"] for line in lines if line["line"] == "node" and line["state"] == "ready"}
    assert {"gateway", "sink-disk"} <= roles
    events = mirror_lines(stack, "from start")
    assert [line["offset"] for line in events if line["line"] == "event"][:2] == [0, 1]
    later = mirror_lines(stack, "from 3")
    assert next(line for line in later if line["line"] == "event")["offset"] == 3
    assert mirror_lines(stack, "from start", "-s", "127.0.0.2", for_s=2) == []


def test_a_foreign_archive_reader_finds_envelopes(stack: Settings, agent: EnrolledAgent) -> None:
    """Archive files are Avro object containers: any Avro library reads them, and finds envelopes as they came."""
    import fastavro

    def agents() -> set[bytes]:
        found: set[bytes] = set()
        for path in Path(stack.archive.dir).rglob("*.avro*"):
            with path.open("rb") as file:
                found |= {row["agent_id"] for row in fastavro.reader(file) if "record" in row}
        return found

    agent_id = bytes.fromhex(agent.agent_id.replace("-", ""))
    until("the session in the archive", lambda: agent_id in agents())
