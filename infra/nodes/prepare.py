"""The directories of a site's nodes: settings, certificates and the secrets that each node's roles need, no others.

Never gives a node the private key of another, and the CA's key to masters alone. Never makes anew what is there: a node
that is added later gets its directory, and the others stay as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from infra import pki
from infra.datadir import CONFIG_NAME, DataDir
from infra.failover import AUTHORITY
from infra.failover import CERTIFICATE as FAILOVER
from infra.nodes.site import Site, SiteNode
from infra.pki.authority import CA_CERT, CA_KEY
from infra.pki.server_pins import BACKUP_SUFFIX, PINS_NAME, prepare_pins
from infra.stack.elasticsearch import ADMIN_PASSWORD, CERTIFICATE
from infra.stack.installation import make_node_keys, make_passwords, make_policy, make_server_kek

SHARED = ".site"
"""The folder in which the site's CA and secrets are kept, beside those of the nodes: guard it, and back it up."""

_EVERYWHERE = frozenset({"master", "app", "miner", "mining-db", "db", "bi"})
_SECRETS: dict[str, frozenset[str]] = {
    "postgresql.password": _EVERYWHERE,
    "postgresql-replication.password": frozenset({"db", "bi"}),
    "redis.password": frozenset({"master", "app", "miner"}),
    "elasticsearch.password": frozenset({"master", "mining-db"}),
    ADMIN_PASSWORD: frozenset({"mining-db"}),
    "kek.passphrase": frozenset({"master", "miner"}),
    "accounts.key": frozenset({"master"}),
    "live.key": frozenset({"master", "app"}),
}
"""Which roles need a secret. Every node reads the list of approved nodes in PostgreSQL; whoever serves HTTPS assigns
agents, and asks Redis which gateways there are.
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One node's directory; `changed` where its settings are not what the site says now, and were left alone."""

    name: str
    directory: Path
    made: bool
    changed: bool = False


def prepare_site(site: Site, place: Path) -> Iterator[Prepared]:
    """Make what is missing below `place`, node by node. Raises `ConfigError`."""
    shared = DataDir(place / SHARED)
    _prepare_shared(shared, site)
    for name in site.nodes:  # all of them, before the first is copied: each node knows the pins of all
        _certify(shared, name, site)
    for name, node in site.nodes.items():
        yield _prepare_node(shared, place / name, name, node, site)


def _prepare_shared(shared: DataDir, site: Site) -> None:
    """The CA, the passwords, the server's KEK and the policy: what all nodes have in common."""
    for directory in (shared.root, shared.keys, shared.pki, shared.secrets):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    make_passwords(shared.secrets)
    make_node_keys(shared.secrets)
    pki.make_ca(shared.pki)
    names = [name for name in site.having("mining-db") for name in (name, site.nodes[name].address)]
    if names:
        pki.issue(shared.pki, CERTIFICATE, server=True, hosts=[*dict.fromkeys([*names, "127.0.0.1", "localhost"])])
    if site.failover:
        _certify_failover(shared, site)
    make_server_kek(shared.keys, shared.secrets / "kek.passphrase", lambda _told: None)
    make_policy(shared.root / "policy.json")


def _certify_failover(shared: DataDir, site: Site) -> None:
    """What etcd and Patroni know each other by: a CA that signs nothing else, and one certificate for all of them."""
    authority = shared.root / FAILOVER
    authority.mkdir(exist_ok=True, mode=0o700)
    pki.make_ca(authority)
    hosts = [it for name in _deciding(site) for it in (name, site.nodes[name].address)]
    pki.issue(authority, FAILOVER, server=True, hosts=[*dict.fromkeys([*hosts, "127.0.0.1", "localhost"])])
    shutil.copy2(authority / CA_CERT, shared.pki / AUTHORITY)
    for file in (f"{FAILOVER}.pem", f"{FAILOVER}.key"):
        shutil.copy2(authority / file, shared.pki / file)


def _deciding(site: Site) -> list[str]:
    """Nodes that run etcd or Patroni, or ask them."""
    return [name for name, node in site.nodes.items() if {"master", "db"} & set(node.roles)] if site.failover else []


def _certify(shared: DataDir, name: str, site: Site) -> None:
    """The certificate of a node, with a backup key, and both keys' pins among those that agents learn."""
    node = site.nodes[name]
    hosts = [name, node.address, *([node.public] if node.public else []), "127.0.0.1", "::1", "localhost"]
    pki.issue(shared.pki, name, server=True, hosts=list(dict.fromkeys(hosts)))
    prepare_pins(shared.pki, name, enforced=True)


def _prepare_node(shared: DataDir, directory: Path, name: str, node: SiteNode, site: Site) -> Prepared:
    text = tomli_w.dumps(site.settings_of(name))
    config = directory / CONFIG_NAME
    if config.exists():
        _copy_public(shared, directory)
        return Prepared(name, directory, made=False, changed=config.read_text("utf-8") != text)
    data = DataDir(directory)
    for folder in (data.root, data.keys, data.pki, data.secrets):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o755)  # the stores' account comes through it; what is secret lies deeper
    _copy_public(shared, directory)
    roles = set(node.roles)
    wanted = [f"{name}.pem", f"{name}.key", f"{name}{BACKUP_SUFFIX}"]
    wanted += [CA_KEY] if "master" in roles else []
    wanted += [f"{CERTIFICATE}.pem", f"{CERTIFICATE}.key"] if "mining-db" in roles else []
    wanted += [AUTHORITY, f"{FAILOVER}.pem", f"{FAILOVER}.key"] if name in _deciding(site) else []
    for file in wanted:
        shutil.copy2(shared.pki / file, data.pki / file)
    for file, needing in _SECRETS.items():
        if needing & roles:
            shutil.copy2(shared.secrets / file, data.secrets / file)
    if roles & {"master", "miner"}:
        for path in shared.keys.glob("*.pem"):
            shutil.copy2(path, data.keys / path.name)
    pki.write_public(config, text.encode())  # last: a directory with settings is whole
    return Prepared(name, directory, made=True)


def _copy_public(shared: DataDir, directory: Path) -> None:
    """What no one has to hide, as it is now: CAs, pins, public KEKs; the policy where there is none yet."""
    data = DataDir(directory)
    for file in (CA_CERT, PINS_NAME):
        shutil.copy2(shared.pki / file, data.pki / file)
    for path in shared.keys.glob("*.pub.pem"):
        shutil.copy2(path, data.keys / path.name)
    if not (directory / "policy.json").exists():
        shutil.copy2(shared.root / "policy.json", directory / "policy.json")
