"""The fleet that faults are tried on: three masters, two application servers, two miners, a data node, agents.

Never runs beside another on the same addresses, and leaves nothing behind but, after a failure, its files.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.fleet.fleet import Fleet, Node
from infra.fleet.network import Network
from infra.nodes.site import Site
from infra.settings import Settings
from infra.stack.state import Phase
from tests.chaos.clocks import HostClock
from tests.chaos.disks import Disk
from tests.chaos.endpoints import Endpoint
from tests.live.operator import EnrolledAgent, sealstream, until
from tests.running_stack import open_directory

MASTERS, APPS, MINERS, DATA = ("master-1", "master-2", "master-3"), ("app-1", "app-2"), ("miner-1", "miner-2"), "data-1"
ROLES: dict[str, list[str]] = {
    **{name: ["master"] for name in MASTERS},
    **{name: ["app"] for name in APPS},
    **{name: ["miner"] for name in MINERS},
    DATA: ["db", "mining-db"],
}
ENDPOINTS = {"office-1": 2, "office-2": 2, "fragile": 1, "drifting": 1, "far": 1}
"""Hosts with so many agents: two stay, one is killed, the clock of one jumps, and one is cut off throughout."""

FAR, ONE_MASTER = "far", "office-2"
"""The host that is cut off, and the one whose agents ask the master alone at which they enrolled."""

STARTS_WITHIN_S = 600.0
"""About 100 s where nothing else runs."""

DISKS_MB = {"archive": 300, "broker": 1500, "app": 4096}
ARCHIVE_DISK, BROKER_DISK, APP_DISK = DISKS_MB
BROKER_WITH_DISK, APP_WITH_DISK = "master-3", "app-1"
_CLOCKS = ("app-2", "miner-2")
_SETTINGS: dict[str, dict[str, Any]] = {"kafka": {"heap_mb": 256}, "elasticsearch": {"heap_mb": 512}}


def cannot_run() -> str:
    """Why no fleet can be made here; empty where one can."""
    if os.geteuid() != 0:
        return "network namespaces and disks need root: run `make test-chaos` as root"
    missing = [name for name in ("ip", "nft", "mkfs.ext4", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing: `apt-get install iproute2 nftables e2fsprogs mount`"
    made = subprocess.run(["ip", "netns", "add", "sschprobe"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"this machine allows no network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", "sschprobe"], check=False)
    return ""


class Ground:
    """The running fleet and its endpoints."""

    def __init__(self, root: Path, number: int) -> None:
        self.root = root
        self.network = Network(f"ch{number}", f"10.78.{number}")
        self.archive = root / "archive"
        self._having: dict[str, list[str]] = defaultdict(list)
        self.counted = False
        """Every envelope was counted, and none is missing."""
        site = Site.model_validate(
            {
                "nodes": {
                    name: {"address": f"10.78.{number}.{place}", "roles": roles}
                    for place, (name, roles) in enumerate(ROLES.items(), 1)
                },
                "archive": str(self.archive),
                "approved": [self.network.here],
                "settings": _SETTINGS,
            }
        )
        self.fleet = Fleet(site, root, self.network)
        images = root / "images"
        self.disks = {
            ARCHIVE_DISK: Disk(self.archive, images, DISKS_MB[ARCHIVE_DISK]),
            BROKER_DISK: Disk(root / BROKER_WITH_DISK / "kafka", images, DISKS_MB[BROKER_DISK]),
            APP_DISK: Disk(root / APP_WITH_DISK, images, DISKS_MB[APP_DISK]),
        }
        self.clocks = {name: HostClock(root / f"{name}.clock") for name in (*_CLOCKS, *ENDPOINTS)}
        self.endpoints = {
            name: Endpoint(name, self.network, self.clocks[name], root / f"{name}.log") for name in ENDPOINTS
        }

    @property
    def settings(self) -> Settings:
        """Those of the first master, by which everything is counted."""
        return self.fleet.nodes[MASTERS[0]].settings

    @property
    def agents(self) -> list[EnrolledAgent]:
        """Every agent."""
        return [agent for endpoint in self.endpoints.values() for agent in endpoint.agents]

    def node(self, name: str) -> Node:
        """The node of that name."""
        return self.fleet.nodes[name]

    def addresses(self, names: Sequence[str]) -> list[str]:
        """Private addresses of nodes."""
        return [self.fleet.site.nodes[name].address for name in names]

    def open(self) -> None:
        """Start the fleet, enrol the agents, let them write; the far one's cable is out from the beginning."""
        (self.root / "images").mkdir()
        for disk in self.disks.values():
            disk.mount()
        self.fleet.prepare()
        for name in _CLOCKS:
            self.node(name).environment |= self.clocks[name].environment
        took = self.fleet.start(say, within_s=STARTS_WITHIN_S)
        say(f"{len(ROLES)} nodes are ready after {took:.0f} s")
        for name, node in self.fleet.nodes.items():
            for component in node.state.components if node.state else ():
                self._having[component].append(name)
        self._enrol()
        self.network.cut(FAR)
        for endpoint in self.endpoints.values():
            endpoint.start()
        for endpoint in self.endpoints.values():
            if endpoint.name != FAR:
                until("the first acks", lambda each=endpoint: all(it.acks_s for it in each.accounts()), 60)  # type: ignore[misc]

    def _enrol(self) -> None:
        """Half of the hosts at the first master, half at the second."""
        words = "agent", "token", "--uses", str(sum(ENDPOINTS.values()))
        tokens = [sealstream(self.node(name).settings, *words).strip() for name in MASTERS[:2]]
        masters = ",".join(f"{address}:443" for address in self.addresses(MASTERS))
        enrolling = []
        for place, (name, count) in enumerate(ENDPOINTS.items(), 100):
            self.network.add(name, f"{self.network.here.rpartition('.')[0]}.{place}")
            endpoint, named = self.endpoints[name], "" if name == ONE_MASTER else masters
            enrolling += endpoint.begin_to_enrol(tokens[place % 2], self.root / "agents", count, named)
        for each in enrolling:
            each.wait(self.settings)

    def close(self) -> None:
        """Kill what is left of everything: what was to be shown is counted by now."""
        for name in (*ENDPOINTS, *ROLES):
            self.network.kill(name)
        self.network.close()
        for disk in self.disks.values():
            disk.unmount()

    def keep(self) -> None:
        """Start supervisors again that ended by themselves, as systemd does (`Restart=always`)."""
        for node in self.fleet.nodes.values():
            if node.process is not None and node.process.poll() is not None:
                say(f"{node.name} is started again: {node.waits_for()[:150]}")
                node.start()

    def are_ready(self, component: str) -> bool:
        """Whether each node that has such a component runs it well."""
        return all(self.is_ready(name, component) for name in self.where(component))

    def is_ready(self, node: str, component: str) -> bool:
        """Whether that node runs it well; a supervisor that has just begun knows of none."""
        state = self.node(node).state
        return state is not None and component in state.components and state.components[component].phase is Phase.READY

    def until_ready(self, names: Sequence[str] = tuple(ROLES), within_s: float = 180.0) -> None:
        """Wait until all that these nodes run is ready."""
        nodes = [self.node(name) for name in names]
        deadline = time.monotonic() + within_s
        while waiting := [node for node in nodes if not node.ready]:
            assert time.monotonic() < deadline, f"not ready: {'; '.join(node.waits_for() for node in waiting)}"
            self.keep()
            time.sleep(1.0)

    def until_component(self, node: str, name: str, within_s: float = 120.0) -> None:
        """Wait until that component is ready."""
        until(f"{name} of {node}", lambda: self.is_ready(node, name), within_s, 0.2)

    def where(self, component: str) -> list[str]:
        """Nodes that run a component of that name."""
        return self._having[component]

    def pid(self, node: str, component: str) -> int:
        """The process of that component."""
        state = self.node(node).state
        mark = state.components[component].mark if state and component in state.components else None
        assert mark, f"{component} does not run on {node}"
        return mark.pid


@contextmanager
def open_ground() -> Iterator[Ground]:
    """A fleet of its own, gone again afterwards; where something failed, its logs and agents' directories are kept."""
    root = open_directory()
    ground = Ground(root, _free_number())
    try:
        ground.open()
        yield ground
    finally:
        if not ground.counted:
            say(f"logs and agents' directories are in {_keep(root)}")
        ground.close()
        shutil.rmtree(root, ignore_errors=True)


def _keep(root: Path) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="sealstream-chaos-"))
    for name in ROLES:
        if (root / name / "log").exists():
            shutil.copytree(root / name / "log", kept / name)
    if (root / "agents").exists():
        shutil.copytree(root / "agents", kept / "agents", ignore=shutil.ignore_patterns("*.sock"))
    for log in root.glob("*.log"):
        shutil.copy(log, kept)
    return kept


def _free_number() -> int:
    """A number of addresses and names that no other run has."""
    while True:
        number = random.randrange(1, 250)
        if subprocess.run(["ip", "link", "show", f"ch{number}br"], capture_output=True, check=False).returncode:
            return number


def say(text: str) -> None:
    """Tell whoever waits, at once."""
    print(f"{time.strftime('%X')} {text}", flush=True)  # noqa: T201
