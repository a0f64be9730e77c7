"""What a gateway process tells of itself: its agents, its load, and whether more may come.

Never counts what is not there: everything is read off the agent port when it is asked for.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.facts import now_ms
from gateway.presence.store import AgentNote, GatewayReport
from infra.hosts import authority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.agents import AgentPort
    from gateway.health import Health
    from gateway.live.hub import Hub
    from gateway.live.room import Present
    from infra.lifecycle import Reporter
    from infra.settings import Settings

SMOOTHING = 0.3
"""Weight of the newest second in the load: a burst of handshakes is over before anybody could act on it."""

DRAINED = "this gateway takes no agents"


class OwnGateway:
    """One of them for a process with an agent port. `measure` is called once a beat."""

    def __init__(self, settings: Settings, reporter: Reporter, port: AgentPort, hub: Hub, health: Health) -> None:
        self.name = reporter.node_id
        self._incarnation = reporter.incarnation
        self._agent_address = authority(settings.node.advertise, settings.gateway.agent_port)
        self._live_address = authority(settings.node.advertise, settings.live_port)
        self._capacity = settings.gateway.max_connections
        self._port = port
        self._hub = hub
        self._health = health
        self._started_ms = now_ms()
        self._version = version("sealstream")
        self._measured = (time.monotonic(), time.process_time(), 0)
        self._cpu = 0.0
        self._bytes_s = 0.0
        self._since: dict[str, tuple[Present, int]] = {}
        self._beat = 0

    def report(self) -> GatewayReport:
        """What it tells of itself now."""
        return GatewayReport(
            name=self.name,
            agent_address=self._agent_address,
            live_address=self._live_address,
            agents=self._port.agents,
            greeted=self._port.greeted,
            capacity=self._capacity,
            cpu=round(self._cpu, 3),
            received_bytes_s=round(self._bytes_s),
            refusal=self._refusal(),
            started_ms=self._started_ms,
            incarnation=self._incarnation,
            version=self._version,
            beat=self._beat,
        )

    def notes(self) -> Mapping[str, AgentNote]:
        """Agents that are connected now, by id."""
        return {present.agent_id: self.note(present) for present in self._hub.present()}

    def present(self) -> Mapping[str, Present]:
        """The same, as the hub has them: another connection of an agent is another value."""
        return {present.agent_id: present for present in self._hub.present()}

    def find(self, agent_id: str) -> AgentNote | None:
        """One of them."""
        present = self._hub.find(agent_id)
        return self.note(present) if present else None

    def note(self, present: Present) -> AgentNote:
        """What is told of an agent."""
        known = self._since.get(present.agent_id)
        since_ms = known[1] if known and known[0] is present else now_ms()
        live = tuple(sorted(present.live))
        return AgentNote(present.user, present.computer, live, self._hub.end_to_end(present.agent_id), since_ms)

    def measure(self) -> None:
        """Look at what was used since the last time, and at who came and went."""
        before, self._measured = self._measured, (time.monotonic(), time.process_time(), self._port.received_bytes)
        elapsed_s, used_s, received = (now - then for now, then in zip(self._measured, before, strict=True))
        if elapsed_s > 0:
            self._cpu += SMOOTHING * (min(1.0, used_s / elapsed_s) - self._cpu)
            self._bytes_s += SMOOTHING * (received / elapsed_s - self._bytes_s)
        self._beat += 1
        self._since = {agent_id: self._came(agent_id, present) for agent_id, present in self.present().items()}

    def _came(self, agent_id: str, present: Present) -> tuple[Present, int]:
        known = self._since.get(agent_id)
        return known if known and known[0] is present else (present, now_ms())

    def _refusal(self) -> str:
        if reasons := self._health.reasons:
            return "; ".join(reasons)
        return "" if self._port.listening else DRAINED
