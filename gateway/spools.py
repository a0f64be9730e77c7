"""What waits in the spools of all agents that are connected here, in three figures.

Never shows one agent's: ten thousand agents would be ten thousand time series, and who they are is nobody's metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.metrics import Metrics
    from schemas.frames import Backlog


def show_spools(metrics: Metrics, backlogs: Iterable[Backlog]) -> None:
    """Show the sum, the largest and the oldest of what agents said last."""
    total = most = oldest_ms = 0
    for backlog in backlogs:
        total += backlog.bytes
        most = max(most, backlog.bytes)
        oldest_ms = max(oldest_ms, backlog.oldest_ms)
    metrics.gauge("gateway_agents_spooled_bytes").set(total)
    metrics.gauge("gateway_agents_spooled_most_bytes").set(most)
    metrics.gauge("gateway_agents_spool_oldest_seconds").set(oldest_ms / 1000)
