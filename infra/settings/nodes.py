"""The tables about nodes and the stores that they share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from infra.settings.group import Count, Group, Seconds

NodeRole = Literal["master", "app", "miner", "mining-db", "db", "bi"]
Store = Literal["kafka", "redis", "postgresql", "elasticsearch", "etcd"]
GatewayPart = Literal["agents", "https", "console", "mirror"]


class NodeSettings(Group):
    """What concerns all processes of a node."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")] = "node-1"
    """Name of this node among all nodes."""
    roles: Annotated[list[NodeRole], Field(min_length=1)] = ["master", "app", "miner", "mining-db", "db", "bi"]
    """What this node is for; `sealstream node run` starts what its roles need. docs/nodes.md."""
    external: list[Store] = []
    """Stores that somebody else runs: no role starts them here."""
    data_dir: Path = Path()
    """Data directory; the one that holds the settings file when not given."""
    advertise: str = "127.0.0.1"
    """Host name or address under which agents and browsers reach this node."""
    private: str = ""
    """Host name or address under which other nodes reach this node; that of `advertise` when not given."""
    approved: list[str] = ["127.0.0.1", "::1"]
    """Addresses or networks (CIDR) of the nodes that node ports serve."""
    heartbeat_s: Seconds = 3.0
    """Seconds between two heartbeats of a process."""

    @property
    def address(self) -> str:
        """Where other nodes reach this node."""
        return self.private or self.advertise


class KafkaSettings(Group):
    """The brokers."""

    bootstrap: str = "127.0.0.1:9092"
    """Brokers to ask first, `host:port` separated by commas."""
    topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$")] = ""
    """Put before every topic and consumer group."""
    replication: Annotated[int, Field(ge=0)] = 0
    """Replicas of a topic that is made; 0 for 3 where there are three brokers or more, else 1."""
    min_insync: Annotated[int, Field(ge=0)] = 0
    """Replicas that must have a record before it is acknowledged; 0 for 2 of 3 replicas or more, else 1."""
    partitions: Count = 6
    """Partitions of a topic that is made; never changed afterwards."""
    node_id: Count = 1
    """Number of the broker that this node runs, its own among all brokers."""
    controllers: list[Annotated[str, Field(pattern=r"^[1-9]\d*@(\[[^\]]+\]|[^@:\s]+):\d{1,5}$")]] = []
    """All brokers of the cluster by number and controller's address, such as `1@10.0.0.5:9093`; empty for one alone."""
    listen: str = ""
    """`host:port` of this node's broker, as all reach it; the one of `bootstrap` on its controller's host if empty."""
    cluster_id: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]{22})?$")] = ""
    """Id of the cluster that a new broker joins; that of its running brokers, or made of the CA, when not given."""
    heap_mb: Annotated[int, Field(ge=0)] = 0
    """Megabytes of heap of this node's broker; 0 to choose by the memory that is free."""


class ElasticsearchSettings(Group):
    """Where mined text is searched."""

    url: str = "https://127.0.0.1:9200"
    """Addresses of the cluster, separated by commas; the next is asked when one does not answer."""
    ca_file: Path | None = Path("pki/ca.pem")
    """CA by which its certificate is known."""
    username: str = "sealstream"
    """User of the cluster."""
    password_file: Path | None = Path("secrets/elasticsearch.password")
    """File with its password."""
    index_prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = "sealstream"
    """Begins every index name."""
    replicas: Annotated[int, Field(ge=-1)] = -1
    """Copies of each index beside itself; -1 for 1 where there are two nodes or more, else 0."""
    listen: str = ""
    """`host:port` of this node's own node of the cluster; that of `url` if empty."""
    seeds: list[str] = []
    """Nodes of the cluster to ask first, `host:port` between nodes, usually port 9300; empty for one node alone."""
    masters: list[str] = []
    """Ids of the nodes (`node.id`) that choose the first master together when the cluster is made."""
    heap_mb: Annotated[int, Field(ge=0)] = 0
    """Megabytes of heap of this node's own node of the cluster; 0 to choose by the memory that is free."""


class PostgresqlSettings(Group):
    """Where what is known of agents, envelopes and activity is kept."""

    dsn: str = "postgresql://sealstream@127.0.0.1:5432/sealstream"
    """Address without a password; of primary and standbys `postgresql://USER@HOST:PORT,HOST:PORT/DATABASE`."""
    password_file: Path | None = Path("secrets/postgresql.password")
    """File with the password."""
    listen: str = ""
    """`host:port` of the server that this node runs; the first of `dsn` if empty."""
    replication_password_file: Path = Path("secrets/postgresql-replication.password")
    """File with the password by which standbys follow the primary."""
    etcd: list[Annotated[str, Field(pattern=r"^https?://(\[[^\]]+\]|[^@:/\s]+):\d{1,5}$")]] = []
    """Addresses of etcd, by which Patroni promotes a standby when the primary is lost; empty: a person does."""
    etcd_listen: str = ""
    """`host:port` of this node's etcd, peers on the next port; the one of `etcd` on this node's address if empty."""
    etcd_ca_file: Path = Path("pki/failover-ca.pem")
    """CA by which etcd's certificates are known."""
    patroni_port: Annotated[int, Field(ge=1, le=65535)] = 8008
    """Port at which Patroni answers, beside PostgreSQL on the host of `listen`."""
    synchronous: bool = False
    """Whether Patroni has the primary wait for a standby at each commit; it waits for none when none is there."""


class RedisSettings(Group):
    """Short-lived state shared by processes."""

    url: str = "redis://127.0.0.1:6379/0"
    """Address of the server, without a password; with `sentinels`, of the one that is primary at the very first."""
    sentinels: list[str] = []
    """All Sentinels, `host:port`, three or five: they say which server is primary. Empty for the one of `url` alone."""
    service: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "sealstream"
    """Name by which the Sentinels know the servers."""
    listen: str = ""
    """`host:port` of the server that this node runs, as all reach it; that of `url` if empty."""
    sentinel_listen: str = ""
    """`host:port` of the Sentinel that this node runs; the one of `sentinels` on its server's host if empty."""
    password_file: Path | None = Path("secrets/redis.password")
    """File with the password of servers and Sentinels, where `url` is no address of the loopback."""
    prefix: str = "sealstream:"
    """Every key and channel begins with it: installations that share a server differ by it."""


class UpdateSettings(Group):
    """Updating child nodes over SSH."""

    key_file: Path | None = Path("secrets/nodes.ssh")
    """Private SSH key by which the nodes know this one; never a password."""
    root: str = "/opt/sealstream"
    """Folder on a node that holds its releases and the link `current`, by which its service runs."""
    python: str = "python3"
    """Interpreter on a node that makes a release's virtual environment."""
    restart: str = "systemctl restart sealstream"
    """Command on a node that restarts it."""
    check: str = "{root}/current/bin/sealstream status"
    """Command on a node that ends with 0 when it is well."""
    check_s: Seconds = 120.0
    """Seconds within which a restarted node must be well; then the release before is taken back."""
    drain_s: Seconds = 30.0
    """Seconds for which a node's agents and workers are waited for before it is restarted."""
