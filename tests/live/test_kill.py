"""Kill -9 of every process of the stack, one after the other, while agents push; then the envelopes are counted."""

# ruff: noqa: T201  # seed and figures are shown with what failed

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.stack.state import ComponentState, Phase, load_state
from tests.live.accounting import check_every_envelope
from tests.live.load import Account
from tests.live.operator import EnrolledAgent, until, until_caught_up

pytestmark = [pytest.mark.live, pytest.mark.slow]

AGENTS = 3
LETTERS_A_SECOND = 10.0
VICTIMS = (
    "gateway",
    "streams-1",
    "sinks-disk",
    "sinks-postgresql",
    "sinks-elasticsearch",
    "postgresql",
    "kafka",
    "elasticsearch",
)
SETTINGS = """
[recorder]
segment_ms = 100
epoch_s = 20.0
[uplink]
backoff_max_s = 1.0
"""


@dataclass
class Load:
    """Agents in a process of their own."""

    agents: list[EnrolledAgent]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Write letters from now on."""
        directories = [str(agent.directory) for agent in self.agents]
        with (self.agents[0].directory / "load.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.live.load", str(LETTERS_A_SECOND), *directories],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """As a power cut does it."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """No more letters; wait until all agents have ended."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(180) == 0, (self.agents[0].directory / "load.log").read_text()[-3000:]

    def accounts(self) -> list[Account]:
        """What each agent says of its envelopes."""
        return [Account.read(agent.directory, agent.agent_id) for agent in self.agents]

    def acknowledged(self) -> int:
        """Envelopes that the server has acknowledged."""
        return sum(len(account.acknowledged) for account in self.accounts())


@contextmanager
def writing(agents: list[EnrolledAgent]) -> Iterator[Load]:
    """Agents that write letters; none is left behind."""
    load = Load(agents)
    load.start()
    try:
        yield load
    finally:
        assert load.process
        if load.process.poll() is None:
            load.kill()


def kill_component(settings: Settings, name: str) -> float:
    """Kill -9 a component, and wait until its supervisor has it ready again; the seconds that took."""
    before = component(settings, name)
    assert before.mark
    began = time.monotonic()
    os.kill(before.mark.pid, signal.SIGKILL)

    def back() -> bool:
        now = component(settings, name)
        return now.phase is Phase.READY and now.mark is not None and now.mark != before.mark

    until(f"{name} to come back", back, 240, 0.2)
    return time.monotonic() - began


def component(settings: Settings, name: str) -> ComponentState:
    """What the supervisor says of a component."""
    state = load_state(settings.data)
    assert state
    return state.components[name]


def test_every_envelope_is_kept_whatever_is_killed(stack: Settings, tmp_path: Path) -> None:
    """Acknowledged is in Kafka, once in the archive, once in Elasticsearch; what was lost before is told as a gap."""
    seed = int(os.environ.get("SEALSTREAM_SEED") or random.randrange(1 << 32))
    chance = random.Random(seed)
    agents = [EnrolledAgent.enrol(stack, tmp_path / f"agent-{number}", SETTINGS) for number in range(AGENTS)]
    victims = chance.sample(VICTIMS, len(VICTIMS))
    print(f"seed {seed}: {', '.join(victims)}")
    with writing(agents) as load:
        until("the first acks", load.acknowledged)
        for number, name in enumerate(victims):
            print(f"{name} is back after {kill_component(stack, name):.1f} s, {load.acknowledged()} acknowledged")
            if number % 3 == 1:
                load.kill()
                load.start()
            acknowledged = load.acknowledged()
            until("acks to go on", lambda before=acknowledged: load.acknowledged() > before, 180)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 1))  # the next one dies at another moment
        load.end()
    until_caught_up(stack, 240)
    print(check_every_envelope(stack, agents))
    assert all(account.starts >= 3 for account in load.accounts())
