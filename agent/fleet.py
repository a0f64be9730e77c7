"""Simulated agents: many in one process, each enrolled, playing a trace. The load generator.

Never for people's recordings: a simulated agent's spool is in memory.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.agent import Agent, Parts
from agent.cache import PolicyCache
from agent.clock import Clock
from agent.enrolment import enrol
from agent.identity import enrolled, load_identity, load_recipients
from agent.installation import kek_file
from agent.keyring import Keyring
from agent.memory_spool import MemorySpool
from agent.settings import AgentSettings
from agent.source import Source
from agent.trust import Trust
from schemas.enrolment import EnrolmentToken
from schemas.errors import ConfigError

ENROL_AT_ONCE = 8


@dataclass(slots=True)
class Progress:
    """How far a fleet is. `behind_s`: how much later than it should the latest source tells its events."""

    agents: int = 0
    connected: int = 0
    pushed: int = 0
    acked: int = 0
    refused: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    behind_s: float = 0.0
    elapsed_s: float = 0.0

    def to_json(self) -> dict[str, float]:
        """The same for scripts."""
        return asdict(self)


async def enrol_fleet(directory: Path, count: int, token: EnrolmentToken | None, clock: Clock) -> list[Path]:
    """Directories of `count` enrolled agents; those that are missing enrol with `token`. Raises `ConfigError`."""
    members = [directory / f"{number:04d}" for number in range(1, count + 1)]
    missing = [member for member in members if not enrolled(member)]
    if missing and token is None:
        raise ConfigError(
            f"{len(missing)} simulated agents are not enrolled: give --token with what "
            f"`sealstream agent token --uses {len(missing)}` prints on the server"
        )
    turnstile = asyncio.Semaphore(ENROL_AT_ONCE)

    async def enter(member: Path) -> None:
        assert token is not None
        async with turnstile:
            identity, policy = await enrol(token, member, clock)
            PolicyCache(member, identity.agent_id).accept(policy.to_json())

    await asyncio.gather(*(enter(member) for member in missing))
    return members


def make_member(directory: Path, settings: AgentSettings, sources: list[Source], clock: Clock, wait_s: float) -> Agent:
    """The simulated agent that is enrolled in `directory`."""
    identity = load_identity(directory)
    parts = Parts(
        identity,
        settings,
        MemorySpool(),
        Keyring(load_recipients(directory), kek_file(settings)),
        PolicyCache(directory, identity.agent_id),
        Trust(directory, settings.uplink.tls_profile, pinning=settings.uplink.pin_server),
        clock,
        user=f"user-{directory.name}",
        computer=f"simulated-{directory.name}",
    )
    return Agent(parts, sources, retry=False, linger_s=wait_s)


class Fleet:
    """Agents that run beside each other."""

    def __init__(self, agents: list[Agent], sources: list[list[Source]]) -> None:
        self._agents = agents
        self._sources = [source for one in sources for source in one]
        self._started = time.monotonic()

    async def run(self) -> None:
        """Until every agent has played and delivered."""
        self._started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for agent in self._agents:
                group.create_task(agent.run())

    def progress(self) -> Progress:
        """How far it is now."""
        progress = Progress(len(self._agents), elapsed_s=round(time.monotonic() - self._started, 3))
        for agent in self._agents:
            uplink, backlog = agent.uplink.status, agent.backlog()
            progress.connected += uplink.state == "connected"
            progress.pushed += uplink.counts.pushed
            progress.acked += uplink.counts.acked
            progress.refused += uplink.counts.nacked
            progress.waiting += backlog.envelopes
            progress.waiting_bytes += backlog.bytes
        progress.behind_s = round(max((getattr(source, "behind_s", 0.0) for source in self._sources), default=0.0), 3)
        return progress
