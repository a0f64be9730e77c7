"""Live viewing of one gateway process, put together: the hub, the tickets, the port, the relay.

Never outlives the services that it asks whether a session still goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from gateway.accounts.lives import still_lives, still_watches
from gateway.live.hub import Hub
from gateway.live.port import LivePort
from gateway.live.relay import Finder, Relay
from gateway.live.tickets import Ticket, Tickets
from gateway.marks import Marks
from infra.approved import connect
from sinks.postgresql.connection import store_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.api.services import Services
    from gateway.facts import Facts
    from gateway.policy import Told
    from infra.metrics import Metrics
    from infra.settings import Settings
    from sinks.postgresql.connection import Connection


class LiveDesk:
    """One of them for the process. `services` is there once the application is."""

    def __init__(
        self,
        settings: Settings,
        told: Callable[[], Told],
        facts: Facts,
        metrics: Metrics,
        *,
        marks: Marks | None = None,
    ) -> None:
        self.settings = settings
        self.services: Services | None = None
        self.tickets = Tickets(settings.live.ticket_key_file)
        self.hub = Hub(settings.live, settings.gateway.host, told, metrics)
        self.relay = Relay(settings, facts.reporter, self.hub, self.tickets, metrics)
        self.hub.relay = self.relay
        self.port = LivePort(
            settings, self.hub, self.tickets, facts=facts, metrics=metrics, lives=self._lives, marks=marks or Marks()
        )

    def seek_by(self, finder: Finder) -> None:
        """Let agents of other gateways be found by it."""
        self.relay.finder = finder

    def join(self, services: Services) -> None:
        """Let the API use it, and it the API's accounts."""
        self.services = services
        services.live = self

    async def _lives(self, ticket: Ticket) -> bool:
        """Whether the viewer may go on: session, role or teams may have changed meanwhile."""
        if self.services:
            async with self.services.database() as connection:
                return await _may_go_on(connection, ticket)
        with store_errors():  # a process without console asks seldom: no pool for it
            connection = await connect(self.settings)
            try:
                return await _may_go_on(connection, ticket)
            finally:
                connection.terminate()


async def _may_go_on(connection: Connection, ticket: Ticket) -> bool:
    account, session = UUID(ticket.account_id), UUID(ticket.session_id) if ticket.session_id else None
    lives = await still_lives(connection, account, session, ticket.account)
    return lives and await still_watches(connection, account, ticket.user)
