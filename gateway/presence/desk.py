"""Presence of one process, put together: its view of all gateways, and, where it has agents, what it tells of them.

Never needed for what is acknowledged: all of its tasks may stand still, and agents go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.assignment import Assigner
from gateway.presence.announce import Announcer
from gateway.presence.balance import Balancer
from gateway.presence.view import PresenceView

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.agents import AgentPort
    from gateway.lifecycle import LifecycleLog
    from gateway.presence.own import OwnGateway
    from infra.metrics import Metrics
    from infra.settings import Settings


class Presence:
    """One of them for the process; `own` and `port` where it has agents. Must be made on the running event loop."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        events: LifecycleLog,
        own: OwnGateway | None = None,
        port: AgentPort | None = None,
    ) -> None:
        self.view = PresenceView(settings, metrics, events, own=own)
        self.assigner = Assigner(self.view, metrics)
        self._announcer = Announcer(settings, own) if own else None
        self._balancer = Balancer(self.view, own, port, metrics) if own and port else None

    def tasks(self) -> dict[str, Coroutine[Any, Any, Any]]:
        """What runs beside, by name."""
        tasks: dict[str, Coroutine[Any, Any, Any]] = {"presence": self.view.follow()}
        if self._announcer:
            tasks["announce"] = self._announcer.follow()
        if self._balancer:
            tasks["balance"] = self._balancer.follow()
        return tasks

    async def tell(self) -> None:
        """Tell at once what has changed, such as that no agents may come; raises nothing."""
        if self._announcer:
            await self._announcer.tell()
