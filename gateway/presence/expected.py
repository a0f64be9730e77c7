"""Agents that were sent to a gateway and are not in its reports yet: a report is a second old, a storm takes less.

Never counts for long: who has not come after a while is not coming.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.presence.choose import Load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.presence.store import GatewayReport

EXPECTED_S = 15.0
"""Who was sent somewhere and has not come by then is not counted any more."""


@dataclass(slots=True)
class _Sent:
    """Those sent to one gateway: when each was, and how many it had welcomed when that was last looked at."""

    incarnation: str
    greeted: int
    at: deque[float] = field(default_factory=deque)


class Expected:
    """Counts by gateway; times are of one monotonic clock, seconds."""

    def __init__(self) -> None:
        self._sent: dict[str, _Sent] = {}

    def loads(self, reports: Iterable[GatewayReport], now: float) -> list[Load]:
        """The gateways as they count now."""
        return [self._load(report, now) for report in reports]

    def send(self, name: str, now: float) -> None:
        """An agent is told to go there; the gateway must have been in `loads`."""
        self._sent[name].at.append(now)

    def _load(self, report: GatewayReport, now: float) -> Load:
        sent = self._sent.get(report.name)
        if sent is None or sent.incarnation != report.incarnation:
            sent = self._sent[report.name] = _Sent(report.incarnation, report.greeted)
        came, sent.greeted = max(0, report.greeted - sent.greeted), report.greeted
        while sent.at and (came > 0 or now - sent.at[0] > EXPECTED_S):
            sent.at.popleft()
            came -= 1
        return Load(
            name=report.name,
            address=report.agent_address,
            agents=report.agents,
            capacity=report.capacity,
            expected=len(sent.at),
            cpu=report.cpu,
            accepts=report.accepts,
            heard=report.heard,
        )
