"""The nodes of a site, each run by `sealstream node run` in a namespace of its own.

Never speaks to a node but as an operator could: by its settings, its state file, its ports, and signals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from infra.datadir import CONFIG_VARIABLE, VARIABLE, DataDir
from infra.fleet.network import Network
from infra.nodes.prepare import prepare_site
from infra.nodes.site import Site
from infra.settings import Settings, load_settings
from infra.stack.artifacts import fetch_artifacts
from infra.stack.java import find_java
from infra.stack.state import Phase, StackState, load_state
from schemas.errors import UnavailableError

START_S = 300.0
STOP_S = 90.0
_LOOK_S = 0.5


@dataclass
class Node:
    """One node; `process` is its supervisor, where it runs. `environment` adds to that of all its processes."""

    name: str
    data: DataDir
    network: Network
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What its file says."""
        return load_settings(self.data.config)

    def start(self) -> None:
        """Start its supervisor; `state` tells how far it is."""
        self.data.log("node").parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "infra.cli", "node", "run", "--json"]
        environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
        with self.data.log("node").open("ab") as log:
            self.process = subprocess.Popen(
                self.network.command(self.name, command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, **self.environment, VARIABLE: str(self.data.root)},
                start_new_session=True,
            )

    @property
    def state(self) -> StackState | None:
        """What its supervisor wrote down, if it runs."""
        state = load_state(self.data)
        return state if state is not None and state.supervised else None

    @property
    def ready(self) -> bool:
        """Whether all that it runs has been ready, and is."""
        state = self.state
        return (
            state is not None
            and state.phase is Phase.READY
            and all(it.phase is Phase.READY for it in state.components.values())
        )

    def waits_for(self) -> str:
        """What is not ready yet, in words."""
        state = load_state(self.data)
        if state is None:
            return f"{self.name} has not begun"
        if state.fault:
            return f"{self.name}: {state.fault}"
        told = [
            f"{it.name} {it.phase}{f' ({it.detail})' if it.detail else ''}"
            for it in state.components.values()
            if it.phase is not Phase.READY
        ]
        return f"{self.name}: {', '.join(told) or state.detail or state.phase}"

    def kill_component(self, name: str) -> None:
        """Kill -9 one component's process."""
        state = self.state
        mark = state.components[name].mark if state else None
        if mark is None:
            raise UnavailableError(f"{name} does not run on {self.name}")
        os.kill(mark.pid, signal.SIGKILL)

    def kill(self) -> int:
        """Kill -9 all of the node, as a power cut does; how many processes that were."""
        killed = self.network.kill(self.name)
        self._reap()
        return killed

    def stop(self, within_s: float = STOP_S) -> bool:
        """Ask it to stop; whether it did in time (it is killed otherwise)."""
        if self.process is None:
            return True
        if (state := self.state) is not None and state.supervisor is not None:
            os.kill(state.supervisor.pid, signal.SIGTERM)
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._reap()
        return True

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait()
            self.process = None


class Fleet:
    """All nodes of a site, below `root`; as a context they run, and nothing of them is left behind."""

    def __init__(self, site: Site, root: Path, network: Network) -> None:
        self.root, self.site, self.network = root, site, network
        self.nodes = {name: Node(name, DataDir(root / name), network) for name in site.nodes}

    def prepare(self) -> None:
        """Make the nodes' directories and namespaces."""
        for _ in prepare_site(self.site, self.root):
            pass
        self.network.open()
        for name, node in self.site.nodes.items():
            self.network.add(name, node.address)

    def start(
        self, tell: Callable[[str], None], names: Iterable[str] | None = None, *, within_s: float = START_S
    ) -> float:
        """Start these nodes, or all, at once, and wait until all are ready; the seconds that took.

        What Maven brings is brought before, and not counted: from within its namespace a node reaches no registry.
        """
        fetch_artifacts(find_java(), tell)
        began = time.monotonic()
        chosen = [self.nodes[name] for name in names or self.nodes]
        for node in chosen:
            node.start()
        told = ""
        while waiting := [node for node in chosen if not node.ready]:
            for node in waiting:
                if node.process is None or node.process.poll() is not None:
                    raise UnavailableError(f"{node.waits_for()}; its log is {node.data.log('node')}")
            now = f"waits for {len(waiting)} of {len(chosen)} nodes: {waiting[0].waits_for()}"
            if now != told:
                tell(told := now)
            if time.monotonic() - began > within_s:
                raise UnavailableError(f"not ready within {within_s:.0f} s: {now}")
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def stop(self) -> None:
        """Stop what works before what keeps, and take the network down."""
        keeping = {name for name, node in self.site.nodes.items() if {"master", "db", "mining-db"} & set(node.roles)}
        for names in (self.nodes.keys() - keeping, keeping):
            for name in names:
                node = self.nodes[name]
                if (state := node.state) is not None and state.supervisor is not None:
                    os.kill(state.supervisor.pid, signal.SIGTERM)
            for name in names:
                self.nodes[name].stop()
        self.network.close()
