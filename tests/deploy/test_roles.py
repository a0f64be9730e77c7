"""The deployment files and the table of roles: every process of every role is there, and its ports are opened.

Never asks what a container does: only whether it is started as a node would start that process.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml

from infra.cli import build_app, modules_for
from infra.health import PORTS
from infra.settings import Settings, load_settings
from infra.settings.nodes import NodeRole
from infra.stack.roles import STANDBY, Process, processes_of, stores_of
from tests.deploy.containers import DEPLOYED, Container
from tests.deploy.tools import DEPLOY

WORKERS = {"compose": 2, "kubernetes": 1, "systemd": 2}
"""Workers of a mining node there: `streams.workers`."""
AGENT_PORTS = {"compose": (10000, 10002, 10004), "kubernetes": (10000, 10002), "systemd": (10000, 10002)}
"""Even ports that agents use there."""
MINER_PORT = 50051
WAYS = tuple(WORKERS)


def whole(way: str) -> Settings:
    """The settings of one node that has every role, with as many processes as that way of deploying has."""
    return Settings.model_validate(
        {
            "node": {"roles": list(get_args(NodeRole))},
            "streams": {"workers": WORKERS[way]},
            "gateway": {"processes": len(AGENT_PORTS[way])},
        }
    )


def wanted_listens(processes: Sequence[Process]) -> set[tuple[str, int]]:
    """What the gateways of the table serve, and where."""
    gateways = [Container(it.name, it.arguments, it.environment) for it in processes if it.arguments[0] == "gateway"]
    return {listen for gateway in gateways for listen in gateway.listens}


def plain(arguments: Sequence[str]) -> tuple[str, ...]:
    """Without how it logs."""
    return tuple(it for it in arguments if it != "--json")


def faults(processes: Sequence[Process], deployed: Sequence[Container]) -> list[str]:
    """In words: what the table has and the deployment lacks, what it starts that the table does not have."""
    wanted = {it.arguments: it.name for it in processes if it.arguments[0] != "gateway"}
    started = [plain(it.arguments) for it in deployed if it.arguments[0] != "gateway"]
    served = {listen for it in deployed if it.arguments[0] == "gateway" for listen in it.listens}
    found = [f"nothing starts {name}" for arguments, name in wanted.items() if started.count(arguments) == 0]
    found += [f"{' '.join(it)} is no process of a role" for it in started if it not in wanted]
    found += [f"nobody serves {part} at {port}" for part, port in sorted(wanted_listens(processes) - served)]
    return found + [f"{part} at {port} is nobody's" for part, port in sorted(served - wanted_listens(processes))]


def closed(deployed: Sequence[Container]) -> list[str]:
    """Ports that a process listens on and its container does not open; metrics of each process among them."""
    found = []
    for it in deployed:
        ports = {port for _, port in it.listens} if it.arguments[0] == "gateway" else set()
        ports |= {MINER_PORT} if it.arguments[0] == "miner" else set()
        found += [f"{it.place}: {port} is closed" for port in sorted(ports - it.opened)]
        first = int(it.environment.get("SEALSTREAM_METRICS__FIRST_PORT", "0"))
        afar = it.environment.get("SEALSTREAM_METRICS__HOST") == "0.0.0.0" and first
        beside = sum(1 for other in deployed if other.opened == it.opened and other.pod == it.pod)
        needed = set(range(first, first + min(PORTS, beside)))
        found += [] if afar and needed <= it.opened else [f"{it.place}: its metrics are closed"]
    return found


@pytest.mark.parametrize("way", WAYS)
def test_every_process_of_every_role_is_started(way: str) -> None:
    """And nothing that the table does not have; agents have as many ports as it gives so many processes."""
    assert faults(processes_of(whole(way)), DEPLOYED[way]()) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_process_that_is_missing_is_told(way: str) -> None:
    """The comparison sees one that is taken away, one that is too much, and a gateway without its console."""
    processes, deployed = processes_of(whole(way)), DEPLOYED[way]()
    without = [it for it in deployed if it.arguments[0] != "miner"]
    assert faults(processes, without) == ["nothing starts miner"]
    more = [*deployed, Container("x", ("sinks", "run", "tape"))]
    assert faults(processes, more) == ["sinks run tape is no process of a role"]
    agents = {**PARTS_OF_AGENTS, "SEALSTREAM_GATEWAY__AGENT_PORT": "10900"}
    assert faults(processes, [*deployed, Container("x", ("gateway", "run"), agents)]) == [
        "agents at 10900 is nobody's",
        "agents at 10901 is nobody's",
    ]
    fronts = [it for it in deployed if ("console", 443) not in it.listens]
    assert "nobody serves console at 443" in faults(processes, fronts)


PARTS_OF_AGENTS = {"SEALSTREAM_GATEWAY__PARTS": '["agents"]'}


@pytest.mark.parametrize("way", ["compose", "kubernetes"])
def test_every_port_that_is_listened_on_is_opened(way: str) -> None:
    """Those of agents, people, nodes and miners, and of every process's metrics."""
    deployed = DEPLOYED[way]()
    assert closed(deployed) == []
    shut = [Container(it.place, it.arguments, it.environment, it.health) for it in deployed]
    assert len(closed(shut)) > 2 * len(shut)


