"""What compose and Kubernetes tell a broker, given to the real Kafka, which formats its storage by it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.stack.artifacts import cache_dir, find_artifacts
from infra.stack.java import find_java
from schemas.errors import UnavailableError
from tests.deploy.tools import DEPLOY

VARIABLES = "KAFKA_"
OF_THE_IMAGE = {"KAFKA_HEAP_OPTS"}


def of_compose() -> dict[str, str]:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    return dict(services["kafka-1"]["environment"])


def of_kubernetes() -> dict[str, str]:
    """With what its command adds by the pod's name."""
    (workload,) = yaml.safe_load_all((DEPLOY / "kubernetes/base/kafka.yaml").read_text("utf-8"))
    container: dict[str, Any] = workload["spec"]["template"]["spec"]["containers"][0]
    told = {row["name"]: row["value"] for row in container["env"]}
    return {**told, "KAFKA_NODE_ID": "0", "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka-0.kafka:9092"}


def properties(environment: dict[str, str], place: Path) -> str:
    """As the image makes them: words in lower case, with dots."""
    rows = {
        name.removeprefix(VARIABLES).lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith(VARIABLES) and name not in OF_THE_IMAGE
    }
    return "".join(f"{name}={value}\n" for name, value in {**rows, "log.dirs": place / "log"}.items())


@pytest.mark.parametrize("environment", [of_compose(), of_kubernetes()], ids=["compose", "kubernetes"])
def test_kafka_takes_its_settings(environment: dict[str, str], tmp_path: Path) -> None:
    """Node, quorum, listeners and limits make a broker."""
    artifacts = find_artifacts(cache_dir())
    try:
        java = find_java()
    except UnavailableError as error:
        pytest.skip(str(error))
    if not artifacts.complete:
        pytest.skip("Kafka is not here: `sealstream up` brings it")
    place = tmp_path / "server.properties"
    place.write_text(properties(environment, tmp_path), "utf-8")
    launch = [java.program, "-Xmx128m", "-cp", artifacts.kafka / "libs" / "*", "kafka.tools.StorageTool"]
    formatted = subprocess.run(
        [*launch, "format", "--cluster-id", environment["CLUSTER_ID"], "--config", place],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert formatted.returncode == 0, formatted.stderr
    assert f"cluster.id={environment['CLUSTER_ID']}" in (tmp_path / "log/meta.properties").read_text("utf-8")
