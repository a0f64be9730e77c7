"""A gateway that has far more agents than its share sends a few of them away, now and then: to a server that joined.

Never loses what they pushed: each goes when all of it is acknowledged, and its spool has the rest.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from gateway.presence.choose import choose, surplus
from gateway.presence.expected import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.agents import AgentPort
    from gateway.presence.choose import Load
    from gateway.presence.own import OwnGateway
    from gateway.presence.view import PresenceView
    from infra.metrics import Metrics

log = structlog.get_logger()

BALANCE_S = 5.0
SAYS = "another gateway has more room"


class Balancer:
    """Of one gateway process. `follow` runs until cancelled; `balance` looks once."""

    def __init__(
        self,
        view: PresenceView,
        own: OwnGateway,
        port: AgentPort,
        metrics: Metrics,
        *,
        clock: Callable[[], float] | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._view = view
        self._own = own
        self._port = port
        self._moved = metrics.counter("gateway_moved_total").labels("balance")
        self._expected = Expected()
        self._clock = clock or asyncio.get_running_loop().time
        self._chance = chance or random.Random()  # noqa: S311  # spreads load, keeps no secret

    async def follow(self) -> None:
        """Balance now and then."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * BALANCE_S)
            self.balance()

    def balance(self) -> int:
        """Send some agents away if there are too many; how many."""
        if self._view.away or self._port.draining:
            return 0
        loads = self._expected.loads(self._view.gateways().values(), self._clock())
        here = next((one for one in loads if one.name == self._own.name), None)
        count = surplus(here, loads) if here else 0
        if not count:
            return 0
        others = [one.name for one in loads if one.name != self._own.name]
        going = self._chance.sample(sorted(self._own.present()), count)
        moved = sum(self._send_away(agent_id, others) for agent_id in going)
        self._moved.inc(moved)
        log.info("agents_sent_away", agents=moved, reason=SAYS)
        return moved

    def _send_away(self, agent_id: str, others: list[str]) -> bool:
        target = self._target(agent_id, others)
        if target is None or not self._port.send_away(agent_id, target.address, SAYS):
            return False
        self._expected.send(target.name, self._clock())
        return True

    def _target(self, agent_id: str, others: list[str]) -> Load | None:
        """Where it should go, with those counted that were sent there a moment ago."""
        reports = self._view.gateways()
        there = [reports[name] for name in others if name in reports]
        return next(iter(choose(agent_id, self._expected.loads(there, self._clock()), count=1)), None)
