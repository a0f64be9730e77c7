"""What TLS the agents speak that are connected now, by version and suite; what lacks forward secrecy stands out.

Never decides who may connect: the listener's profile does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.peer import Peer
    from infra.metrics import Metrics


class Suites:
    """Counts agents as they are greeted and as they go."""

    def __init__(self, metrics: Metrics) -> None:
        self._now = metrics.gauge("gateway_agents_by_suite")
        self._greetings = metrics.counter("gateway_greetings_total")
        self._weak = metrics.counter("gateway_weak_suites_total")
        self._count: Counter[tuple[str, str, str]] = Counter()

    def enter(self, peer: Peer) -> None:
        """An agent has been greeted."""
        self._greetings.labels(peer.version, peer.suite).inc()
        if not peer.forward_secret:
            self._weak.inc()
        self._change(peer, 1)

    def leave(self, peer: Peer) -> None:
        """One that was greeted has gone."""
        self._change(peer, -1)

    def _change(self, peer: Peer, by: int) -> None:
        labels = peer.version, peer.suite, yes_or_no(peer.forward_secret)
        self._count[labels] += by
        self._now.labels(*labels).set(self._count[labels])


def yes_or_no(fact: bool) -> str:  # noqa: FBT001 - what it is about
    """A fact as labels and details say it."""
    return "yes" if fact else "no"
