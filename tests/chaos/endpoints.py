"""Hosts of agents: each in a namespace of its own, with agents that write letters and keep account of them.

Never knows what happens to the servers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from infra.fleet.network import Network
from infra.settings import Settings
from tests.chaos.clocks import HostClock
from tests.live.load import Account
from tests.live.operator import EnrolledAgent

LETTERS_A_SECOND = 4.0
ENDS_WITHIN_S = 240.0
SETTINGS = """
[recorder]
segment_ms = 100
epoch_s = 20.0
[uplink]
server = "{masters}"
connect_timeout_s = 3.0
ping_s = 2.0
silence_s = 6.0
unacked_s = 5.0
backoff_max_s = 2.0
"""


@dataclass(frozen=True)
class Enrolling:
    """An agent of an endpoint that enrols."""

    endpoint: Endpoint
    directory: Path
    process: subprocess.Popen[bytes]

    def wait(self, master: Settings) -> None:
        """Wait until it is enrolled."""
        assert self.process.wait(90) == 0, f"{self.directory} is not enrolled: {self.endpoint.log.read_text()[-3000:]}"
        identity = json.loads((self.directory / "identity.json").read_text())
        self.endpoint.agents.append(EnrolledAgent(master, self.directory, identity["agent_id"]))


@dataclass
class Endpoint:
    """A host with some agents, all in one process."""

    name: str
    network: Network
    clock: HostClock
    log: Path
    agents: list[EnrolledAgent] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def begin_to_enrol(self, token: str, root: Path, count: int, masters: str) -> list[Enrolling]:
        """Have agents enrol from this host, all at once; `masters` is whom they ask later, empty for that one alone."""
        directories = [root / f"{self.name}-{number}" for number in range(1, count + 1)]
        for directory in directories:
            directory.mkdir(parents=True)
            (directory / "agent.toml").write_text(SETTINGS.format(masters=masters))
        return [
            Enrolling(self, directory, self._here("infra.cli", "agent", "enrol", token, "--dir", str(directory)))
            for directory in directories
        ]

    def start(self) -> None:
        """Write letters from now on."""
        self.process = self._here(
            "tests.live.load", str(LETTERS_A_SECOND), *(str(agent.directory) for agent in self.agents)
        )

    def kill(self) -> None:
        """As a power cut does it."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def say_end(self) -> None:
        """No more letters; the agents end once the servers have all of theirs."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)

    def await_end(self) -> None:
        """Wait until all agents have ended."""
        assert self.process
        assert self.process.wait(ENDS_WITHIN_S) == 0, self.log.read_text()[-3000:]

    def accounts(self) -> list[Account]:
        """What each agent says of its envelopes."""
        return [Account.read(agent.directory, agent.agent_id) for agent in self.agents]

    def _here(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = self.network.command(self.name, [sys.executable, "-m", module, *arguments])
        environment = {**os.environ, **self.clock.environment}
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
