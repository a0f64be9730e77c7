"""Which stores and processes a node runs, by its roles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.settings import GatewaySettings, NodeSettings, Settings
from infra.stack.roles import agent_ports, is_whole, processes_of, stores_of
from schemas.errors import ConfigError


def settings(tmp_path: Path, *roles: str, external: tuple[str, ...] = (), **gateway: int) -> Settings:
    node = {"data_dir": tmp_path, "external": list(external), **({"roles": list(roles)} if roles else {})}
    return Settings(node=NodeSettings(**node), gateway=GatewaySettings(**gateway))


def names(made: Settings) -> list[str]:
    return [process.name for process in processes_of(made)]


def parts(made: Settings) -> dict[str, list[str]]:
    environments = {process.name: process.environment for process in processes_of(made)}
    return {
        name: json.loads(environment["SEALSTREAM_GATEWAY__PARTS"])
        for name, environment in environments.items()
        if "SEALSTREAM_GATEWAY__PARTS" in environment
    }


def test_one_node_does_everything_in_one_gateway_process(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert is_whole(made)
    assert stores_of(made) == {"kafka", "redis", "postgresql", "elasticsearch"}
    assert parts(made) == {"gateway": ["agents", "https", "console", "mirror"]}
    assert {"streams-1", "sinks-disk", "sinks-postgresql", "sinks-elasticsearch"} <= set(names(made))


def test_a_master_serves_the_console_and_no_agents(tmp_path: Path) -> None:
    made = settings(tmp_path, "master")
    assert not is_whole(made)
    assert stores_of(made) == {"kafka", "redis"}
    assert parts(made) == {"front": ["https", "console", "mirror"]}
    assert "sinks-disk" in names(made)


def test_an_application_server_has_a_process_for_each_even_port_with_the_odd_one_beside_it(tmp_path: Path) -> None:
    made = settings(tmp_path, "app", processes=3)
    assert stores_of(made) == set()
    assert parts(made) == {
        "front": ["https", "mirror"],
        "gateway-10000": ["agents"],
        "gateway-10002": ["agents"],
        "gateway-10004": ["agents"],
    }
    last = processes_of(made)[-1]
    assert last.environment["SEALSTREAM_GATEWAY__AGENT_PORT"] == "10004"
    assert last.environment["SEALSTREAM_LIVE__PORT"] == "10005"


@pytest.mark.parametrize("roles", [("miner",), ("db",), ("mining-db",), ("bi",), ("db", "bi")])
def test_every_node_serves_the_mirror_and_only_masters_the_console(tmp_path: Path, roles: tuple[str, ...]) -> None:
    served = [part for each in parts(settings(tmp_path, *roles)).values() for part in each]
    assert served.count("mirror") == 1
    assert "console" not in served
    assert ("https" in served) is ("miner" in roles)


def test_a_bi_node_keeps_a_standby_unless_the_primary_is_there_or_with_somebody_else(tmp_path: Path) -> None:
    assert stores_of(settings(tmp_path, "bi")) == {"postgresql-standby"}
    assert stores_of(settings(tmp_path, "db", "bi")) == {"postgresql"}
    assert stores_of(settings(tmp_path, "bi", external=("postgresql",))) == set()


def test_stores_of_others_are_not_started_and_nothing_here_waits_for_them_as_its_own(tmp_path: Path) -> None:
    made = settings(tmp_path, "master", "db", external=("kafka", "redis"))
    assert stores_of(made) == {"postgresql"}
    sinks = {process.name: process for process in processes_of(made) if process.name.startswith("sinks-")}
    assert set(sinks) == {"sinks-disk", "sinks-postgresql"}
    assert all(process.after == {"postgresql"} for process in sinks.values())
    assert all("kafka" in process.needs for process in sinks.values())


def test_agent_ports_stay_even_and_within_their_range() -> None:
    assert agent_ports(10000, 2) == [10000, 10002]
    assert len(agent_ports(10000, 500)) == 500
    for first, count in ((10001, 1), (10000, 501), (10998, 2)):
        with pytest.raises(ConfigError, match="even"):
            agent_ports(first, count)
