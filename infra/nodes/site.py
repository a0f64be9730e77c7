"""A site: all nodes of an installation, in one file, and the settings that follow from it for each.

    archive = "/srv/archive"            # a folder that all masters share; needed where there are several

    [nodes.master-1]
    address = "10.1.0.1"
    roles = ["master"]

    [nodes.app-1]
    address = "10.1.0.2"
    roles = ["app"]
    public = "app-1.example.org"        # what agents and browsers use, where that is not `address`
    settings = { gateway = { processes = 4 } }

Never touches a disk but to read that file; `infra.nodes.prepare` writes.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from infra.hosts import bracket
from infra.settings.nodes import NodeRole, Store
from schemas.errors import ConfigError

CONTROLLER_PORT, TRANSPORT_PORT, SENTINEL_PORT, ETCD_PORT = 9093, 9300, 26379, 2379
"""Where Kafka's controllers, the nodes of Elasticsearch, Redis's Sentinels and etcd speak among themselves."""

_NAME = r"^[a-z0-9][a-z0-9.-]{0,62}$"
_ADDRESS = r"^[A-Za-z0-9.:-]{1,253}$"


class SiteNode(BaseModel):
    """One node: its private address, its roles, and settings of its own by table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: Annotated[str, Field(pattern=_ADDRESS)]
    roles: Annotated[list[NodeRole], Field(min_length=1)]
    public: Annotated[str, Field(pattern=_ADDRESS)] | None = None
    settings: dict[str, dict[str, Any]] = {}  # pydantic copies it


