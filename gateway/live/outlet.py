"""The seat of all those who look at one stream through one other gateway: what they get goes there through Redis.

Never outlives its lease: a gateway that does not ask again has nobody who looks any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.live.view import Seat
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.live.bus import Bus
    from gateway.live.channel import Sealer
    from gateway.live.tickets import Ticket

log = structlog.get_logger()


class Outlet(Seat):
    """One of them. `gateway` is the other one; `count` gets the bytes that were published."""

    def __init__(
        self, tickets: tuple[Ticket, ...], max_bytes: int, gateway: str, sealer: Sealer, count: Callable[[int], None]
    ) -> None:
        super().__init__(tickets, max_bytes)
        self.agent_id, self.what = tickets[0].agent_id, tickets[0].what
        self.gateway = gateway
        self._sealer = sealer
        self._count = count
        self._lease: asyncio.TimerHandle | None = None

    def renew(self, lease_s: float) -> None:
        """It has so long from now."""
        if self._lease:
            self._lease.cancel()
        self._lease = asyncio.get_running_loop().call_later(lease_s, self.end, "the other gateway is silent")

    async def run(self, bus: Bus) -> None:
        """Publish what comes until it is over, or nobody is there to get it."""
        try:
            while (message := await self.take()) is not None:
                sealed = self._sealer.seal(message)
                if not await bus.publish(self.gateway, sealed):
                    self.end("nobody listens there")
                    return
                self._count(len(sealed))
        except UnavailableError as error:
            self.end(str(error))
        finally:
            if self._lease:
                self._lease.cancel()
