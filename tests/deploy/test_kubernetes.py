"""The Kubernetes manifests: built by kustomize, valid by Kubernetes' own schemas, and closed but for what R5 allows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cluster import own_database, own_elasticsearch, own_redis
from infra.doctor.contradictions import find_contradictions
from infra.settings import load_settings
from tests.deploy.tools import DEPLOY, find_tool, run

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("base", "overlays/three-brokers")
KUSTOMIZE = "go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
WORKLOADS = ("StatefulSet", "Deployment")
OURS = ("gateway", "application", "worker", "sink-disk", "sink-postgresql", "sink-elasticsearch")


@cache
def written() -> list[dict[str, Any]]:
    """What stands in the base's files, and the application server that the overlay adds."""
    files = [path for path in sorted((KUBERNETES / "base").glob("*.yaml")) if path.name != "kustomization.yaml"]
    files.append(KUBERNETES / "overlays/three-brokers/applications.yaml")
    return [it for path in files for it in yaml.safe_load_all(path.read_text("utf-8"))]


def of_kind(resources: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, Any]]:
    return {it["metadata"]["name"]: it for it in resources if it["kind"] in kinds}


def containers(workload: dict[str, Any]) -> list[dict[str, Any]]:
    spec = workload["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def admits(selector: dict[str, Any], app: str) -> bool:
    """Whether a pod selector, of the two forms that we use, means pods of that app."""
    if "matchLabels" in selector:
        return bool(selector["matchLabels"]["app"] == app)
    return all(app in it["values"] for it in selector.get("matchExpressions", []))


def who_reaches(app: str, port: int) -> set[str]:
    """The apps that policies let in on a port; `*` for everybody."""
    policies, apps = of_kind(written(), "NetworkPolicy").values(), of_kind(written(), *WORKLOADS)
    reached: set[str] = set()
    for policy in policies:
        if not admits(policy["spec"]["podSelector"], app):
            continue
        for rule in policy["spec"].get("ingress", []):
            if any(it["port"] <= port <= it.get("endPort", it["port"]) for it in rule["ports"]):
                peers = [peer["podSelector"] for peer in rule.get("from", []) if "podSelector" in peer]
                others = [peer["namespaceSelector"] for peer in rule.get("from", []) if "namespaceSelector" in peer]
                reached |= {it for it in apps for peer in peers if admits(peer, it)}
                reached |= {f"namespace {it['matchLabels']['kubernetes.io/metadata.name']}" for it in others}
                reached |= {"*"} - {"*" for _ in rule.get("from", [])}
    return reached


def may_reach(app: str, other: str, port: int) -> bool:
    """Whether policies let that app out to another's port."""
    for policy in of_kind(written(), "NetworkPolicy").values():
        if admits(policy["spec"]["podSelector"], app):
            for rule in policy["spec"].get("egress", []):
                peers = [peer["podSelector"] for peer in rule["to"] if "podSelector" in peer]
                if any(admits(it, other) for it in peers) and any(it["port"] == port for it in rule["ports"]):
                    return True
    return False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_the_manifests(overlay: str, tmp_path: Path) -> None:
    """Built by kustomize, each resource is of its schema, without a name that the schema lacks."""
    kustomize = find_tool("kustomize", KUSTOMIZE)
    validate = find_tool("kubernetes-validate", "pip install kubernetes-validate")
    built = run(kustomize, "build", KUBERNETES / overlay)
    assert built.returncode == 0, built.stderr
    place = tmp_path / "built.yaml"
    place.write_text(built.stdout, "utf-8")
    ended = run(validate, "--strict", place)
    faults = [line for line in (ended.stdout + ended.stderr).splitlines() if not line.startswith("INFO")]
    assert (ended.returncode, faults) == (0, [])


def test_three_brokers_are_three_on_three_machines() -> None:
    """The overlay's promise: replication 3, two in sync, in the brokers and in our settings."""
    built = run(find_tool("kustomize", KUSTOMIZE), "build", KUBERNETES / "overlays/three-brokers")
    resources = list(yaml.safe_load_all(built.stdout))
    kafka, settings = of_kind(resources, "StatefulSet")["kafka"], of_kind(resources, "ConfigMap")["settings"]["data"]
    environment = {it["name"]: it.get("value") for it in containers(kafka)[0]["env"]}
    assert kafka["spec"]["replicas"] == 3
    assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == settings["SEALSTREAM_KAFKA__REPLICATION"] == "3"
    assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == settings["SEALSTREAM_KAFKA__MIN_INSYNC"] == "2"
    assert environment["KAFKA_MESSAGE_MAX_BYTES"]
    affinity = kafka["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"][0]["topologyKey"] == "kubernetes.io/hostname"


@pytest.mark.parametrize(
    ("app", "port", "allowed"),
    [
        ("gateway", 443, {"*"}),
        ("gateway", 10000, {"*"}),
        ("gateway", 10001, {"*"}),
        ("gateway", 42001, {"gateway", "worker", "application"}),
        ("application", 443, {"*", "gateway", "worker", "application"}),
        ("application", 10000, {"*"}),
        ("application", 10003, {"*"}),
        ("application", 42001, {"gateway", "worker", "application"}),
        ("worker", 443, {"gateway", "worker", "application"}),
        ("worker", 42001, {"gateway", "worker", "application"}),
        ("worker", 50051, {"gateway", "worker"}),
        *((app, port, {"namespace monitoring"}) for app in OURS for port in (9600, 9699)),
        ("redis", 6379, {"gateway", "application"}),
        ("elasticsearch", 9200, {"gateway", "worker", "sink-elasticsearch"}),
        ("elasticsearch", 9300, {"elasticsearch"}),
        ("kafka", 9093, {"kafka"}),
        ("kafka", 9092, {"kafka", *OURS}),
        ("postgresql", 5432, set(OURS)),
    ],
)
def test_node_ports_serve_those_alone_who_need_them(app: str, port: int, allowed: set[str]) -> None:
    """R5.1 and R2.9, by what a pod is; and who is let in by one side is let out by the other."""
    assert who_reaches(app, port) == allowed
    ours = {it for it in allowed if it != "*" and not it.startswith("namespace")}
    assert all(may_reach(other, app, port) for other in ours)


def test_everything_else_is_closed() -> None:
    """A policy that selects every pod and allows nothing, and gateways as the ways in from outside."""
    policies, services = of_kind(written(), "NetworkPolicy"), of_kind(written(), "Service")
    spec = policies["nothing-else"]["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    outside = [name for name, it in services.items() if it["spec"].get("type", "ClusterIP") != "ClusterIP"]
    assert outside == ["gateway", "application"]
    for name in outside:
        assert not {it["port"] for it in services[name]["spec"]["ports"]} & {42001, 50051, 6379, 9200, 5432, 9600}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_ours(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting, together they fit, and every place is one of the images' ports."""
    built = run(find_tool("kustomize", KUSTOMIZE), "build", KUBERNETES / overlay)
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    for name, value in of_kind(list(yaml.safe_load_all(built.stdout)), "ConfigMap")["settings"]["data"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert find_contradictions(settings) == []
    services = {it["metadata"]["name"]: it["spec"]["ports"][0]["port"] for it in written() if it["kind"] == "Service"}
    for place in (own_elasticsearch(settings), own_database(settings), own_redis(settings)):
        assert services[place.host] == place.port
    sound = [
        it["port"] for it in of_kind(written(), "Service")["gateway"]["spec"]["ports"] if it.get("protocol") == "UDP"
    ]
    assert (sound[0], sound[-1]) == (settings.live.audio_first_port, settings.live.audio_last_port)


def test_secrets_are_referred_to_alone() -> None:
    """No Secret among the resources, and no password as a value."""
    assert not of_kind(written(), "Secret")
    for workload in of_kind(written(), *WORKLOADS).values():
        for container in containers(workload):
            for row in container.get("env", []):
                assert "PASSWORD" not in row["name"] or str(row["value"]).startswith("/run/secrets/"), row["name"]


def test_keys_are_where_they_are_used() -> None:
    """The CA's key with the gateway alone, the KEK's passphrase with it and where mining is done."""
    for name, keys in {
        "ca.key": {"gateway"},
        "kek.passphrase": {"gateway", "worker"},
        "server.pem": {"gateway", "worker"},
    }.items():
        assert {app for app in OURS if name in given_to(app)} == keys


def given_to(app: str) -> set[str]:
    """The names of the site's files that a pod of that app sees."""
    spec = of_kind(written(), *WORKLOADS)[app]["spec"]["template"]["spec"]
    (secret,) = (it["secret"] for it in spec["volumes"] if it.get("secret", {}).get("secretName") == "site")
    everything = {"ca.key", "kek.passphrase", "server.pem"}
    return {it["key"] for it in secret["items"]} if "items" in secret else everything


def test_no_pod_has_more_than_it_needs() -> None:
    """Not root, no privileges, no token of the cluster, and probes that say how it does."""
    for name, workload in of_kind(written(), *WORKLOADS).items():
        spec = workload["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        for container in containers(workload):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        for container in spec["containers"]:
            assert {"readinessProbe", "livenessProbe", "resources"} <= set(container), name


def test_services_and_budgets_find_their_pods() -> None:
    """Every selector means a workload that there is."""
    apps = set(of_kind(written(), *WORKLOADS))
    for service in of_kind(written(), "Service").values():
        assert service["spec"]["selector"]["app"] in apps
    for budget in of_kind(written(), "PodDisruptionBudget").values():
        assert budget["spec"]["selector"]["matchLabels"]["app"] in apps
