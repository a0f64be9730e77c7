"""What the containers of one deployment share: settings, CA and certificates, passwords, a KEK, Elasticsearch's users.

    python -m infra.site DIR --advertise console.example.org

Never makes anew what is there, and never writes a secret that others than its owner can read.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra import pki
from infra.cli.exits import exit_code
from infra.datadir import DataDir
from infra.pki.server_pins import BACKUP_SUFFIX, PINS_NAME, prepare_pins
from infra.settings import Settings
from infra.stack.elasticsearch import CERTIFICATE, access_files
from infra.stack.installation import KEK_NAME, make_node_keys, prepare_installation
from infra.stack.ports import PortRule
from schemas.errors import ConfigError, SealstreamError

OUR_ACCOUNT = 10001
"""Of the product's image: infra/deploy/Containerfile."""
ELASTICSEARCH_ACCOUNT = 1000
"""Of Elasticsearch's image."""

MINER = "miner"
"""Name of the mining nodes' certificate, and of the one that there is in compose.yaml."""
APPLICATION = "application"
"""Name of the application servers' certificate."""

_MINERS = (MINER, "*.worker.sealstream.svc")
"""Where mining nodes are reached: compose.yaml's one, and the pods of kubernetes/base/mining.yaml."""
_HERE = ("localhost", "127.0.0.1", "::1")

_DATA_DIR = "SEALSTREAM_NODE__DATA_DIR"

_STORES = ("elasticsearch", *(f"elasticsearch-{number}" for number in range(3)))

_SETTINGS = """\
# Settings of every container; SEALSTREAM_<TABLE>__<NAME> in a container's environment overrides each.

[node]
data_dir = "/var/lib/sealstream"
advertise = "{advertise}"
approved = {approved}

[kafka]
bootstrap = "kafka-0.kafka:9092,kafka-1.kafka:9092,kafka-2.kafka:9092"
replication = 3
min_insync = 2

[elasticsearch]
url = "https://elasticsearch:9200"

[postgresql]
dsn = "postgresql://sealstream@postgresql:5432/sealstream"

[redis]
url = "redis://redis:6379/0"

[gateway]
host = "0.0.0.0"
"""


def make_site(place: Path, advertise: str, approved: list[str], applications: Sequence[str] = ()) -> None:
    """All of it, in `place`; what is there stays as it is. `applications`: names that application servers have."""
    data = DataDir(place.absolute())
    data.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not data.config.exists():
        listed = "[" + ", ".join(f'"{network}"' for network in approved) + "]"
        pki.write_public(data.config, _SETTINGS.format(advertise=advertise, approved=listed).encode())
    with _kept_in(data.root):
        settings = prepare_installation(data, ports=PortRule.USUAL, tell=_say)
    make_node_keys(data.secrets)
    hosts = [*_STORES, *(f"{name}.elasticsearch" for name in _STORES[1:]), *_HERE, socket.gethostname()]
    pki.issue(data.pki, CERTIFICATE, server=True, hosts=hosts)
    _write_elasticsearch(settings, data.root / "elasticsearch")
    nodes = {MINER: _MINERS, **({APPLICATION: tuple(applications)} if applications else {})}
    for name, reached in nodes.items():
        pki.issue(data.pki, name, server=True, hosts=[*reached, *_HERE])
        prepare_pins(data.pki, name, enforced=settings.gateway.pin_server)
    _write_mining(data, data.root / "mining")
    if os.geteuid() == 0:
        _give(data.root, OUR_ACCOUNT)
        _give(data.root / "elasticsearch", ELASTICSEARCH_ACCOUNT)


@contextmanager
def _kept_in(root: Path) -> Iterator[None]:
    """Containers keep it elsewhere, as the settings say; what is made now is made here."""
    before = os.environ.get(_DATA_DIR)
    os.environ[_DATA_DIR] = str(root)
    try:
        yield
    finally:
        del os.environ[_DATA_DIR]
        if before is not None:
            os.environ[_DATA_DIR] = before


def _write_elasticsearch(settings: Settings, place: Path) -> None:
    """Its own copy of certificate and key, and its users with their roles, as files that its image takes."""
    place.mkdir(exist_ok=True, mode=0o700)
    for name in (f"{CERTIFICATE}.pem", f"{CERTIFICATE}.key", "ca.pem"):
        shutil.copy(settings.data.pki / name, place / name)
    for name, text in access_files(settings).items():
        if not (place / name).exists():  # each has a salt of its own: another text would be no other password
            pki.write_secret(place / name, text.encode())


def _write_mining(data: DataDir, place: Path) -> None:
    """The data directory of the mining node: its certificate, the server's KEK, what all nodes have; no CA's key.

    What its processes renew by themselves, as all nodes do, is not put back.
    """
    for folder, names in {
        "pki": ("ca.pem", PINS_NAME, f"{MINER}.pem", f"{MINER}.key", f"{MINER}{BACKUP_SUFFIX}"),
        "keys": (f"{KEK_NAME}.pem", f"{KEK_NAME}.pub.pem"),
        "": ("policy.json",),
    }.items():
        (place / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in names:
            its_own = name.startswith(MINER)  # a certificate that was renewed here is the one to have
            if its_own or not (place / folder / name).exists():
                shutil.copy2(data.root / folder / name, place / folder / name)


def _say(told: str) -> None:
    sys.stderr.write(f"{told}\n")


def _give(place: Path, account: int) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, account, account, follow_symlinks=False)


def main(arguments: list[str]) -> int:
    """Make a site; our own errors become one line."""
    parser = argparse.ArgumentParser(prog="python -m infra.site", description=__doc__.partition("\n")[0])
    parser.add_argument("place", type=Path, help="directory, made where it is not there")
    parser.add_argument("--advertise", required=True, help="name by which agents and people reach the gateway")
    parser.add_argument("--approved", action="append", help="network of the nodes (CIDR); may be given more than once")
    parser.add_argument("--application", action="append", help="name of an application server; may be given again")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.place.is_file():
            raise ConfigError(f"{chosen.place} is a file: name a directory")
        approved = chosen.approved or ["10.0.0.0/8", "172.16.0.0/12", "127.0.0.1"]
        make_site(chosen.place, chosen.advertise, approved, chosen.application or ())
    except SealstreamError as error:
        _say(f"infra.site: {error}")
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
