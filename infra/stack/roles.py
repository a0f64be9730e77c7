"""What a node runs, by its roles: which stores, and which processes of ours (R1.1 to R1.3).

Never starts anything, and never decides by what happens to be there: the settings alone say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.failover import own_etcd
from infra.settings import Settings
from schemas.errors import ConfigError

KAFKA, REDIS, POSTGRESQL, STANDBY, ELASTICSEARCH = "kafka", "redis", "postgresql", "postgresql-standby", "elasticsearch"
ETCD = "etcd"
SENTINEL = "redis-sentinel"

STORES_OF_ROLE: Mapping[str, tuple[str, ...]] = {
    "master": (KAFKA, REDIS),
    "db": (POSTGRESQL,),
    "mining-db": (ELASTICSEARCH,),
    "bi": (STANDBY,),
}
LAST_AGENT_PORT = 10998
"""The last even port that has an odd one beside it within 10000-11000 (R2.2)."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of ours: its name, the command's arguments, what its environment adds, and what it needs here."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: frozenset[str] = frozenset()
    address: str = ""
    needs: frozenset[str] = frozenset()
    """Stores without which it cannot do anything, wherever they are."""


def stores_of(settings: Settings) -> frozenset[str]:
    """Stores that run on this node."""
    roles = set(settings.node.roles)
    stores = {store for role in roles for store in STORES_OF_ROLE.get(role, ())}
    if POSTGRESQL in stores or "postgresql" in settings.node.external:
        stores.discard(STANDBY)
    if own_etcd(settings) is not None:
        stores.add(ETCD)
    stores -= set(settings.node.external)
    return frozenset(stores | ({SENTINEL} if REDIS in stores and settings.redis.sentinels else set()))


def processes_of(settings: Settings) -> list[Process]:
    """Processes of ours that run on this node, each with what it waits for among the node's own stores."""
    roles, here = set(settings.node.roles), stores_of(settings)
    needs_kafka, needs_both = here & {KAFKA}, here & {KAFKA, POSTGRESQL}
    processes = [*_gateways(settings, here & {KAFKA, POSTGRESQL})]
    if "miner" in roles:
        processes += [
            Process(
                f"streams-{number}",
                ("streams", "run", "--worker", str(number)),
                after=needs_kafka,
                needs=frozenset({KAFKA}),
            )
            for number in range(1, settings.streams.workers + 1)
        ]
        address = f"{settings.miner.host}:{settings.miner.port}"
        processes.append(
            Process("miner", ("miner", "run"), after=needs_kafka, needs=frozenset({KAFKA}), address=address)
        )
    sinks = {"master": "disk", "db": "postgresql", "mining-db": "elasticsearch"}
    processes += [
        Process(
            f"sinks-{sink}",
            ("sinks", "run", sink),
            after=needs_both | (here & {sink}),
            needs=frozenset({KAFKA, POSTGRESQL}),
        )
        for role, sink in sinks.items()
        if role in roles
    ]
    return processes


def is_whole(settings: Settings) -> bool:
    """Whether this node needs no other: it has every role that the product's work needs."""
    return {"master", "app", "miner", "mining-db", "db"} <= set(settings.node.roles)


def _gateways(settings: Settings, needs: frozenset[str]) -> list[Process]:
    """One process with everything where that is enough; else one for each agent port, and one for the rest."""
    roles, gateway = set(settings.node.roles), settings.gateway
    front = ["https", "mirror"] if roles & {"master", "app", "miner"} else ["mirror"]
    if "master" in roles:
        front.insert(1, "console")
    if {"master", "app"} <= roles and gateway.processes == 1:
        return [_gateway(settings, "gateway", ["agents", *front], gateway.agent_port, needs)]
    processes = [_gateway(settings, "front" if "https" in front else "mirror", front, gateway.agent_port, needs)]
    if "app" in roles:
        processes += [
            _gateway(settings, f"gateway-{port}", ["agents"], port, needs)
            for port in agent_ports(gateway.agent_port, gateway.processes)
        ]
    return processes


def agent_ports(first: int, count: int) -> list[int]:
    """The agent ports of an application server: even ones from `first` on; raises `ConfigError`."""
    last = first + 2 * (count - 1)
    if first % 2 or (count > 1 and last > LAST_AGENT_PORT):
        raise ConfigError(
            f"gateway.agent_port {first} with {count} processes: the port must be even, and the last, {last}, "
            f"not above {LAST_AGENT_PORT}, since live viewing has the odd port beside each"
        )
    return [first + 2 * number for number in range(count)]


def _gateway(settings: Settings, name: str, parts: list[str], port: int, needs: frozenset[str]) -> Process:
    gateway = settings.gateway
    live = settings.live_port if port == gateway.agent_port else port + 1
    ports = {"agents": f"{port}, {live}", "https": str(gateway.https_port), "mirror": str(gateway.mirror_port)}
    environment = {
        "SEALSTREAM_GATEWAY__NAME": name,
        "SEALSTREAM_GATEWAY__PARTS": json.dumps(parts),
        "SEALSTREAM_GATEWAY__AGENT_PORT": str(port),
        "SEALSTREAM_LIVE__PORT": str(live),
    }
    told = ", ".join(ports[part] for part in ("https", "agents", "mirror") if part in parts)
    return Process(name, ("gateway", "run"), environment, needs, f"{gateway.host}:{told}")
