"""A gateway as presence has it, for tests of what stands before it: no agent port, no Redis."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.assignment import Assigner
from gateway.health import Health
from gateway.lifecycle import LifecycleLog
from gateway.presence.store import AgentNote, GatewayReport
from gateway.presence.view import PresenceView, next_port
from infra.metrics import Metrics
from infra.settings import Settings


@dataclass
class Standing:
    """It takes agents while its health allows."""

    settings: Settings
    health: Health
    name: str = "node-1/gateway"

    def report(self) -> GatewayReport:
        address = f"{self.settings.node.advertise}:{self.settings.gateway.agent_port}"
        return GatewayReport(
            self.name, address, next_port(address), capacity=100, refusal="; ".join(self.health.reasons)
        )

    def notes(self) -> Mapping[str, AgentNote]:
        return {}

    def find(self, _agent_id: str) -> AgentNote | None:
        return None


def make_assigner(settings: Settings, health: Health, metrics: Metrics) -> Assigner:
    """Assigns every agent to that gateway, or to none."""
    events = LifecycleLog(time.monotonic)
    return Assigner(PresenceView(settings, metrics, events, own=Standing(settings, health)), metrics)
