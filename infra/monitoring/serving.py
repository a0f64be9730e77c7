"""How the settings say that processes serve their metrics: on which address, and to whom.

Never asks the database: what the node knows of approved addresses without it is enough to read metrics by.
"""

from __future__ import annotations

from infra.approved import ApprovedNodes
from infra.health import Serving
from infra.settings import Settings


def serving_of(settings: Settings) -> Serving:
    """Where this node's processes serve health and metrics, and who else is answered (R5.1)."""

    def approves(address: str) -> bool:
        return ApprovedNodes(settings).approves(address)  # as the files are now: who asks does so every few seconds

    return Serving(
        host=settings.metrics.host,
        first_port=settings.metrics.first_port,
        node=settings.node.id,
        advertise=settings.node.address,
        approves=approves,
    )