@pytest.mark.parametrize("way", ["compose", "kubernetes"])
def test_health_checks_ask_the_process_itself(way: str) -> None:
    """By the name under which it notes itself."""
    for it in DEPLOYED[way]():
        names = {
            "gateway": it.environment.get("SEALSTREAM_GATEWAY__NAME", "gateway"),
            "streams": f"streams-{it.arguments[-1]}",
            "miner": "miner",
            "sinks": f"sink-{plain(it.arguments)[-1]}",
        }
        assert it.health == names[it.arguments[0]], it.place


@pytest.mark.parametrize("way", WAYS)
def test_commands_are_ours(way: str) -> None:
    """The command line takes what each container is started with."""
    for it in DEPLOYED[way]():
        with parsed(list(it.arguments)) as context:
            assert context.command.name == "run", it.place


def parsed(arguments: list[str]) -> Any:
    """What the command would be called with; raises where there is none, or it takes something else."""
    command: Any = typer.main.get_command(build_app(modules_for(arguments)))
    while hasattr(command, "get_command"):
        name, *arguments = arguments
        command = command.get_command(None, name)
    return command.make_context(command.name, arguments)


@pytest.mark.parametrize("way", ["compose", "kubernetes"])
def test_environments_are_settings(way: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each container's variables are settings that fit together, and a miner's certificate is one that is made."""
    for it in DEPLOYED[way]():
        with monkeypatch.context() as patch:
            patch.setenv("SEALSTREAM_DATA", str(site / "mining"))
            for name, value in it.environment.items():
                patch.setenv(name, value.replace("$(SEALSTREAM_NODE__ID)", "worker-0") or "worker-0")
            patch.setenv("SEALSTREAM_CONFIG", str(site / "sealstream.toml"))
            settings = load_settings()
            assert settings.live_port == settings.gateway.agent_port + 1
            if it.arguments[0] == "miner":
                assert settings.miner.host == "0.0.0.0"
                assert (site / "mining/pki" / settings.miner.cert_file.name).exists()
                names = certificate_names(site / "mining/pki" / settings.miner.cert_file.name)
                assert settings.node.address in names or f"*.{settings.node.address.partition('.')[2]}" in names


def certificate_names(path: Path) -> set[str]:
    told = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-ext", "subjectAltName"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"DNS:([^,\s]+)", told.stdout))


def test_every_store_of_every_role_is_there() -> None:
    """But for a standby, which an organisation has beside these: docs/ha.md."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    workloads = {it.name.removesuffix(".yaml") for it in (DEPLOY / "kubernetes/base").iterdir()}
    for store in stores_of(whole("compose")) - {STANDBY}:
        assert any(name.partition("-")[0] == store for name in services), store
        assert store in workloads, store
