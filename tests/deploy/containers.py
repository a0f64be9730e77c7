"""What the deployment files start of ours: containers of compose and Kubernetes, units of systemd.

Never interprets more of a file than which command runs, with which environment, and which ports are opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from tests.deploy.tools import DEPLOY

PARTS = '["agents", "https", "console", "mirror"]'
INSTANCES = {
    "sealstream-worker@.service": ("1", "2"),
    "sealstream-sink@.service": ("disk", "postgresql", "elasticsearch"),
    "sealstream-application@.service": ("10002",),
}


@dataclass(frozen=True, slots=True)
class Container:
    """One process of ours. `health`: whom its health check asks; `opened`: the ports of its pod or service."""

    place: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    health: str = ""
    opened: frozenset[int] = frozenset()

    @property
    def pod(self) -> str:
        """What shares a network with it."""
        return self.place.partition("/")[0]

    @property
    def listens(self) -> set[tuple[str, int]]:
        """What of a gateway is served here, and at which port."""
        agents = int(self.environment.get("SEALSTREAM_GATEWAY__AGENT_PORT", "10000"))
        live = int(self.environment.get("SEALSTREAM_LIVE__PORT", str(agents + 1)))
        ports = {"agents": (agents, live), "https": (443,), "console": (443,), "mirror": (42001,)}
        parts = json.loads(self.environment.get("SEALSTREAM_GATEWAY__PARTS", PARTS))
        return {(part, port) for part in parts for port in ports[part]}


def of_compose() -> list[Container]:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    found = []
    for name, service in services.items():
        if str(service["image"]).startswith("sealstream:") and "command" in service:
            owner = services[service.get("network_mode", f"service:{name}").removeprefix("service:")]
            ports = [*owner.get("ports", ()), *owner.get("expose", ())]
            opened = {port for text in ports for port in numbers(str(text).partition("/")[0].rpartition(":")[2])}
            check = service["healthcheck"]["test"]
            environment = {key: str(value) for key, value in service["environment"].items()}
            found.append(Container(name, tuple(service["command"]), environment, check[-1], frozenset(opened)))
    return found


def of_kubernetes() -> list[Container]:
    folders = (DEPLOY / "kubernetes/base", DEPLOY / "kubernetes/overlays/three-brokers")
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml")) if path.name != "kustomization.yaml"]
    resources = [it for path in files for it in yaml.safe_load_all(path.read_text("utf-8"))]
    (settings,) = (
        it["data"] for it in resources if it["kind"] == "ConfigMap" and "SEALSTREAM_GATEWAY__HOST" in it["data"]
    )
    found = []
    for workload in (it for it in resources if it["kind"] in ("StatefulSet", "Deployment")):
        containers = workload["spec"]["template"]["spec"]["containers"]
        opened = {port["containerPort"] for one in containers for port in one.get("ports", ())}
        for container in (it for it in containers if it.get("image") == "sealstream"):
            own = {row["name"]: str(row.get("value", "")) for row in container["env"]}
            asked = container["startupProbe"]["exec"]["command"][-1]
            place = f"{workload['metadata']['name']}/{container['name']}"
            found.append(Container(place, tuple(container["args"]), {**settings, **own}, asked, frozenset(opened)))
    return found


def of_systemd() -> list[Container]:
    """The units for single processes, each template as often as a node wants it."""
    found = []
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        text = path.read_text("utf-8")
        (command,) = re.findall(r"^ExecStart=\S+/sealstream (.*)$", text, re.MULTILINE)
        if path.name == "sealstream-node.service":
            continue
        for instance in INSTANCES.get(path.name, ("",)):
            own = dict(re.findall(r"(SEALSTREAM_[A-Z_]+)=((?:\[[^\]]*\]|[^\s'])+)", text))
            environment = {name: value.replace("%i", instance) for name, value in own.items()}
            arguments = tuple(command.replace("%i", instance).split())
            found.append(Container(f"{path.name} {instance}", arguments, environment))
    return found


DEPLOYED = {"compose": of_compose, "kubernetes": of_kubernetes, "systemd": of_systemd}


def numbers(text: str) -> range:
    """A port, or two with a dash between."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