class Site(BaseModel):
    """All nodes; `external` names stores that others run, with `settings` that say where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: dict[Annotated[str, Field(pattern=_NAME)], SiteNode]
    archive: str = ""
    failover: bool = False  # whether PostgreSQL promotes a standby by itself: etcd on three masters, two nodes with db
    approved: list[str] = []  # addresses or networks beside the nodes, such as an operator's machine
    external: list[Store] = []
    settings: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _check_roles(self) -> Site:
        """Every role that work needs is somebody's, and none is twice where there can be one alone."""
        for role in ("master", "app", "miner"):
            if not self.having(role):
                raise ValueError(f"no node has the role {role}")
        for role, store in (("db", "postgresql"), ("mining-db", "elasticsearch")):
            if not self.having(role) and store not in self.external:
                raise ValueError(f"no node has the role {role}, and {store} is not in `external`")
        self._check_failover()
        if len(self.having("master")) > 1 and not self.archive:
            raise ValueError("several masters share the archive: name its folder in `archive`")
        addresses = [node.address for node in self.nodes.values()]
        if twice := {address for address in addresses if addresses.count(address) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} is the address of more than one node")
        return self

    def _check_failover(self) -> None:
        databases = self.having("db")
        if not self.failover and len(databases) > 1:
            raise ValueError(
                "one node has the role db: the others that keep PostgreSQL, as its standbys, have bi; several have db "
                "with `failover = true`"
            )
        if self.failover and len(databases) < 2:
            raise ValueError("failover needs two nodes with the role db at least: one to take the other's place")
        if self.failover and "etcd" not in self.external and len(self.etcd_nodes) < 3:
            raise ValueError("failover needs etcd on three masters, or one of yours: `etcd` in `external`")

    def having(self, role: str) -> list[str]:
        """Names of the nodes with that role, in the order of the file."""
        return [name for name, node in self.nodes.items() if role in node.roles]

    @property
    def brokers(self) -> list[str]:
        """Masters that run a Kafka broker: an odd number, since more than half of them must be there."""
        return [] if "kafka" in self.external else self._voters()

    @property
    def redis_nodes(self) -> list[str]:
        """Masters that run a Redis and a Sentinel: as many as can outvote one that is lost, else the first alone."""
        return [] if "redis" in self.external else self._voters()

    @property
    def etcd_nodes(self) -> list[str]:
        """Masters that run etcd, by which PostgreSQL's primary is chosen."""
        return self._voters() if self.failover and "etcd" not in self.external else []

    def _voters(self) -> list[str]:
        masters = self.having("master")
        return masters[: len(masters) - (len(masters) + 1) % 2]

    def settings_of(self, name: str) -> dict[str, dict[str, Any]]:
        """The tables of one node's settings file; what the site and the node say of their own comes last."""
        node = self.nodes[name]
        tables: dict[str, dict[str, Any]] = {
            "node": {
                "id": name,
                "roles": list(node.roles),
                "advertise": node.public or node.address,
                **({"private": node.address} if node.public else {}),
                "approved": ["127.0.0.1", "::1", *(one.address for one in self.nodes.values()), *self.approved],
            },
            "gateway": {
                "host": "0.0.0.0",  # noqa: S104  # agents and browsers come from everywhere; TLS is the door
                "cert_file": f"pki/{name}.pem",
                "key_file": f"pki/{name}.key",
            },
        }
        tables["miner"] = {"host": "0.0.0.0", "cert_file": f"pki/{name}.pem", "key_file": f"pki/{name}.key"}  # noqa: S104
        external = {*self.external, *self._run_elsewhere(name)}
        if external:
            tables["node"]["external"] = sorted(external)
        tables |= {store: own for store, own in self._stores(name).items() if store not in self.external}
        if self.archive:
            tables["archive"] = {"dir": self.archive}
        for more in (self.settings, node.settings):
            for table, values in more.items():
                tables.setdefault(table, {}).update(values)
        return tables

    def _run_elsewhere(self, name: str) -> set[str]:
        """Stores of this node's roles that another node of the same role runs for all."""
        elsewhere = set()
        if name in self.having("master"):
            elsewhere |= {"redis"} if name not in self.redis_nodes else set()
            elsewhere |= {"kafka"} if name not in self.brokers else set()
        return elsewhere

    def _stores(self, name: str) -> dict[str, dict[str, Any]]:
        """Where the stores are, and what this node's own have to know."""
        addresses = {one: bracket(node.address) for one, node in self.nodes.items()}
        databases = [*self.having("db"), *(one for one in self.having("bi") if one not in self.having("db"))]
        hosts = ",".join(f"{addresses[one]}:5432" for one in databases)
        several = "?target_session_attrs=read-write" if len(databases) > 1 else ""
        stores: dict[str, dict[str, Any]] = {
            "kafka": {"bootstrap": ",".join(f"{addresses[one]}:9092" for one in self.brokers)},
            "postgresql": {"dsn": f"postgresql://sealstream@{hosts}/sealstream{several}"},
            "elasticsearch": {"url": ",".join(f"https://{addresses[one]}:9200" for one in self.having("mining-db"))},
            "redis": {"url": f"redis://{addresses[self.having('master')[0]]}:6379/0"},
        }
        if len(watched := self.redis_nodes) > 1:
            stores["redis"]["sentinels"] = [f"{addresses[one]}:{SENTINEL_PORT}" for one in watched]
            if name in watched:
                stores["redis"]["listen"] = f"{addresses[name]}:6379"
        if name in self.brokers:
            stores["kafka"]["node_id"] = self.brokers.index(name) + 1
            stores["kafka"]["controllers"] = [
                f"{number}@{addresses[one]}:{CONTROLLER_PORT}" for number, one in enumerate(self.brokers, 1)
            ]
            stores["kafka"]["listen"] = f"{addresses[name]}:9092"
        if name in databases:
            stores["postgresql"]["listen"] = f"{addresses[name]}:5432"
        if self.etcd_nodes:
            stores["postgresql"]["etcd"] = [f"https://{addresses[one]}:{ETCD_PORT}" for one in self.etcd_nodes]
        if name in (searching := self.having("mining-db")):
            stores["elasticsearch"]["listen"] = f"{addresses[name]}:9200"
            if len(searching) > 1:
                stores["elasticsearch"]["seeds"] = [f"{addresses[one]}:{TRANSPORT_PORT}" for one in searching]
                stores["elasticsearch"]["masters"] = searching
        return stores


def load_site(path: Path) -> Site:
    """The site in that file; raises `ConfigError` that tells everything that is wrong."""
    try:
        return Site.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"the site {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, row['loc']))}: {row['msg']}".lstrip(": ") for row in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(faults)) from None
    except ValueError as error:  # TOML's own
        raise ConfigError(f"{path}: {error}") from None
